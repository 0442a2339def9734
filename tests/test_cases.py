"""The small inputs of `../shared/cases` that once went wrong, each by the way a user takes.

One test a case; its README there says what came out, and what is right. The kinds that the cases
stand for are tested where their code is.
"""

import json
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import av
import cv2
import numpy as np
import pytest

import mindssd
from mindssd.data.formats.coco import load_coco_split
from mindssd.errors import DatasetError, ImageError
from mindssd.images import read_image
from tests.conftest import SHARED, shared

CASES = SHARED / "cases"
MODEL = CASES / "models_of_before" / "demo.onnx"


@pytest.fixture(scope="module", autouse=True)
def cases() -> Path:
    """The tests read `CASES` themselves: this is for where it is absent."""
    return shared("cases")


def predict(*words: object, stdin: bytes | None = None) -> subprocess.CompletedProcess[bytes]:
    command = [sys.executable, "-m", "mindssd", "predict", str(MODEL), *map(str, words)]
    return subprocess.run(command, input=stdin, capture_output=True, timeout=300, check=False)


def results(out: Path) -> dict:
    return json.loads((out / "detections.json").read_text(encoding="utf-8"))


def num_files(folder: Path) -> int:
    return sum(path.is_file() for path in folder.rglob("*"))


def test_labels_and_drawn_pictures_stay_apart(tmp_path: Path) -> None:
    done = predict(CASES / "yolo_with_drawn", "--save", "drawn,yolo", "--out", tmp_path / "o")
    assert done.returncode == 0, done.stderr
    assert num_files(tmp_path / "o" / "labels") == 10
    drawn = sorted((tmp_path / "o").glob("*.jpg"))
    assert len(drawn) == 10 and all(read_image(path).size for path in drawn)


@pytest.mark.parametrize(("options", "count"), [([], 45), (["--max-detections", "30"], 30)])
def test_the_limit_counts_what_is_left(tmp_path: Path, options: list[str], count: int) -> None:
    picture = CASES / "limit_before_nms" / "000000000001.jpg"
    done = predict(picture, "--score", "0.1", "--save", "json", "--out", tmp_path, *options)
    assert done.returncode == 0, done.stderr
    assert len(results(tmp_path)["annotations"]) == count


def test_frames_and_pictures_of_one_name_have_files_of_their_own(tmp_path: Path) -> None:
    saved = ["--save", "json,yolo,crops", "--out", tmp_path]
    assert predict(CASES / "frame_names_collide", *saved).returncode == 0
    found = results(tmp_path)
    assert len(found["images"]) == num_files(tmp_path / "labels") == 11
    assert len(found["annotations"]) == num_files(tmp_path / "crops")


def test_one_name_or_size_ends_no_run(tmp_path: Path) -> None:
    done = predict(CASES / "one_name_or_size_ends_the_run", "--out", tmp_path)
    assert done.returncode == 1 and b"f_10x70000" in done.stdout + done.stderr
    assert len(results(tmp_path)["images"]) == 3
    assert (tmp_path / "im00.jpg").exists()


def frames_and_times(path: Path) -> list[float]:
    with av.open(str(path)) as container:
        return [float(frame.time or 0) for frame in container.decode(video=0)]


def test_a_variable_rate_is_kept(tmp_path: Path) -> None:
    done = predict(CASES / "vfr_video", "--out", tmp_path)
    assert done.returncode == 0, done.stderr
    images = results(tmp_path)["images"]
    seconds = [i["seconds"] for i in images if i["file_name"].endswith("vfr.mp4")]
    np.testing.assert_allclose(seconds[:6], [0, 0.033, 0.067, 0.1, 0.133, 2.0], atol=2e-3)
    screen = [i["seconds"] for i in images if i["file_name"].endswith("screen.webm")]
    assert len(screen) == 60
    np.testing.assert_allclose(np.diff(screen), 0.067, atol=0.01)
    for name, expected in (("vfr.mp4", seconds), ("screen.mp4", screen)):
        np.testing.assert_allclose(frames_and_times(tmp_path / name), expected, atol=2e-3)


def test_a_bad_packet_costs_its_frames_alone(tmp_path: Path) -> None:
    video = CASES / "video_bad_packet" / "corrupt_small.mp4"
    done = predict(video, "--save", "json", "--out", tmp_path)
    assert done.returncode == 0, done.stderr
    assert len(results(tmp_path)["images"]) == 94
    assert b"6 frames could not be decoded" in done.stdout + done.stderr


def test_a_piped_video_is_a_video(tmp_path: Path) -> None:
    done = predict("-", "--out", tmp_path, stdin=(CASES / "video_piped" / "cfr.mp4").read_bytes())
    assert (done.returncode, done.stderr) == (0, b"")
    assert len(frames_and_times(tmp_path / "stdin.mp4")) == 50
    assert len(done.stdout.splitlines()) < 5


def test_spare_bytes_of_a_bmp_are_not_white() -> None:
    folder = CASES / "bmp32_bitfields"
    picture = read_image(folder / "bmp32_bitfields_x0.bmp")
    np.testing.assert_array_equal(picture, read_image(folder / "bmp24.bmp"))


def test_half_a_jpeg_is_never_used() -> None:
    with pytest.raises(ImageError, match="truncated or damaged"):
        read_image(CASES / "jpeg_half_with_eoi" / "half_with_eoi.jpg")


def annotated(name: str, folder: Path) -> Path:
    """A data set of two pictures with a case's annotations."""
    for split in ("train", "val"):
        target = folder / "annotations" / f"instances_{split}2017.json"
        target.parent.mkdir(exist_ok=True)
        shutil.copy(CASES / "annotations" / f"{name}.json", target)
        (folder / f"{split}2017").mkdir()
        for picture in ("a.png", "b.png"):
            cv2.imwrite(str(folder / f"{split}2017" / picture), np.full((48, 64, 3), 90, np.uint8))
    return folder


@pytest.mark.parametrize(
    ("name", "num_boxes", "said"),
    [
        ("bbox_null", 1, "without image, category or box: dropped"),
        ("bbox_with_null", 1, "dropped"),
        ("category_id_null", 1, "without image, category or box: dropped"),
        ("image_id_null", 1, "without image, category or box: dropped"),
        ("dup_ids", 2, ""),
        ("padded_ids_000001", 2, ""),
        ("same_box_twice", 2, "twice"),
        ("roboflow_root_of_same_name", 2, ""),
        ("all_crowds", 0, ""),
    ],
)
def test_odd_annotations_are_taken_as_far_as_they_are_sound(
    tmp_path: Path, name: str, num_boxes: int, said: str
) -> None:
    dataset = load_coco_split(annotated(name, tmp_path), "train")
    assert dataset.class_names == ("cat", "dog")
    assert dataset.report.num_boxes == num_boxes
    assert said in "\n".join(dataset.report.lines())


def test_boxes_that_are_fractions_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="fractions"):
        load_coco_split(annotated("normalised", tmp_path), "train")


def test_boxes_go_with_pictures_that_were_halved() -> None:
    dataset = load_coco_split(CASES / "resized_pictures", "val")
    assert "scaled" in "\n".join(dataset.report.lines())
    for index in range(len(dataset)):
        record = dataset[index]
        assert read_image(record.path).shape[:2] == (record.height, record.width)
    whole = json.loads(
        next((CASES / "resized_pictures" / "annotations").glob("*val2017.json")).read_text()
    )
    widths = sorted(a["bbox"][2] / 2 for a in whole["annotations"] if not a.get("iscrowd"))
    ours = sorted(
        float(width)
        for index in range(len(dataset))
        for width in np.diff(dataset[index].boxes[:, [0, 2]], axis=1)[:, 0]
    )
    np.testing.assert_allclose(ours, widths, atol=1.0)


@pytest.mark.parametrize("runtime", ["onnxruntime", "openvino"])
def test_a_detector_is_one_for_many_threads(runtime: str) -> None:
    detector = mindssd.load(MODEL, runtime=runtime, score_threshold=0.1)
    pictures = [read_image(path) for path in sorted((CASES / "yolo_with_drawn").glob("*.jpg"))]
    expected = [detector(picture) for picture in pictures]
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda index: detector(pictures[index % 10]), range(60)))
    for index, detections in enumerate(found):
        np.testing.assert_array_equal(detections.boxes, expected[index % 10].boxes)
        np.testing.assert_array_equal(detections.scores, expected[index % 10].scores)

"""Videos, live sources and standard input: frames, rate and size kept, and nothing half written."""

import io
import json
import sys
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import cv2
import numpy as np
import pytest
from rich.console import Console

from mindssd.errors import MindSSDError
from mindssd.geometry.postprocess import PostProcess
from mindssd.images import Normalization
from mindssd.inference.detector import Detector
from mindssd.inference.predictor import Predictor
from mindssd.predict import job
from mindssd.predict.naming import class_folders
from mindssd.predict.sources import Video, find_sources
from mindssd.predict.video import VideoReader
from mindssd.predict.video_writer import VideoWriter
from mindssd.predict.writing import Outputs
from mindssd.types import Array
from mindssd.weights.safetensors_file import ModelMetadata
from tests.default_boxes import default_boxes_at
from tests.predict.clips import body, read, serving, write_clip

FRAMES, RATE, SIZE = 23, 12.5, (122, 162)


def bright(images: Array) -> tuple[Array, Array]:
    """A network that sees class 1 in the whole of a bright image, class 0 in that of a dark one."""
    logits = np.full((len(images), 1, 3), -20.0, np.float32)
    is_bright = images.mean(axis=(1, 2, 3)) > 0.5
    logits[np.arange(len(images)), 0, 1 + is_bright] = 3.0
    return np.zeros((len(images), 1, 4), np.float32), logits


@pytest.fixture(autouse=True)
def _detector(monkeypatch: pytest.MonkeyPatch) -> None:
    unit = Normalization((0.0, 0.0, 0.0), (1.0, 1.0, 1.0))
    names = ("dark", "../bright")
    metadata = ModelMetadata({}, names, (1, 2), (8, 8), unit.mean, unit.std, ((1, 1),))
    boxes = default_boxes_at(np.array([[0.5, 0.5, 0.5, 0.5]], np.float32))
    predictor = Predictor(bright, (8, 8), unit, PostProcess(boxes), names, batch_size=4)
    monkeypatch.setattr(job, "load", lambda *_, **__: Detector(predictor, metadata))


@pytest.fixture
def clip(tmp_path: Path) -> Path:
    """A video that brightens from frame to frame."""
    path = tmp_path / "in" / "clip.mp4"
    path.parent.mkdir()
    with VideoWriter(path, SIZE, RATE) as video:
        for index in range(FRAMES):
            video.write(np.full((*SIZE, 3), 10 + 10 * index, np.uint8), index / RATE)
    return path


def run(out: Path, *words: object, save: str = "drawn,json") -> list[MindSSDError]:
    outputs = Outputs(out, save=save.split(","))
    return job.predict_files(
        Path("m"), [str(w) for w in words], outputs, {}, Console(quiet=True)
    ).errors


def properties(path: Path) -> tuple[int, float, tuple[int, int]]:
    reader = VideoReader(path)
    frames = [frame.image for frame in reader.frames()]
    return len(frames), reader.rate, (frames[0].shape[0], frames[0].shape[1])


def test_frames_rate_and_size_are_kept_and_the_frames_stay_in_order(
    clip: Path, tmp_path: Path
) -> None:
    assert run(tmp_path / "out", clip) == []
    assert properties(tmp_path / "out" / "clip.mp4") == (FRAMES, RATE, SIZE)
    means = [
        frame.image[5:9].mean() for frame in VideoReader(tmp_path / "out" / "clip.mp4").frames()
    ]
    assert means == sorted(means) and means[-1] - means[0] > 150
    found = json.loads((tmp_path / "out" / "detections.json").read_text())
    assert [image["frame"] for image in found["images"]] == list(range(FRAMES))
    assert found["images"][5]["seconds"] == pytest.approx(5 / RATE)
    names = [annotation["category_name"] for annotation in found["annotations"]]
    assert names == ["dark"] * 12 + ["../bright"] * 11


def test_drawing_shows_in_the_frames(clip: Path, tmp_path: Path) -> None:
    run(tmp_path / "out", clip)
    frame = next(VideoReader(tmp_path / "out" / "clip.mp4").frames())
    assert frame.image.std() > 10 and next(VideoReader(clip).frames()).image.std() < 2


def test_a_truncated_video_is_reported_and_what_it_has_is_kept(clip: Path, tmp_path: Path) -> None:
    broken = clip.with_name("broken.mp4")
    broken.write_bytes(clip.read_bytes()[:300])
    (error,) = run(tmp_path / "out", broken, clip)
    assert "broken.mp4" in str(error)
    assert {path.name for path in (tmp_path / "out").iterdir()} == {"clip.mp4", "detections.json"}


def test_a_stream_is_read_by_its_address_and_its_secrets_are_written_nowhere(
    clip: Path, tmp_path: Path
) -> None:
    out, printed = tmp_path / "out", io.StringIO()
    photo = cv2.imencode(".jpg", np.full((40, 30, 3), 200, np.uint8))[1].tobytes()
    data = clip.read_bytes()

    def answer(handler: BaseHTTPRequestHandler) -> None:
        kinds = {"photo": body(photo), "clip": body(data), "cut": body(data, announced=10**6)}
        kinds.get(handler.path[1:].partition(".")[0], lambda h: h.send_error(404))(handler)

    with serving(answer) as address:
        host = address.replace("//", "//us3r:secret@")
        words = [
            f"{host}/{name}?token=secret" for name in ("clip.mp4", "photo.jpg", "no", "cut.ts")
        ]
        outputs = Outputs(out, save=["drawn", "json", "csv", "yolo"])
        errors = job.predict_files(
            Path("m"), words, outputs, {}, Console(file=printed, width=200)
        ).errors
    refused, cut = errors
    assert str(refused).endswith("/no?…: cannot be opened: 404 Not Found")
    assert "cut.ts?…: breaks off" in str(cut)
    found = json.loads((out / "detections.json").read_text())["images"]
    assert [image["file_name"] for image in found].count(f"{address}/clip.mp4?…") == FRAMES
    assert {"clip.mp4", "photo.jpg"} <= {path.name for path in out.iterdir()}
    texts = [printed.getvalue(), *map(str, errors), *(str(path) for path in out.rglob("*"))]
    texts += [path.read_bytes().decode("latin-1") for path in out.rglob("*") if path.is_file()]
    assert not any(secret in text for text in texts for secret in ("us3r", "secret"))


def test_a_stream_that_breaks_off_is_reported_and_what_was_seen_is_kept(tmp_path: Path) -> None:
    data = write_clip(tmp_path / "a.ts").read_bytes()
    with serving(body(data, announced=len(data) + 100)) as address:
        (error,) = run(tmp_path / "out", f"{address}/live")
    assert "live: breaks off after 20 frames: its last 100 bytes are missing" in str(error)
    found = json.loads((tmp_path / "out" / "detections.json").read_text())
    assert len(found["images"]) == 20
    (video,) = (tmp_path / "out").glob("*.mp4")
    assert properties(video)[0] == 20


def test_a_drawn_video_has_the_frames_own_times(tmp_path: Path) -> None:
    times = [0.0, 0.04, 0.08, 3.0, 3.04]
    path = write_clip(tmp_path / "in.mp4", times=times)
    assert run(tmp_path / "out", path) == []
    assert read(VideoReader(tmp_path / "out" / "in.mp4"))[1] == times
    found = json.loads((tmp_path / "out" / "detections.json").read_text())
    assert [image["seconds"] for image in found["images"]] == times


def test_frames_of_another_size_are_drawn_too(tmp_path: Path) -> None:
    parts = [
        write_clip(tmp_path / f"{size[0]}.mjpeg", 5, codec="mjpeg", pixels="yuvj420p", size=size)
        for size in ((48, 64), (96, 64))
    ]
    (tmp_path / "both.mjpeg").write_bytes(b"".join(part.read_bytes() for part in parts))
    assert run(tmp_path / "out", tmp_path / "both.mjpeg") == []
    found = json.loads((tmp_path / "out" / "detections.json").read_text())["images"]
    assert [image["height"] for image in found] == [48] * 5 + [96] * 5
    assert properties(tmp_path / "out" / "both.mp4")[::2] == (10, (48, 64))


def test_what_a_folder_has_besides_is_said(clip: Path, tmp_path: Path) -> None:
    clip.with_name("notes.txt").touch()
    printed = io.StringIO()
    outputs = Outputs(tmp_path / "out", save=["json"])
    words = [str(clip.parent)]
    job.predict_files(Path("m"), words, outputs, {}, Console(file=printed, width=500))
    assert f"{clip.parent}: 1 file passed by (.txt)" in printed.getvalue()


def test_what_a_word_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    camera, stream = find_sources(["3", "rtsp://me:secret@host:554/street?key=1"]).sources
    assert camera == Video("3", is_live=True) and camera.path == Path("camera_3")
    assert stream.path == Path("host_554_street")  # no password in a file's name
    Path("3").write_bytes(b"")
    assert find_sources(["3"]).sources == [Video("3")]


@pytest.mark.parametrize("kind", ["image", "video", "nothing", "noise"])
def test_standard_input_is_an_image_or_a_video(
    clip: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    image = cv2.imencode(".png", np.full((40, 30, 3), 200, np.uint8))[1].tobytes()
    data = {"image": image, "video": clip.read_bytes(), "nothing": b"", "noise": b"no image"}[kind]
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(data)))
    errors = run(tmp_path / "out", "-")
    found = json.loads((tmp_path / "out" / "detections.json").read_text())
    assert len(found["images"]) == {"image": 1, "video": FRAMES}.get(kind, 0)
    assert [str(error).startswith("standard input: ") for error in errors] == (
        [True] if kind in ("nothing", "noise") else []
    )


@pytest.fixture
def photos(tmp_path: Path) -> Iterator[Path]:
    folder = tmp_path / "photos"
    folder.mkdir()
    for name, value in (("a.png", 30), ("b.jpg", 220)):
        cv2.imwrite(str(folder / name), np.full((40, 80, 3), value, np.uint8))
    yield folder


def test_each_kind_of_result_is_written_when_asked_for(photos: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    assert run(out, photos, save="csv,yolo,crops") == []
    written = {str(path.relative_to(out)) for path in out.rglob("*") if path.is_file()}
    crops = {"crops/dark/a_1.jpg", "crops/_bright/b_1.jpg"}
    assert written == {"detections.csv", "labels/a.txt", "labels/b.txt", *crops}
    header, first, second = (out / "detections.csv").read_text().splitlines()
    assert header == "file,frame,class,score,x1,y1,x2,y2"
    assert first == f"{photos}/a.png,,dark,0.952574,20.0,10.0,60.0,30.0"
    assert second.split(",")[2] == "../bright"
    assert (
        out / "labels" / "b.txt"
    ).read_text() == "1 0.500000 0.500000 0.500000 0.500000 0.952574\n"
    assert cv2.imread(str(out / "crops" / "dark" / "a_1.jpg")).shape == (21, 41, 3)


def test_an_unknown_kind_of_result_is_named() -> None:
    with pytest.raises(MindSSDError, match="--save xml: expected some of drawn, json, csv"):
        Outputs(Path("out"), save=["json", "xml"])


def test_crops_never_overwrite_a_source(photos: Path, tmp_path: Path) -> None:
    source = tmp_path / "out" / "crops" / "dark" / "a_1.jpg"
    source.parent.mkdir(parents=True)
    (photos / "a.png").rename(source)
    with pytest.raises(MindSSDError, match="is one of the sources"):
        run(tmp_path / "out", source, save="crops")


def test_a_classs_folder_stays_inside() -> None:
    names = ("..", "a/b", "", "C:", "traffic light", "A:B")
    assert class_folders(names) == ("_", "a_b", "__2", "C_", "traffic light", "A_B_2")


def test_a_video_that_fails_leaves_no_file(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError), VideoWriter(tmp_path / "a.mp4", SIZE, RATE) as video:
        video.write(np.zeros((*SIZE, 3), np.uint8), 0)
        raise RuntimeError
    assert list(tmp_path.iterdir()) == []

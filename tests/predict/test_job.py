"""Files that prediction reads and writes, with a network that is a formula."""

import errno
import io
import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from pycocotools.coco import COCO
from rich.console import Console

from mindssd import files
from mindssd.errors import ImageError, MindSSDError
from mindssd.geometry.postprocess import PostProcess
from mindssd.images import Normalization
from mindssd.inference.detector import Detector
from mindssd.inference.predictor import Predictor
from mindssd.predict import job, sources
from mindssd.predict.writing import Outputs
from mindssd.types import Array
from mindssd.weights.safetensors_file import ModelMetadata
from tests.default_boxes import default_boxes_at


def whole_image(images: Array) -> tuple[Array, Array]:
    """A network that sees the second class in the whole of each image."""
    logits = np.full((len(images), 1, 3), -20.0, np.float32)
    logits[:, 0, 2] = 3.0
    return np.zeros((len(images), 1, 4), np.float32), logits


@pytest.fixture
def loads(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """Put a detector in the place of any model; lists the models that were asked for."""
    loaded: list[Any] = []

    def load(path: Path, **settings: Any) -> Detector:
        loaded.append(path)
        boxes = default_boxes_at(np.array([[0.5, 0.5, 1.0, 1.0]], np.float32))
        unit = Normalization((0.0, 0.0, 0.0), (1.0, 1.0, 1.0))
        names = ("cat", "dog")
        metadata = ModelMetadata({}, names, (2, 7), (8, 8), unit.mean, unit.std, ((1, 1),))
        return Detector(Predictor(whole_image, (8, 8), unit, PostProcess(boxes), names), metadata)

    monkeypatch.setattr(job, "load", load)
    return loaded


def photo(path: Path, height: int = 10, width: int = 20) -> Path:
    path.parent.mkdir(exist_ok=True)
    Image.new("RGB", (width, height), "grey").save(path)
    return path


def run(out: Path, *sources: Path | str, sheet: bool = False) -> list[ImageError]:
    names = [str(source) for source in sources]
    outputs = Outputs(out, sheet=sheet)
    return job.predict_files(Path("model"), names, outputs, {}, Console(quiet=True)).errors


def names_in(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def test_pycocotools_opens_the_json(tmp_path: Path, loads: list[Any]) -> None:
    photo(tmp_path / "in" / "a.jpg"), photo(tmp_path / "in" / "b.png", 30, 40)
    assert run(tmp_path / "out", tmp_path / "in") == []
    coco = COCO(str(tmp_path / "out" / "detections.json"))
    assert coco.getImgIds() == [1, 2] and coco.getCatIds(catNms=["dog"]) == [7]
    (found,) = coco.loadAnns(coco.getAnnIds(imgIds=[2], catIds=[7], iscrowd=False))
    assert found["bbox"] == [0, 0, 40, 30] and found["area"] == 1200
    assert found["score"] == pytest.approx(0.952574) and found["category_name"] == "dog"
    assert coco.getAnnIds() == [1, 2]


def test_each_image_is_drawn_under_its_own_name_and_reserved_names_are_kept_free(
    tmp_path: Path, loads: list[Any]
) -> None:
    for name in ("a.jpg", "contact_sheet.jpg", "b.tif"):
        photo(tmp_path / "in" / name)
    photo(tmp_path / "more" / "A.jpg")
    out = tmp_path / "out"
    run(out, tmp_path / "in", tmp_path / "more", sheet=True)
    assert names_in(out) == {
        "a.jpg",
        "A_2.jpg",
        "b.jpg",
        "contact_sheet_2.jpg",
        "contact_sheet.jpg",
        "detections.json",
    }


@pytest.mark.parametrize("name", ["a.jpg", "contact_sheet.jpg"])
def test_a_source_is_never_written_over(tmp_path: Path, loads: list[Any], name: str) -> None:
    source = photo(tmp_path / name)
    before = source.read_bytes()
    with pytest.raises(MindSSDError, match=f"{name} is one of the sources.*--out"):
        run(tmp_path, source, sheet=True)
    assert source.read_bytes() == before and loads == []


def test_a_source_is_known_under_another_name(tmp_path: Path, loads: list[Any]) -> None:
    source = photo(tmp_path / "in" / "a.jpg")
    (tmp_path / "out").mkdir()
    for place in ("a.jpg", "detections.json"):
        os.link(source, tmp_path / "out" / place)
        with pytest.raises(MindSSDError, match="one of the sources"):
            run(tmp_path / "out", source)
        (tmp_path / "out" / place).unlink()
    (tmp_path / "linked").symlink_to(tmp_path / "in")
    with pytest.raises(MindSSDError, match="one of the sources"):
        run(tmp_path / "linked", source)


def test_what_an_earlier_call_wrote_is_replaced(tmp_path: Path, loads: list[Any]) -> None:
    source = photo(tmp_path / "a.jpg")
    for _ in range(2):
        assert run(tmp_path / "out", source) == []
    assert names_in(tmp_path / "out") == {"a.jpg", "detections.json"}


def test_a_broken_image_is_told_and_the_others_are_done(tmp_path: Path, loads: list[Any]) -> None:
    photo(tmp_path / "in" / "a.jpg")
    (tmp_path / "in" / "b.jpg").write_bytes(b"no image")
    (tmp_path / "in" / "c.jpg").symlink_to("nowhere")
    errors = run(tmp_path / "out", tmp_path / "in")
    assert [Path(str(error).partition(":")[0]).name for error in errors] == ["b.jpg", "c.jpg"]
    assert len(json.loads((tmp_path / "out" / "detections.json").read_text())["images"]) == 1


def test_what_pictures_leave_out_of_their_files_is_one_line(
    tmp_path: Path, loads: list[Any]
) -> None:
    page = Image.new("RGB", (20, 10), "grey")
    for name in ("a.tif", "b.tif", "c.tif"):
        page.save(tmp_path / name, save_all=True, append_images=[page])
    console = Console(file=io.StringIO(), width=40)
    names = [str(tmp_path / name) for name in ("a.tif", "b.tif", "c.tif")]
    assert job.predict_files(Path("m"), names, Outputs(tmp_path / "out"), {}, console).errors == []
    assert isinstance(console.file, io.StringIO)
    line = f"3 images, such as {names[0]}: several pages or frames: only the first is used\n"
    assert console.file.getvalue().count("several pages") == 1 and line in console.file.getvalue()


def test_names_with_square_brackets_are_printed_as_they_are(
    tmp_path: Path, loads: list[Any]
) -> None:
    photo(tmp_path / "in" / "a.jpg")
    broken = tmp_path / "in" / "[red]b[" / "i].jpg"  # its path has [/i], rich's end of italics
    broken.parent.mkdir()
    broken.touch()
    printed = io.StringIO()
    job.predict_files(
        Path("model.safetensors"),
        [str(tmp_path / "in"), str(broken)],
        Outputs(tmp_path / "out[" / "i]"),
        {},
        Console(file=printed),
    )
    assert f"skipped: {broken}: " in printed.getvalue()
    assert f"in 1 image: {tmp_path}/out[/i]; 1 file skipped" in printed.getvalue()


def test_a_full_disk_is_one_line_and_leaves_no_partial_file(
    tmp_path: Path, loads: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    source = photo(tmp_path / "a.jpg")

    def fill_up(self: files.FileAside) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(files.FileAside, "keep", fill_up)
    with pytest.raises(MindSSDError, match=r"a\.jpg: cannot be written \(No space left") as caught:
        run(tmp_path / "out", source)
    assert "\n" not in str(caught.value) and names_in(tmp_path / "out") == set()


def test_a_file_in_the_place_of_the_folder_is_one_line(tmp_path: Path, loads: list[Any]) -> None:
    source = photo(tmp_path / "a.jpg")
    (tmp_path / "out").touch()
    with pytest.raises(MindSSDError, match="out: cannot be made"):
        run(tmp_path / "out", source)


def test_sources_are_files_folders_and_globs_each_once(tmp_path: Path) -> None:
    first, second = photo(tmp_path / "a.jpg"), photo(tmp_path / "b.png")
    (tmp_path / "notes.txt").touch()
    (tmp_path / "folder.jpg").mkdir()
    found = sources.find_sources([str(second), str(tmp_path), f"{tmp_path}/*.jpg"])
    assert found.sources == [sources.ImageFile(second), sources.ImageFile(first)]


@pytest.mark.parametrize("source", ["absent.jpg", "empty", "*.gif"])
def test_a_source_that_gives_nothing_is_an_error(tmp_path: Path, source: str) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(ImageError, match="no "):
        sources.find_sources([f"{tmp_path}/{source}"])


def test_a_home_folder_is_understood_in_a_quoted_glob(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    photo(tmp_path / "a.jpg")
    assert sources.find_sources(["~/*.jpg"]).sources == [sources.ImageFile(tmp_path / "a.jpg")]

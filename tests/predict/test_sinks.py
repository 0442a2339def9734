"""What is left behind, a format at a time, and what of it stays when something ends the job."""

import csv
import json
import tracemalloc
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pycocotools.coco import COCO

from mindssd.errors import MindSSDError, OutputError
from mindssd.predict.sinks.base import Seen, Sink, Writers, write_image
from mindssd.predict.sinks.coco_json import CocoJson
from mindssd.predict.sinks.crops import Crops
from mindssd.predict.sinks.growing import Records, Reserve
from mindssd.predict.sinks.sheet import ContactSheet
from mindssd.predict.sinks.table import CsvTable
from mindssd.predict.sinks.yolo import yolo_lines
from mindssd.types import Array, Detections

NAMES = ("cat", "dog")


def found(*boxes: tuple[float, float, float, float]) -> Detections:
    """Dogs of 0.5."""
    return Detections(
        np.array(boxes, np.float32).reshape(-1, 4),
        np.full(len(boxes), 0.5, np.float32),
        np.ones(len(boxes), np.int32),
        NAMES,
    )


NOTHING = found()
PICTURE: Array = np.full((30, 40, 3), 90, np.uint8)


def image(name: str, *boxes: tuple[float, float, float, float]) -> Seen:
    return Seen(name, Path(name).stem, PICTURE, found(*boxes), drawn=name)


def frame(index: int, *boxes: tuple[float, float, float, float]) -> Seen:
    return Seen("clip", f"clip_{index:06d}", PICTURE, found(*boxes), None, index, index / 25)


def coco_json(folder: Path) -> CocoJson:
    return CocoJson(folder / "detections.json", NAMES, (2, 7), Reserve(folder))


def names_in(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def test_the_json_is_what_pycocotools_opens(tmp_path: Path) -> None:
    sink = coco_json(tmp_path)
    for seen in (
        image("a.jpg"),
        image("b.jpg", (1, 2, 3, 5), (0, 0, 40, 30)),
        frame(3, (1, 1, 2, 2)),
    ):
        sink.put(seen)
    sink.close(keep=True)
    assert names_in(tmp_path) == {"detections.json"}
    tree = json.loads((tmp_path / "detections.json").read_text())
    size = {"width": 40, "height": 30}
    assert tree["images"] == [
        {"id": 1, "file_name": "a.jpg", **size},
        {"id": 2, "file_name": "b.jpg", **size},
        {"id": 3, "file_name": "clip", **size, "frame": 3, "seconds": 0.12},
    ]
    dog = {"category_id": 7, "category_name": "dog", "score": 0.5, "iscrowd": 0}
    assert tree["annotations"] == [
        {"id": 1, "image_id": 2, "bbox": [1, 2, 2, 3], "area": 6, **dog},
        {"id": 2, "image_id": 2, "bbox": [0, 0, 40, 30], "area": 1200, **dog},
        {"id": 3, "image_id": 3, "bbox": [1, 1, 1, 1], "area": 1, **dog},
    ]
    assert tree["categories"] == [{"id": 2, "name": "cat"}, {"id": 7, "name": "dog"}]
    assert COCO(str(tmp_path / "detections.json")).getAnnIds(imgIds=[2]) == [1, 2]


def test_the_json_of_nothing_is_json_too(tmp_path: Path) -> None:
    coco_json(tmp_path).close(keep=True)
    tree = json.loads((tmp_path / "detections.json").read_text())
    assert (tree["images"], tree["annotations"], len(tree["categories"])) == ([], [], 2)


def test_the_table_has_a_row_for_each_detection(tmp_path: Path) -> None:
    sink = CsvTable(tmp_path / "detections.csv")
    for seen in (image("a, b.jpg", (1, 2, 3.25, 5)), image("c.jpg"), frame(3, (1, 1, 2, 2))):
        sink.put(seen)
    sink.close(keep=True)
    with (tmp_path / "detections.csv").open() as file:
        assert list(csv.reader(file)) == [
            ["file", "frame", "class", "score", "x1", "y1", "x2", "y2"],
            ["a, b.jpg", "", "dog", "0.5", "1.0", "2.0", "3.25", "5.0"],
            ["clip", "3", "dog", "0.5", "1.0", "1.0", "2.0", "2.0"],
        ]


def test_what_is_not_kept_leaves_the_file_of_before(tmp_path: Path) -> None:
    for name in ("detections.json", "detections.csv"):
        (tmp_path / name).write_text("before")
    for sink in (coco_json(tmp_path), CsvTable(tmp_path / "detections.csv")):
        sink.put(frame(0, (1, 1, 2, 2)))
        sink.close(keep=False)
    assert [path.read_text() for path in tmp_path.iterdir()] == ["before"] * 2


@pytest.mark.parametrize("make", [coco_json, lambda folder: CsvTable(folder / "detections.csv")])
def test_a_long_stream_takes_no_more_memory_than_a_short_one(make: Any, tmp_path: Path) -> None:
    def peak(count: int) -> int:
        sink: Sink = make(tmp_path)
        tracemalloc.start()
        for index in range(count):
            sink.put(frame(index, (1, 1, 2, 2)))
        sink.close(keep=True)
        _, most = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        return most

    peak(100)
    # As much as is copied at once, and nothing that grows: a dict of each made 5 MB.
    assert peak(4000) < peak(100) + 1_500_000


class HalfWritten:
    """A file on a disk that fills up: `room` bytes more go into it."""

    def __init__(self, file: Any) -> None:
        self.file = file
        self.room = 1 << 30

    def write(self, data: bytes) -> int:
        self.file.write(data[: self.room])
        if len(data) > self.room:
            self.room = 0
            raise OSError(28, "No space left on device")
        self.room -= len(data)
        return len(data)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.file, name)


def test_a_record_that_was_cut_off_is_taken_back(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    with path.open("wb") as plain:
        file = HalfWritten(plain)
        records = Records(file)  # type: ignore[arg-type]
        records.append(b"first ")
        file.room = 3
        with pytest.raises(OSError, match="No space"):
            records.append(b"second ")
        file.room = 100
        records.append(b"third")
    assert path.read_bytes() == b"first third"


@pytest.mark.parametrize("room", [0, 30, 120, 200])
def test_on_a_full_disk_an_image_is_in_the_json_with_its_annotations_or_not_at_all(
    tmp_path: Path, room: int
) -> None:
    sink = coco_json(tmp_path)
    sink.put(image("a.jpg", (1, 2, 3, 5)))
    file = HalfWritten(sink._annotations._file)
    sink._annotations._file = file  # type: ignore[assignment]
    file.room = room
    with pytest.raises(MindSSDError, match="No space left") as caught:
        sink.put(image("b.jpg", (1, 2, 3, 5), (0, 0, 40, 30)))
    assert not isinstance(caught.value, OutputError)  # which is no matter of that image
    file.room = 1 << 30  # the reserve is let go
    sink.close(keep=True)
    tree = json.loads((tmp_path / "detections.json").read_text())
    assert [image["file_name"] for image in tree["images"]] == ["a.jpg"]
    assert [annotation["id"] for annotation in tree["annotations"]] == [1]


def test_crops_are_numbered_over_all_classes_and_one_that_fails_stops_no_other(
    tmp_path: Path,
) -> None:
    reported: list[OutputError] = []
    writers = Writers(reported.append)
    sink = Crops(tmp_path, NAMES, writers)
    (tmp_path / "dog" / "a_2.jpg").mkdir(parents=True)
    sink.put(image("a.jpg", (0, 0, 5, 5), (0, 0, 10, 7), (3, 3, 3, 3), (50, 0, 60, 5)))
    writers.finish()
    # The third is a pixel, the fourth lies outside.
    assert names_in(tmp_path / "dog") == {"a_1.jpg", "a_2.jpg", "a_3.jpg"}
    (error,) = reported
    assert str(error).startswith(f"{tmp_path}/dog/a_2.jpg: cannot be written (Is a directory")


def test_a_sheet_holds_the_first_images_small(tmp_path: Path) -> None:
    writers = Writers(lambda error: None)
    sink = ContactSheet(tmp_path / "sheet.jpg", writers)
    large: Array = np.zeros((2000, 3000, 3), np.uint8)
    for index in range(30):
        sink.put(Seen("a", "a", large if index == 0 else PICTURE, NOTHING))
    writers.finish()
    assert len(sink._cells) == 24
    assert all(cell is not None and cell.shape[0] <= 270 for cell in sink._cells)
    sink.close(keep=True)
    assert names_in(tmp_path) == {"sheet.jpg"}


def test_yolo_counts_in_fractions() -> None:
    lines = yolo_lines(found((0, 0, 20, 15), (10, 0, 40, 30)), (30, 40))
    assert lines == (
        "1 0.250000 0.250000 0.500000 0.500000 0.500000\n"
        "1 0.625000 0.500000 0.750000 1.000000 0.500000\n"
    )
    assert yolo_lines(NOTHING, (30, 40)) == ""


def test_a_picture_larger_than_jpeg_holds_is_said_so(tmp_path: Path) -> None:
    strip: Array = np.zeros((2, 65501, 3), np.uint8)
    with pytest.raises(OutputError, match="65501 × 2 pixels exceed what JPEG holds"):
        write_image(tmp_path / "a.jpg", strip)
    write_image(tmp_path / "a.png", strip)
    write_image(tmp_path / "b.jpg", strip[:, :65500])
    assert names_in(tmp_path) == {"a.png", "b.jpg"}


def test_a_fault_of_one_file_is_reported_and_any_other_raised(tmp_path: Path) -> None:
    reported: list[OutputError] = []
    writers = Writers(reported.append)

    def fail(error: Exception) -> None:
        raise error

    done: list[int] = []
    for work in (
        *((fail, OutputError("one")), (done.append, 1), (fail, MindSSDError("all"))),
        *((fail, MindSSDError("again")), (done.append, 2)),
    ):
        writers.write(*work)  # type: ignore[arg-type]
    with pytest.raises(MindSSDError, match="all"):
        writers.finish()
    assert [str(error) for error in reported] == ["one"] and done == [1, 2]

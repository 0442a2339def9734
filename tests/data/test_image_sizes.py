"""Files of another size than annotated: resized, annotated wrongly, or nobody knows."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from mindssd.data import file_headers
from mindssd.data.dataset import DetectionDataset
from mindssd.data.formats.coco import load_coco
from mindssd.data.sizes import same_shape
from mindssd.errors import DatasetError
from mindssd.images import read_image
from tests.data.coco_files import annotation, image, whats, write

RESIZED = "images resized after their annotation: boxes scaled"


def load_with_sizes(
    folder: Path, boxes: list[Any], *sizes: tuple[int, int], **more: Any
) -> DetectionDataset:
    """Load images 1, 2, … annotated as 100 by 50, whose files have these (width, height)."""
    path = write(folder, [image(1 + i, **more) for i in range(len(sizes))], boxes)
    for number, size in enumerate(sizes, start=1):
        Image.new("L", size).save(folder / f"{number}.png")
    return load_coco(path, folder)


@pytest.mark.parametrize(
    ("size", "expected"),
    [
        ((50, 25), [10, 5, 30, 20]),
        ((200, 100), [40, 20, 120, 80]),
        ((33, 16), [6.6, 3.2, 19.8, 12.8]),
        ((33, 17), [6.6, 3.4, 19.8, 13.6]),
        ((640, 320), [128, 64, 384, 256]),
    ],
)
def test_boxes_are_scaled_with_a_file_of_the_same_shape(
    tmp_path: Path, size: tuple[int, int], expected: list[float]
) -> None:
    dataset = load_with_sizes(tmp_path, [annotation(1, 2, 20, 10, 40, 30, area=600)], size)
    record = dataset[0]
    assert (record.width, record.height) == size
    assert record.boxes.tolist() == [pytest.approx(expected)]
    x1, y1, x2, y2 = expected
    assert record.boxes_xywh.tolist() == [pytest.approx([x1, y1, x2 - x1, y2 - y1])]
    # An area of half the box's stays that.
    assert record.areas == pytest.approx((x2 - x1) * (y2 - y1) / 2)
    assert [str(finding) for finding in dataset.report.findings] == [
        f"1 {RESIZED} (such as 1.png, {size[0]}x{size[1]} pixels where width and height say 100x50)"
    ]


@pytest.mark.parametrize("size", [(100, 100), (50, 100), (60, 60), (100, 40)])
def test_a_file_of_another_shape_is_refused_in_a_line(
    tmp_path: Path, size: tuple[int, int]
) -> None:
    with pytest.raises(DatasetError) as caught:
        load_with_sizes(tmp_path, [annotation(2, 2, 20, 10, 15, 20)], (100, 50), size)
    assert str(caught.value) == (
        f"{tmp_path}: 1 images have another shape than annotated, such as 2.png, "
        f"{size[0]}x{size[1]} pixels where width and height say 100x50, so nobody knows where "
        "their boxes lie; correct width and height in the annotations, or leave them out if boxes "
        "are in pixels of the files"
    )


def test_the_size_of_an_image_without_boxes_does_not_matter(tmp_path: Path) -> None:
    dataset = load_with_sizes(
        tmp_path, [annotation(1, 2, 1, 1, 9, 9)], (100, 50), (60, 60), (50, 25)
    )
    assert whats(dataset) == []
    assert [(record.width, record.height) for record in dataset] == [(100, 50), (60, 60), (50, 25)]


def test_where_boxes_reach_over_the_annotated_size_but_not_the_files_that_is_right(
    tmp_path: Path,
) -> None:
    boxes = [annotation(number, 2, 90, 60, 30, 20) for number in (1, 2, 3)]
    path = write(tmp_path, [image(number) for number in (1, 2, 3)], boxes)
    Image.new("L", (200, 100)).save(tmp_path / "1.png")
    (tmp_path / "3.png").write_bytes(b"broken")
    dataset = load_coco(path, tmp_path)
    assert dataset.sizes.tolist() == [[100, 200], [50, 100], [50, 100]]
    assert dataset[0].boxes.tolist() == [[90, 60, 120, 80]]
    assert len(dataset[1].boxes) == len(dataset[2].boxes) == 0
    assert [str(finding) for finding in dataset.report.findings] == [
        "1 images of another size than annotated: the file is right (such as 1.png)",
        "1 image files that cannot be read: not trained on (such as 3.png)",
        "2 boxes wholly outside their image: dropped (such as (90, 60, 120, 80) in 2.png)",
    ]


def test_of_another_shape_too_the_file_is_right_where_boxes_tell(tmp_path: Path) -> None:
    dataset = load_with_sizes(tmp_path, [annotation(1, 2, 20, 40, 10, 50)], (50, 100))
    assert dataset[0].boxes.tolist() == [[20, 40, 30, 90]]
    assert whats(dataset) == ["1 images of another size than annotated: the file is right"]


@pytest.mark.parametrize(("width", "is_resized"), [(42, True), (46, False)])
def test_a_box_drawn_a_little_over_an_image_that_was_resized_is_scaled(
    tmp_path: Path, width: float, is_resized: bool
) -> None:
    dataset = load_with_sizes(tmp_path, [annotation(1, 2, 60, 10, width, 30)], (200, 100))
    scale = 2 if is_resized else 1
    right = min(60 + width, 100 if is_resized else 200)
    assert dataset[0].boxes.tolist() == [[60 * scale, 10 * scale, right * scale, 40 * scale]]
    # Of a smaller file every such box would lie outside; it is scaled too.
    dataset = load_with_sizes(tmp_path, [annotation(1, 2, 60, 10, 55, 30)], (50, 25))
    assert dataset[0].boxes.tolist() == [[30, 5, 50, 20]]


def boxes_at(*places: tuple[int, float, float]) -> list[Any]:
    """Boxes of 9 by 9 pixels that end at (x, y) of image i, for each (i, x, y)."""
    return [annotation(i, 2, x - 9, y - 9, 9, 9) for i, x, y in places]


RIGHT = "images of another size than annotated: the file is right"


@pytest.mark.parametrize(
    ("sizes", "places", "expected"),
    [
        # Of larger files half have boxes over the annotated size: the others too are not scaled.
        ([(200, 100)] * 3, [(1, 190, 20), (2, 60, 90), (3, 40, 40)], [f"3 {RIGHT}"]),
        (
            [(200, 100)] * 3,
            [(1, 190, 20), (2, 60, 40), (3, 40, 40)],
            [f"1 {RIGHT}", f"2 {RESIZED}"],
        ),
        # Of smaller ones none has a box over its file, though there are ten.
        ([(50, 25)] * 2, [(1, 9 + 4 * i, 25) for i in range(10)] + [(2, 30, 20)], [f"2 {RIGHT}"]),
        ([(50, 25)] * 2, [(1, 9 + 4 * i, 25) for i in range(8)] + [(2, 30, 20)], [f"2 {RESIZED}"]),
        ([(50, 25)] * 2, [(1, 9 + 4 * i, 25) for i in range(9)] + [(2, 90, 20)], [f"2 {RESIZED}"]),
        # Shrunk a little, there may well be none either: that tells nothing.
        (
            [(97, 49)] * 2,
            [(i, 9 + 10 * j, 40) for i in (1, 2) for j in range(10)],
            [f"2 {RESIZED}"],
        ),
        ([(60, 30)] * 2, [(i, 50 + j, 30) for i in (1, 2) for j in range(10)], [f"2 {RESIZED}"]),
        # Width and height exchanged.
        ([(50, 100)] * 3, [(1, 40, 90), (2, 30, 80), (3, 20, 20)], [f"3 {RIGHT}"]),
        # Those that are as annotated tell nothing of the others.
        ([(100, 50), (200, 100)], [(1, 60, 40), (2, 190, 40)], [f"1 {RIGHT}"]),
    ],
)
def test_what_most_of_a_sort_show_counts_for_all_of_it(
    tmp_path: Path,
    sizes: list[tuple[int, int]],
    places: list[tuple[int, float, float]],
    expected: list[str],
) -> None:
    dataset = load_with_sizes(tmp_path, boxes_at(*places), *sizes)
    assert whats(dataset) == expected
    if expected[-1].endswith(RIGHT):
        last = places[-1]
        assert dataset[last[0] - 1].boxes[-1].tolist() == [
            last[1] - 9,
            last[2] - 9,
            last[1],
            last[2],
        ]


def test_where_some_boxes_fit_neither_the_sort_is_refused(tmp_path: Path) -> None:
    places = [(1, 40, 90), (2, 30, 80), (3, 90, 20)]
    with pytest.raises(DatasetError, match="1 images have another shape than annotated"):
        load_with_sizes(tmp_path, boxes_at(*places), *[(50, 100)] * 3)


@pytest.mark.parametrize("size", [None, "", 0, -5, "wide", float("nan"), float("inf"), [640]])
def test_a_size_that_is_none_is_read_from_the_file(tmp_path: Path, size: Any) -> None:
    boxes = [annotation(number, 2, 0, 0, 99, 99) for number in (1, 2)]
    path = write(tmp_path, [image(1, width=size), image(2, height=size)], boxes)
    Image.new("L", (30, 20)).save(tmp_path / "1.png")
    (tmp_path / "2.png").write_bytes(b"broken")
    dataset = load_coco(path, tmp_path)
    assert dataset.sizes.tolist() == [[20, 30], [0, 0]]
    assert dataset[0].boxes.tolist() == [[0, 0, 30, 20]]
    assert dataset[1].boxes.tolist() == [[0, 0, 99, 99]]
    assert whats(dataset) == [
        "2 images without width and height: read from their files",
        "1 image files that cannot be read: not trained on",
        "1 boxes partly outside their image: clipped",
    ]


def test_a_size_as_text_is_one(tmp_path: Path) -> None:
    dataset = load_with_sizes(
        tmp_path, [annotation(1, 2, 20, 10, 40, 30)], (50, 25), width="100", height="50.0"
    )
    assert dataset[0].boxes.tolist() == [[10, 5, 30, 20]]


@pytest.mark.parametrize(
    ("stored", "annotated", "shown"),
    [
        ((100, 50), (100, 50), (100, 50)),  # drawn on the picture as stored
        ((100, 50), (50, 100), (50, 100)),  # drawn on the upright one
        ((50, 25), (100, 50), (50, 25)),  # the same, resized since
        ((50, 25), (50, 100), (25, 50)),
    ],
)
def test_a_turned_picture_stays_as_its_annotators_saw_it(
    tmp_path: Path, stored: tuple[int, int], annotated: tuple[int, int], shown: tuple[int, int]
) -> None:
    width, height = annotated
    entry = image(1, "1.jpg", width=width, height=height)
    path = write(tmp_path, [entry], [annotation(1, 2, 10, 10, 20, 30)])
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.new("L", stored).save(tmp_path / "1.jpg", exif=exif)
    record = load_coco(path, tmp_path)[0]
    assert (record.width, record.height) == shown
    assert read_image(record.path, (record.height, record.width)).shape[1::-1] == shown
    scale = shown[0] / width
    assert record.boxes.tolist() == [[10 * scale, 10 * scale, 30 * scale, 40 * scale]]


def test_the_same_shape_is_that_within_rounding() -> None:
    assert same_shape((480, 640), (240, 320)) and same_shape((240, 320), (480, 640))
    assert same_shape((333, 500), (200, 300)) and same_shape((333, 500), (199, 300))
    assert same_shape((1080, 1920), (338, 600)) and same_shape((1080, 1920), (337, 600))
    assert not same_shape((480, 640), (640, 480)) and not same_shape((480, 640), (640, 640))
    assert not same_shape((333, 500), (195, 300)) and not same_shape((0, 0), (0, 0))


def test_the_fingerprint_does_not_depend_on_the_files(tmp_path: Path) -> None:
    boxes = [annotation(1, 2, 20, 10, 90, 30), annotation(2, 2, 20, 10, 40, 30.3)]
    first = load_with_sizes(tmp_path, boxes, (100, 50), (100, 50))
    second = load_with_sizes(tmp_path, boxes, (100, 50), (50, 25))
    assert first.fingerprint() == second.fingerprint()
    assert first[1].boxes.tolist() != second[1].boxes.tolist()


def many(folder: Path, count: int) -> Path:
    """An annotation file of many images, a box on each, all files but the first halved."""
    entries = [image(number) for number in range(count)]
    boxes = [annotation(number, 2, 20, 10, 40.1, 30) for number in range(count)]
    content = {"images": entries, "annotations": boxes, "categories": [{"id": 2, "name": "cat"}]}
    path = folder / "annotations.json"
    path.write_text(json.dumps(content))
    Image.new("L", (50, 25)).save(folder / "half.png")
    for number in range(1, count):
        (folder / f"{number}.png").hardlink_to(folder / "half.png")
    (folder / "half.png").unlink()
    Image.new("L", (100, 50)).save(folder / "0.png")
    return path


def test_in_no_time_nothing_is_known_of_the_files_but_what_is_needed(tmp_path: Path) -> None:
    path = many(tmp_path, 600)
    whole, none = load_coco(path, tmp_path), load_coco(path, tmp_path, seconds_for_sizes=0)
    assert whats(whole) == [f"599 {RESIZED}"]
    # Every third, 200 of at most 256, are always looked at.
    assert whats(none) == [f"199 {RESIZED} (200 files looked at so far)"]
    assert np.flatnonzero(none.file_sizes[:, 0]).tolist() == list(range(0, 600, 3))
    assert whole.fingerprint() == none.fingerprint()


def test_files_read_in_time_stand_for_the_rest(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = many(tmp_path, 600)
    ticks = iter(range(10**6))
    monkeypatch.setattr(file_headers.time, "monotonic", lambda: next(ticks))
    monkeypatch.setattr(file_headers, "_THREADS", 1)
    dataset = load_coco(path, tmp_path, seconds_for_sizes=100)
    (finding,) = dataset.report.findings
    known = np.flatnonzero(dataset.file_sizes[:, 0])
    assert 250 < len(known) < 350 and np.diff(known).max() <= 3
    assert finding.what == f"{RESIZED} ({len(known)} files looked at so far)"
    assert finding.count == len(known) - 1

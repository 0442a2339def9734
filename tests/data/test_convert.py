"""A data set written in another format is the same one; what a format cannot hold is said."""

import csv
import hashlib
import json
import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mindssd.data.convert.job import WRITERS, Settings, convert
from mindssd.data.dataset import DetectionDataset
from mindssd.errors import ConfigError, DatasetError
from tests.conftest import shared
from tests.data.formats.folders import load, load_all, picture, whole, write

TOLERANCES = {"coco": 0.0, "yolo": 0.01, "voc": 0.5}


def converted(source: Path, out: Path, to: str, **settings: object) -> list[str]:
    lines: list[str] = []
    convert(source, out, Settings(to, **settings), lines.append)
    return lines


def truths(dataset: DetectionDataset) -> dict[str, list[tuple[str, bool, list[float]]]]:
    found = {}
    for name, record in zip(dataset.file_names, dataset, strict=True):
        names = [dataset.class_names[label - 1] for label in record.labels.tolist()]
        rows = zip(names, record.is_crowd.tolist(), record.boxes_xywh.tolist(), strict=True)
        found[Path(name).stem] = list(rows)
    return found


def require_same(a: DetectionDataset, b: DetectionDataset, tolerance: float) -> None:
    mine, theirs = truths(a), truths(b)
    assert mine.keys() == theirs.keys()
    for name, rows in mine.items():
        assert [row[:2] for row in rows] == [row[:2] for row in theirs[name]]
        if rows:
            first, second = (np.array([row[2] for row in of]) for of in (rows, theirs[name]))
            assert np.abs(first - second).max() <= tolerance


def digests(folder: Path) -> dict[str, str]:
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """A small set of COCO's with a crowd, an area, fractions, gaps in the ids, odd names."""
    content = {
        "images": [
            {"id": 5, "file_name": "ä b/1.png", "width": 100, "height": 50},
            {"id": 9, "file_name": "c/1.png", "width": 100, "height": 50},
            {"id": 2, "file_name": "none.png", "width": 100, "height": 50},
        ],
        "annotations": [
            {"image_id": 5, "category_id": 3, "bbox": [10.125, 5.3, 20.7, 30.01], "area": 9},
            {"image_id": 5, "category_id": 8, "bbox": [0, 0, 100, 50], "iscrowd": 1},
            {"image_id": 9, "category_id": 8, "bbox": [-3, 40, 20, 20]},
        ],
        "categories": [
            {"id": 8, "name": "dog: <small> & \"brown\""},
            {"id": 3, "name": "cat"},
            {"id": 4, "name": "never seen"},
        ],
    }  # fmt: skip
    folder = tmp_path / "source"
    for split in ("train", "val"):
        write(folder, {f"annotations/instances_{split}2017.json": json.dumps(content)})
        for entry in content["images"]:
            path = folder / f"{split}2017" / entry["file_name"]
            picture(path, seed=len(path.as_posix()) + ord(path.parent.name[-1]))
    return folder


def test_coco_keeps_all_there_is(source: Path, tmp_path: Path) -> None:
    before = digests(source)
    out = tmp_path / "out"
    assert converted(source, out, "coco") == [
        f"{source}/annotations/instances_train2017.json: 3 images, 2 boxes, 1 crowds, "
        "1 images without boxes",
        "  1 boxes partly outside their image: clipped (such as (-3, 40, 17, 60) in c/1.png)",
        f"{source}/annotations/instances_val2017.json: 3 images, 2 boxes, 1 crowds, "
        "1 images without boxes",
        "  1 boxes partly outside their image: clipped (such as (-3, 40, 17, 60) in c/1.png)",
        f"{out}: train: 3 images, 3 boxes",
        f"{out}: val: 3 images, 3 boxes",
    ]
    for split in ("train", "val"):
        assert load(out, split).fingerprint() == load(source, split).fingerprint()
        assert load(out, split).areas.tolist() == load(source, split).areas.tolist()
        assert load(out, split).category_ids == (3, 4, 8)
    assert digests(source) == before
    assert not list(out.glob("changes.csv"))


def test_voc_keeps_crowds_and_classes_and_says_that_areas_are_lost(
    source: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    lines = converted(source, out, "voc")
    assert "  2 areas, which VOC does not have: those of boxes" in lines
    assert "  5 images renamed" in lines
    train = load(out)
    assert train.class_names == load(source).class_names
    mine, theirs = load(source), train
    assert theirs.is_crowd.tolist() == mine.is_crowd.tolist()
    assert np.abs(theirs.boxes_xywh - mine.boxes_xywh).max() < 1e-4
    assert [path.name for path in sorted((out / "JPEGImages").iterdir())] == [
        *("1.png", "1_2.png", "1_3.png", "1_4.png", "none.png", "none_2.png")
    ]


def test_yolo_has_no_crowds_and_no_boxes_beyond_an_image_and_that_is_said(
    source: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    lines = converted(source, out, "yolo")
    assert "  2 crowds, which YOLO does not have: left out" in lines
    assert "  2 boxes partly outside their image: cut to it" in lines
    train = load(out)
    assert train.class_names == load(source).class_names
    assert train.file_names == ["c/1.png", "none.png", "ä b/1.png"]
    assert (out / "labels/train/none.txt").read_text() == ""
    found = dict(
        zip(train.file_names, (r.boxes_xywh.round(4).tolist() for r in train), strict=True)
    )
    assert found == {
        "ä b/1.png": [[10.125, 5.3, 20.7, 30.01]],
        "c/1.png": [[0, 40, 17, 10]],
        "none.png": [],
    }


@pytest.mark.parametrize("to", WRITERS)
def test_an_image_whose_name_no_annotation_file_can_hold_gets_one(to: str, tmp_path: Path) -> None:
    """Bytes that are no text, as of an old archive, and ends of lines."""
    source = tmp_path / "set"
    names = [os.fsdecode(b"\xff\xfe"), "a\nb", "c\u2028d", "plain"]
    files = {f"images/train/{name}.png": None for name in names}
    boxes_of = {f"labels/train/{name}.txt": "0 0.5 0.5 0.2 0.4\n" for name in names}
    write(source, {**files, **boxes_of, "data.yaml": "train: images/train\nnames: [cat]\n"})
    lines = converted(source, tmp_path / "out", to)
    assert "  3 images renamed" in lines
    dataset = whole(tmp_path / "out")
    assert sorted(Path(name).stem for name in dataset.file_names) == ["__", "a_b", "c_d", "plain"]
    assert dataset.report.num_boxes == 4


def test_labels_lie_where_the_last_folder_of_images_says(tmp_path: Path) -> None:
    """As Ultralytics looks for them."""
    image = {"id": 1, "file_name": "a/images/b.c.png"}
    content = {
        "images": [image],
        "annotations": [{"image_id": 1, "category_id": 3, "bbox": [10, 20, 20, 20]}],
        "categories": [{"id": 3, "name": "cat"}],
    }
    files: dict[str, str | None] = {}
    for part in ("train2017", "val2017"):
        files[f"annotations/instances_{part}.json"] = json.dumps(content)
        files[f"{part}/a/images/b.c.png"] = None
    source = write(tmp_path / "source", files)
    converted(source, tmp_path / "out", "yolo")
    assert (tmp_path / "out/images/train/a/labels/b.c.txt").is_file()
    converted(tmp_path / "out", tmp_path / "back", "coco")
    require_same(load(source), load(tmp_path / "back"), TOLERANCES["yolo"])


@pytest.mark.parametrize("to", ["yolo", "voc"])
@pytest.mark.parametrize("name", ["bccd", "cards"])
def test_there_and_back_the_boxes_are_the_same(name: str, to: str, tmp_path: Path) -> None:
    source = shared(f"data/{name}")
    converted(source, tmp_path / "coco", "coco")
    converted(tmp_path / "coco", tmp_path / to, to)
    converted(tmp_path / to, tmp_path / "back", "coco")
    for split in ("train", "val"):
        require_same(load(source, split), load(tmp_path / "coco", split), 0)
        require_same(load(source, split), load(tmp_path / "back", split), TOLERANCES[to])
        assert set(load(tmp_path / "back", split).class_names) == set(load(source).class_names)


@pytest.mark.parametrize("to", WRITERS)
def test_a_box_thinner_than_a_pixel_comes_back(to: str, tmp_path: Path) -> None:
    line = "0 0.5 0.5 0.001 0.4\n"
    files = {"train/a.png": None, "train/a.txt": line, "val/b.png": None, "val/b.txt": line}
    write(tmp_path / "in", {**files, "classes.txt": "cat\n"})
    converted(tmp_path / "in", tmp_path / "out", to)
    require_same(load(tmp_path / "in"), load(tmp_path / "out"), 1e-3)


@pytest.mark.parametrize("to", WRITERS)
def test_a_test_part_comes_back_too(to: str, tmp_path: Path) -> None:
    files = {"classes.txt": "cat\n"}
    for part in ("train", "valid", "test"):
        files |= {f"{part}/{part}.png": None, f"{part}/{part}.txt": "0 0.5 0.5 0.2 0.4\n"}
    converted(write(tmp_path / "in", files), tmp_path / "out", to)
    lines = converted(tmp_path / "out", tmp_path / "back", "coco")
    assert [
        f"{part}: 1 images, 1 boxes" in line
        for part, line in zip(("train", "val", "test"), lines[-3:], strict=True)
    ] == [True] * 3
    assert load(tmp_path / "out", "val").file_names == ["valid.png"]


def test_a_part_is_split_off_when_asked_and_none_is_invented(tmp_path: Path) -> None:
    for index in range(10):
        picture(tmp_path / f"in/{index % 2}_{index}.png", seed=index)
        (tmp_path / f"in/{index % 2}_{index}.txt").write_text("0 0.5 0.5 0.2 0.2\n")
    write(tmp_path / "in", {"classes.txt": "cat\n"})
    converted(tmp_path / "in", tmp_path / "whole", "yolo")
    assert not (tmp_path / "whole/images/val").exists()
    converted(tmp_path / "in", tmp_path / "split", "voc", val_share=0.3)
    train, val = load_all(tmp_path / "split")
    assert (len(train), len(val)) == (7, 3)
    converted(tmp_path / "in", tmp_path / "by", "coco", val_share=0.5, group_by=r"^\d")
    assert {name[0] for name in load(tmp_path / "by", "val").file_names} in ({"0"}, {"1"})


def test_a_clean_copy_lists_every_change(tmp_path: Path) -> None:
    source, out = tmp_path / "in", tmp_path / "out"
    label = "0 0.5 0.5 0.2 0.2\n"
    files = {f"{part}/{n}.png": None for part in ("train", "val") for n in "ab"}
    files |= {f"{part}/{n}.txt": label for part in ("train", "val") for n in "ab"}
    files["train/a.txt"] = label + "0 0.5 x\n0 0.95 0.5 0.2 0.2\n" + label
    write(source, {**files, "classes.txt": "cat\n", "train/cut.txt": label})
    (source / "train/cut.png").write_bytes((source / "train/a.png").read_bytes()[:2000])
    (source / "val/b.png").write_bytes((source / "train/a.png").read_bytes())
    before = digests(source)
    lines = converted(source, out, "coco", fix=True)
    assert digests(source) == before
    assert "  1 copies of another image: left out" in lines
    with (out / "changes.csv").open() as file:
        rows = [tuple(row) for row in csv.reader(file)]
    assert rows[0] == ("part", "what", "which")
    assert [row[:2] for row in rows[1:]] == [
        ("train", "lines that are no class x y width height in numbers: dropped"),
        ("train", "boxes partly outside their image: clipped"),
        ("train", "boxes annotated twice, of one class and image: kept once"),
        ("train", "boxes partly outside their image: cut to it"),
        ("train", "images that cannot be read: left out"),
        ("val", "copies of another image: left out"),
    ]
    assert rows[-1][2] == "b.png with 1 boxes, of train: a.png"
    assert load(out).file_names == ["a.png", "b.png"] and load(out, "val").file_names == ["a.png"]
    assert load(out).report.findings == ()


def test_an_image_annotated_as_stored_is_not_turned_into_yolo(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    for part in ("train", "val"):
        path = tmp_path / f"in/{part}2017/t.jpg"
        picture(path.with_name("a.png"), seed=ord(part[0]))
        Image.new("RGB", (50, 100)).save(path, exif=exif)
        content = {
            "images": [
                {"id": 1, "file_name": "t.jpg", "width": 50, "height": 100},
                {"id": 2, "file_name": "a.png", "width": 100, "height": 50},
            ],
            "annotations": [
                {"image_id": k, "category_id": 1, "bbox": [1, 2, 30, 40]} for k in (1, 2)
            ],
            "categories": [{"id": 1, "name": "cat"}],
        }
        name = f"in/annotations/instances_{part}2017.json"
        write(tmp_path, {name: json.dumps(content)})
    lines = converted(tmp_path / "in", tmp_path / "out", "yolo")
    assert "  2 images annotated as stored, though EXIF turns them: left out" in lines
    converted(tmp_path / "in", tmp_path / "voc", "voc")
    require_same(load(tmp_path / "in"), load(tmp_path / "voc"), 0.01)


@pytest.mark.parametrize(
    ("out", "settings", "error", "message"),
    [
        ("source/out", {}, ConfigError, "and it must lie apart"),
        (".", {}, ConfigError, "and it must lie apart"),
        ("full", {}, ConfigError, r"full: is there already; expected a new or an empty folder"),
        ("out", {"val_share": 0.2}, ConfigError, "change nothing: .* has a part val"),
        ("out", {"format": "voc"}, DatasetError, "no voc annotations"),
    ],
)
def test_what_cannot_be_done_is_said_before_anything_is_written(
    out: str, settings: dict, error: type, message: str, source: Path, tmp_path: Path
) -> None:
    write(tmp_path / "full", {"a": "x"})
    before = digests(tmp_path)
    with pytest.raises(error, match=message):
        converted(source, tmp_path / out, "coco", **settings)
    assert digests(tmp_path) == before

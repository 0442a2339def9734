"""A format is told by what lies in a folder; two, or none, are said and never guessed at."""

import json
from pathlib import Path

import pytest

from mindssd.data.formats.tree import Tree
from mindssd.errors import ConfigError, DatasetError
from tests.data.formats.folders import boxes, load, write
from tests.data.formats.test_voc import CAT, xml

YOLO = {"train/a.txt": "0 0.5 0.5 0.2 0.4\n", "classes.txt": "cat\n", "val/b.txt": ""}
VOC = {"train/a.xml": xml(CAT), "val/b.xml": xml(CAT, filename="b.png")}
IMAGES = {"train/a.png": None, "val/b.png": None}


def test_two_formats_at_once_are_an_error_until_one_is_named(tmp_path: Path) -> None:
    folder = write(tmp_path, {**YOLO, **VOC, **IMAGES})
    message = (
        r"more than one format, YOLO \(train/a\.txt\) and Pascal VOC \(train/a\.xml\); say which "
        r"to read: format=yolo or format=voc"
    )
    with pytest.raises(DatasetError, match=message):
        load(folder)
    assert boxes(load(folder, "train", "format=yolo")) == {"a.png": [("cat", 40, 15, 60, 35)]}
    assert boxes(load(folder, "train", "format=voc")) == {"a.png": [CAT]}


@pytest.mark.parametrize(
    ("files", "overrides", "message"),
    [
        (IMAGES, [], r"has 2 images, such as train/a\.png, and no annotations in a format that is"),
        ({**IMAGES, **YOLO}, ["format=voc"], r"has 2 images, such as .* and no voc annotations"),
        (VOC, [], "has none of the 1 annotated images, such as a.png"),
        ({"notes.md": "x"}, [], r"has 1 files, such as notes\.md, and none is an image"),
        ({"a.zip": "x"}, [], r"has no annotations in .*, but a\.zip; name or unpack that"),
        ({}, [], "no such folder; expected images and annotations"),
        ({**IMAGES, "a.json": "{"}, [], r"a\.json: not JSON, or cut short"),
    ],
    ids=[
        "images alone",
        "another format",
        "labels alone",
        "neither",
        "archive",
        "no folder",
        "no JSON",
    ],
)
def test_a_folder_without_what_is_needed_is_said(
    files: dict[str, str], overrides: list[str], message: str, tmp_path: Path
) -> None:
    with pytest.raises(DatasetError, match=message):
        load(write(tmp_path / "set", files), "train", *overrides)


def test_a_file_is_no_folder(tmp_path: Path) -> None:
    write(tmp_path, {"data.yaml": "x"})
    with pytest.raises(
        DatasetError, match=r"data\.yaml: is a file, and no \.zip; expected the fold"
    ):
        load(tmp_path / "data.yaml")


def test_a_format_that_does_not_exist_is_named_with_those_that_do(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"format.*'pascal'"):
        load(tmp_path, "train", "format=pascal")


def test_the_layout_of_coco_2017_is_coco_whatever_else_lies_there(tmp_path: Path) -> None:
    content = {
        "images": [{"id": 1, "file_name": "a.png"}],
        "annotations": [{"image_id": 1, "category_id": 3, "bbox": [1, 2, 3, 4]}],
        "categories": [{"id": 3, "name": "cat"}],
    }
    files = {
        "annotations/instances_train2017.json": json.dumps(content),
        "annotations/captions_train2017.json": json.dumps({**content, "categories": []}),
        "annotations/person_keypoints_train2017.json": json.dumps(content),
        "annotations/instance_val2017.json": json.dumps(content),
        "train2017/a.png": None,
        "val2017/a.png": None,
    }
    folder = write(tmp_path, files)
    assert boxes(load(folder)) == boxes(load(folder, "val")) == {"a.png": [("cat", 1, 2, 4, 6)]}
    (folder / "annotations/instance_val2017.json").unlink()
    with pytest.raises(DatasetError, match=r"instances_val2017\.json: no such file"):
        load(folder, "val")


def test_a_folder_that_links_lead_to_as_well_has_its_own_name(tmp_path: Path) -> None:
    write(tmp_path, {**YOLO, **IMAGES})
    for link in ("a", "sub/latest", "z"):
        (tmp_path / link).parent.mkdir(exist_ok=True)
        (tmp_path / link).symlink_to(tmp_path / "train", target_is_directory=True)
    names = [name for name in Tree.of(tmp_path).files if name.endswith("a.png")]
    assert names == ["train/a.png"]
    (tmp_path / "train").rename(tmp_path.parent / f"{tmp_path.name}-moved")
    for link in ("a", "sub/latest", "z"):
        (tmp_path / link).unlink()
        (tmp_path / link).symlink_to(tmp_path.parent / f"{tmp_path.name}-moved")
    names = [name for name in Tree.of(tmp_path).files if name.endswith("a.png")]
    assert names == ["a/a.png"]

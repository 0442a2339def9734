"""What tools, editors and other systems make of annotation files, and what they leave out."""

import json
from pathlib import Path

import pytest

from mindssd.errors import DatasetError
from tests.data.formats.folders import boxes, load, whats, whole, write
from tests.data.formats.test_exports import CAT, DOG, RECT, coco, labelme, via

BOX = "0 0.2 0.6 0.2 0.4\n"


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("_annotations.coco.json", coco("a.png")),
        ("a.json", labelme("a.png", ("cat", "rectangle", [[30, 40], [10, 20]]))),
        ("via.json", json.dumps(via((RECT, {"class": "cat"})))),
    ],
)
def test_json_may_have_a_mark_of_its_encoding(name: str, text: str, tmp_path: Path) -> None:
    write(tmp_path, {name: b"\xef\xbb\xbf" + text.encode(), "a.png": None})
    assert CAT in boxes(whole(tmp_path))["a.png"]


def test_coco_of_a_tool_may_have_boxes_that_are_not_finite(tmp_path: Path) -> None:
    text = coco("a.png").replace("2.25", "NaN")
    dataset = whole(write(tmp_path, {"_annotations.coco.json": text, "a.png": None}))
    assert boxes(dataset) == {"a.png": [CAT]}
    assert whats(dataset) == ["1 boxes that are not finite: dropped"]


def test_a_csv_may_call_images_without_their_suffix(tmp_path: Path) -> None:
    text = "image_id,xmin,ymin,xmax,ymax,label\na,10,20,30,40,cat\nb.1,1,2,3.5,4.25,dog\n"
    write(tmp_path, {"a.csv": text, "images/a.png": None, "images/b.1.png": None})
    dataset = whole(tmp_path)
    assert boxes(dataset) == {"a.png": [CAT], "b.1.png": [DOG]} and whats(dataset) == []


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16"])
def test_a_csv_of_a_spreadsheet_may_be_in_utf_16_and_a_name_may_hold_any_sign(
    encoding: str, tmp_path: Path
) -> None:
    name = "a\x85\u2028b.png"
    text = f"image;x1;y1;x2;y2;label\r\n{name};10;20;30;40;cat\r\n"
    write(tmp_path, {"a.csv": text.encode(encoding), name: None})
    assert boxes(whole(tmp_path)) == {name: [CAT]}


def test_odd_regions_of_via_are_dropped(tmp_path: Path) -> None:
    content = via((RECT, {"class": "cat"}))
    content["a.png123"]["regions"] += [1, None, {"x": 2}]
    content["b"] = {"filename": "b.png", "regions": 5}
    dataset = whole(write(tmp_path, {"v.json": json.dumps(content), "a.png": None, "b.png": None}))
    assert boxes(dataset) == {"a.png": [CAT], "b.png": []}
    assert whats(dataset) == ["3 shapes without a label or points: dropped"]


def test_xml_of_something_else_is_no_image(tmp_path: Path) -> None:
    text = (
        "<annotation><object><name>cat</name><bndbox><xmin>10</xmin><ymin>20</ymin>"
        "<xmax>30</xmax><ymax>40</ymax></bndbox></object></annotation>"
    )
    dataset = whole(write(tmp_path, {"a.xml": text, "a.png": None, "pom.xml": "<project/>"}))
    assert boxes(dataset) == {"a.png": [CAT]}
    assert whats(dataset) == ["1 XML files of something else: passed over"]


LAYOUTS = {
    "Roboflow's for darknet": {
        "train/_darknet.labels": "cat\n",
        "train/a.png": None,
        "train/a.txt": BOX,
        "valid/_darknet.labels": "cat\n",
        "valid/b.png": None,
        "valid/b.txt": BOX,
    },
    "Ultralytics' list beside the set": {
        "coco128.yaml": "path: ../datasets/coco128\ntrain: images/train2017\n"
        "val: images/val2017\ntest: # optional\nnames:\n  0: cat\n",
        "coco128/images/train2017/a.png": None,
        "coco128/labels/train2017/a.txt": BOX,
        "coco128/images/val2017/b.png": None,
        "coco128/labels/val2017/b.txt": BOX,
    },
    "capitals": {
        "data.yaml": "train: Images/train\nval: Images/val\nnames: [cat]\n",
        "Images/train/a.png": None,
        "Labels/train/a.TXT": BOX,
        "Images/val/b.png": None,
        "Labels/val/b.txt": BOX,
    },
}


@pytest.mark.parametrize("files", LAYOUTS.values(), ids=LAYOUTS)
def test_labels_are_found_however_a_tool_or_system_spells_their_folder(
    files: dict[str, str | None], tmp_path: Path
) -> None:
    folder = write(tmp_path, files)
    assert boxes(load(folder)) == {"a.png": [CAT]} and boxes(load(folder, "val")) == {
        "b.png": [CAT]
    }


def test_another_number_of_classes_than_names_is_said(tmp_path: Path) -> None:
    text = "nc: 5\nnames: [cat]\ntrain: images\n"
    dataset = whole(write(tmp_path, {"data.yaml": text, "images/a.png": None, "labels/a.txt": BOX}))
    assert dataset.class_names == ("cat",)
    assert whats(dataset) == [
        "1 numbers of classes other than that of their names: the names taken"
    ]
    assert dataset.report.findings[0].example == "data.yaml: 5, and 1 names"


LABELS = {"images/a.png": None, "labels/a.txt": BOX}


@pytest.mark.parametrize(
    ("files", "message"),
    [
        (
            {"annotations.xml": "<annotations><track label='a'/></annotations>", "a.png": None},
            r"annotations\.xml: lists no images, as CVAT for video does not; export",
        ),
        (
            {"via.json": '{"_via_img_metadata": [1]}', "a.png": None},
            r"via\.json \(VIA\): names no images",
        ),
        (
            {"a.json": labelme("a.png", ("cat", "point", [[1, 2]])), "a.png": None},
            r"no classes; 1 shapes without area, .* \(a\.json, shapes\[0\] \(point\)\)",
        ),
        (
            {"a.csv": "image_id,width,height,bbox\na,1,2,[1]\n", "a.png": None},
            r"a\.csv:1: its columns are image_id, width, height, bbox; expected file,x1,y1,x2,y2",
        ),
        (
            {"train/x.json": '{"images": [], "annotations": []}', "train/a.png": None},
            r"x\.json: COCO annotations without 'categories'; expected all three",
        ),
        (
            {**LABELS, "data.yaml": "train: images\nnames: [yes, no]\n"},
            r"data\.yaml: class 0 is called True \(YAML reads yes, .*quotes, such as",
        ),
        (
            {**LABELS, "data.yaml": "train: images\nnames: [a, '']\n"},
            r"data\.yaml: class 1 is called ''",
        ),
        (
            {**LABELS, "data.yaml": "nc: 1\ntrain: images\n"},
            r"data\.yaml: does not name its classes; add them",
        ),
        (
            {**LABELS, "data.yaml": "train: images\nval: ../valid/images\nnames: [cat]\n"},
            r"data\.yaml:2: val is \.\./valid/images, which .* or remove the line",
        ),
        (
            {**LABELS, "classes.txt": "cat\n", "labels/a.txt": "1e300 .5 .5 .1 .1\n"},
            r"labels/a\.txt:1: '1e300 \.5 \.5 \.1 \.1' is no box",
        ),
    ],
)
def test_annotations_without_what_is_needed_say_what_they_lack(
    files: dict[str, str | None], message: str, tmp_path: Path
) -> None:
    with pytest.raises(DatasetError, match=message):
        load(write(tmp_path, files))

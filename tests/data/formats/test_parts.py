"""Which images belong to which part, where folders, lists and annotations do not cover all."""

from pathlib import Path

import pytest

from mindssd.build.data import find_layout
from tests.data.formats.folders import boxes, config_of, load, load_all, whats, whole, write

XML = (
    "<annotation><object><name>{}</name><bndbox><xmin>10</xmin><ymin>20</ymin><xmax>30</xmax>"
    "<ymax>40</ymax></bndbox></object></annotation>"
)
SHAPES = (
    '{{"shapes": [{{"label": "{}", "shape_type": "rectangle", "points": [[10, 20], [30, 40]]}}], '
    '"imagePath": "../images/a.png", "imageData": null}}'
)
CSV = "file,x1,y1,x2,y2,class\na.png,10,20,30,40,cat\n"
CAT, DOG = ("cat", 10.0, 20.0, 30.0, 40.0), ("dog", 10.0, 20.0, 30.0, 40.0)
PASSED_OVER = "1 images in no part that is annotated: passed over"

ANNOTATED = {
    "csv": {"train.csv": CSV, "train/a.png": None},
    "csv, Kaggle's": {"train.csv": CSV, "train_images/a.png": None},
    "labelme": {"train/a.json": SHAPES.format("cat"), "train/a.png": None},
    "voc": {"train/a.xml": XML.format("cat"), "train/a.png": None},
    "yolo": {"classes.txt": "cat", "train/a.txt": "0 .2 .6 .2 .4", "train/a.png": None},
    "yolo, listed": {
        "data.yaml": "names: [cat]\ntrain: train\ntest: test\n",
        "train/a.txt": "0 .2 .6 .2 .4",
        "train/a.png": None,
    },
}


@pytest.mark.parametrize("files", ANNOTATED.values(), ids=ANNOTATED)
def test_images_to_be_labelled_by_others_are_neither_background_nor_evaluated_on(
    files: dict[str, str | None], tmp_path: Path
) -> None:
    name = "test_images" if "train_images/a.png" in files else "test"
    folder = write(tmp_path, {**files, f"{name}/b.png": None})
    layout = find_layout(config_of(folder))
    assert list(layout.parts) == ["train"] and layout.validation is None
    dataset = whole(folder)
    assert boxes(dataset) == {"a.png": [CAT]} and PASSED_OVER in whats(dataset)


@pytest.mark.parametrize(
    ("train", "val"),
    [("train_images", "val_images"), ("TrainSet", "ValidationSet"), ("images_train", "imagesVal")],
)
def test_folders_may_say_that_they_are_of_images_or_a_set(
    train: str, val: str, tmp_path: Path
) -> None:
    files = {"classes.txt": "cat\n"}
    for part in (train, val):
        files |= {f"{part}/{part}.png": None, f"{part}/{part}.txt": "0 .2 .6 .2 .4\n"}
    found = load_all(write(tmp_path, files))
    assert [part.file_names for part in found] == [[f"{train}.png"], [f"{val}.png"]]


BESIDE = {
    "labelme": {"val/c.json": SHAPES.format("cat"), "more/b.json": SHAPES.format("cat")},
    "voc": {"val/c.xml": XML.format("cat"), "more/b.xml": XML.format("cat")},
    "yolo": {"val/c.txt": "0 .2 .6 .2 .4", "more/b.txt": "0 .2 .6 .2 .4"},
}


@pytest.mark.parametrize("format", BESIDE)
def test_what_lies_beside_the_parts_is_passed_over_and_said(format: str, tmp_path: Path) -> None:
    images = {"val/c.png": None, "more/b.png": None}
    train, val = load_all(write(tmp_path, {**ANNOTATED[format], **BESIDE[format], **images}))
    assert boxes(train) == {"a.png": [CAT]} and boxes(val) == {"c.png": [CAT]}
    assert PASSED_OVER in whats(train) and PASSED_OVER not in whats(val)


@pytest.mark.parametrize(
    "folders",
    [("{}/annotations", "{}/images"), ("annotations/{}", "images/{}"), ("{}/xml", "{}/img")],
)
@pytest.mark.parametrize(("suffix", "text"), [("xml", XML), ("json", SHAPES)])
def test_images_of_one_name_in_two_parts_keep_their_own_annotations(
    folders: tuple[str, str], suffix: str, text: str, tmp_path: Path
) -> None:
    files: dict[str, str | None] = {}
    for part, name in (("train", "cat"), ("val", "dog")):
        annotations, images = (folder.format(part) for folder in folders)
        files |= {f"{annotations}/a.{suffix}": text.format(name), f"{images}/a.png": None}
    train, val = load_all(write(tmp_path, files))
    assert boxes(train) == {"a.png": [CAT]} and boxes(val) == {"a.png": [DOG]}


@pytest.mark.parametrize(("suffix", "text"), [("xml", XML), ("json", SHAPES)])
def test_annotations_in_one_folder_are_of_the_parts_of_their_images(
    suffix: str, text: str, tmp_path: Path
) -> None:
    files = {
        f"annotations/a.{suffix}": text.format("cat"),
        f"annotations/b.{suffix}": text.format("dog").replace("a.png", "b.png"),
        "images/train/a.png": None,
        "images/val/b.png": None,
    }
    train, val = load_all(write(tmp_path, files))
    assert boxes(train) == {"a.png": [CAT]} and boxes(val) == {"b.png": [DOG]}


def test_an_image_of_a_name_that_another_part_describes_is_background(tmp_path: Path) -> None:
    files = {
        "train/a.xml": XML.format("cat"),
        "train/a.png": None,
        "val/a.png": None,
        "val/b.xml": XML.format("cat"),
        "val/b.png": None,
    }
    assert boxes(load(write(tmp_path, files), "val")) == {"a.png": [], "b.png": [CAT]}

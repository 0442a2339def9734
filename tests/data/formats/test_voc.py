"""Pascal VOC's format, as the challenge and the tools write it."""

from pathlib import Path

import numpy as np
import pytest

from mindssd.errors import DatasetError
from tests.conftest import shared
from tests.data.formats.folders import boxes, load, picture, whats, write


def xml(
    *objects: tuple[str, float, float, float, float],
    filename: str = "a.png",
    database: str = "Unknown",
    size: tuple[int, int] = (100, 50),
    difficult: str = "0",
) -> str:
    """An annotation as labelImg writes it."""
    boxes = "".join(
        f"<object><name>{name}</name><pose>Unspecified</pose><truncated>0</truncated>"
        f"<difficult>{difficult}</difficult><bndbox><xmin>{x1}</xmin><ymin>{y1}</ymin>"
        f"<xmax>{x2}</xmax><ymax>{y2}</ymax></bndbox></object>\n"
        for name, x1, y1, x2, y2 in objects
    )
    return (
        f"<annotation>\n<folder>x</folder><filename>{filename}</filename>"
        f"<path>C:\\pictures\\{filename}</path><source><database>{database}</database></source>\n"
        f"<size><width>{size[0]}</width><height>{size[1]}</height><depth>3</depth></size>\n"
        f"<segmented>0</segmented>\n{boxes}</annotation>\n"
    )


CAT = ("cat", 10, 20, 30, 40)
DOG = ("dog", 1, 2, 3, 4)


def test_tools_write_corners_as_they_are_and_the_challenge_counts_pixels_from_1(
    tmp_path: Path,
) -> None:
    folder = write(
        tmp_path,
        {
            "train/a.png": None,
            "train/a.xml": xml(CAT),
            "train/b.png": None,
            "train/b.xml": xml(CAT, filename="b.png", database="The VOC2007 Database"),
            "val/c.png": None,
            "val/c.xml": xml(CAT, filename="c.png"),
        },
    )
    train = load(folder)
    assert boxes(train) == {"a.png": [CAT], "b.png": [("cat", 9, 19, 30, 40)]}
    assert whats(train) == ["1 files of Pascal VOC's own: their pixels are counted from 1"]


def test_the_lists_of_the_challenge_say_the_parts_and_difficult_objects_are_crowds(
    tmp_path: Path,
) -> None:
    folder = write(
        tmp_path / "VOCdevkit/VOC2012",
        {
            "ImageSets/Main/train.txt": "a\nnone\n",
            "ImageSets/Main/val.txt": "b\n",
            "ImageSets/Main/trainval.txt": "a\nnone\nb\n",
            "ImageSets/Main/test.txt": "c\n",  # whose annotations nobody has
            "ImageSets/Main/cat_train.txt": "a  1\n",
            "JPEGImages/a.png": None,
            "JPEGImages/b.png": None,
            "JPEGImages/c.png": None,
            "JPEGImages/none.png": None,
            "Annotations/a.xml": xml(CAT, DOG, DOG, difficult="1"),
            "Annotations/b.xml": xml(DOG, filename="b.png"),
        },
    )
    train, val = load(tmp_path), load(tmp_path, "val")
    assert boxes(train) == {"a.png": [CAT, DOG], "none.png": []}
    assert train.is_crowd.tolist() == [True, True]
    assert boxes(val) == {"b.png": [DOG]}
    assert train.class_names == val.class_names == ("dog", "cat")  # of most boxes first
    assert train.image_dir == f"{folder}/JPEGImages"
    assert whats(val) == ["1 images of the folder that the annotations do not list: passed over"]
    write(folder, {"Annotations/c.xml": xml(CAT, filename="c.png")})
    assert list(boxes(load(tmp_path))) == ["a.png", "none.png", "b.png"]
    assert list(boxes(load(tmp_path, "val"))) == ["c.png"]


def test_a_file_means_the_image_of_its_own_name_then_the_one_it_names(tmp_path: Path) -> None:
    folder = write(
        tmp_path,
        {
            "train/a.png": None,
            "train/a.xml": xml(CAT, filename="other.png"),
            "train/b.png": None,
            "train/0001.xml": xml(DOG, filename="D:\\x\\b.png"),
            "test/c.png": None,
            "test/c.xml": xml(DOG, filename="c"),
        },
    )
    assert boxes(load(folder)) == {"b.png": [DOG], "a.png": [CAT]}
    assert boxes(load(folder, "val")) == {"c.png": [DOG]}


def test_a_size_that_is_not_given_is_read_and_objects_without_a_box_are_dropped(
    tmp_path: Path,
) -> None:
    broken = xml(CAT, DOG, size=(0, 0)).replace("<xmin>1</xmin>", "<xmin>one</xmin>")
    part = "<part><name>head</name><bndbox><xmin>1</xmin></bndbox></part></object>"
    files = {"train/a.png": None, "train/a.xml": broken.replace("</object>", part, 1)}
    write(tmp_path, {**files, "val/b.png": None, "val/b.xml": xml(CAT, filename="b.png")})
    dataset = load(tmp_path)
    assert boxes(dataset) == {"a.png": [CAT]}
    assert dataset.sizes.tolist() == [[50, 100]]
    assert whats(dataset)[0] == "1 objects without a name or a box of four numbers: dropped"
    assert dataset.report.findings[0].example == "train/a.xml:6"


def test_cvats_list_of_labels_gives_their_order(tmp_path: Path) -> None:
    labels = "# label:color_rgb:parts:actions\nbackground:0,0,0::\nzebra:1,1,1::\ncat:2,2,2::\n"
    files = {"labelmap.txt": labels, "ImageSets/Main/default.txt": "a\nb\nc\nd\n"}
    for name in "abcd":
        files |= {f"JPEGImages/{name}.png": None}
        files |= {f"Annotations/{name}.xml": xml(CAT, filename=f"{name}.png")}
    assert load(write(tmp_path, files)).class_names == ("zebra", "cat")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('<!DOCTYPE a [<!ENTITY b "b">]>\n' + xml(CAT), r"a\.xml:1: declares a document type"),
        (xml(CAT).replace("</object>", ""), r"a\.xml:6: not XML, or cut short: mismatched tag"),
        (xml(CAT)[:150], r"a\.xml:3: not XML, or cut short: "),
    ],
)
def test_a_file_that_is_no_sound_xml_is_named_with_its_line(
    text: str, message: str, tmp_path: Path
) -> None:
    write(tmp_path, {"a.png": None, "a.xml": text, "b.png": None, "b.xml": xml(CAT)})
    with pytest.raises(DatasetError, match=message):
        load(tmp_path)


@pytest.mark.parametrize("split", ["train", "val"])
def test_blood_cells_in_this_format_are_those_of_coco(bccd_dir: Path, split: str) -> None:
    coco, voc = load(bccd_dir, split), load(shared("data/bccd_voc"), split)
    assert voc.class_names == coco.class_names
    assert voc.file_names == coco.file_names and voc.image_ids.tolist() == coco.image_ids.tolist()
    assert np.array_equal(voc.starts, coco.starts) and np.array_equal(voc.labels, coco.labels)
    assert np.abs(voc.boxes_xywh - coco.boxes_xywh).max() <= 0.5
    assert voc.fingerprint() == coco.fingerprint()


def test_cards_are_read_as_they_are() -> None:
    train, val = (load(shared("data/cards"), split) for split in ("train", "val"))
    assert (len(train), train.report.num_boxes, len(val), val.report.num_boxes) == (
        296,
        527,
        67,
        143,
    )
    assert train.class_names == val.class_names == ("ace", "king", "nine", "jack", "queen", "ten")
    assert train.report.findings == val.report.findings == ()


def test_an_image_that_was_resized_has_its_boxes_scaled_as_in_every_format(tmp_path: Path) -> None:
    write(tmp_path, {"train/a.xml": xml(CAT), "val/b.png": None, "val/b.xml": xml(CAT)})
    picture(tmp_path / "train/a.png", 200, 100)
    assert load(tmp_path)[0].boxes.tolist() == [[20, 40, 60, 80]]

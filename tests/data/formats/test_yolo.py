"""YOLO's format, as Ultralytics, Roboflow, CVAT, Label Studio, labelImg and darknet lay it out."""

from pathlib import Path

import pytest

from mindssd.errors import DatasetError
from tests.data.formats.folders import boxes, load, picture, whats, write

NAMES = "names: [cat, dog]\n"
BOX = "1 0.5 0.5 0.2 0.4\n"  # of 100 by 50: x 40 to 60, y 15 to 35
DOG = ("dog", 40, 15, 60, 35)


def test_a_centre_and_sides_in_shares_become_corners_in_pixels_of_the_file(tmp_path: Path) -> None:
    folder = write(
        tmp_path,
        {
            "data.yaml": "path: .\ntrain: images/train\nval: images/val\n"
            "names:\n  0: cat\n  1: dog\n",
            "images/train/a.png": None,
            "images/train/none.png": None,
            "labels/train/a.txt": BOX + "0 0.1 0.1 0.2 0.2\n",
            "images/val/b.png": None,
            "labels/val/b.txt": "0 0.25 0.25 0.5 0.5\n",
        },
    )
    picture(folder / "images/val/b.png", width=640, height=480)
    train, val = load(folder), load(folder, "val")
    assert boxes(train) == {"a.png": [DOG, ("cat", 0, 0, 20, 10)], "none.png": []}
    assert boxes(val) == {"b.png": [("cat", 0, 0, 320, 240)]}
    assert train.class_names == ("cat", "dog") and train.category_ids == (0, 1)
    assert train.report.findings == ()


def test_a_polygon_becomes_its_box_and_key_points_are_passed_over(tmp_path: Path) -> None:
    line = "0 0.1 0.2 0.3 0.2 0.2 0.6\n"
    files = {"train/a.png": None, "train/a.txt": line, "val/b.png": None}
    files["data.yaml"] = NAMES + "train: train\nval: val\n"
    folder = write(tmp_path, files)
    assert boxes(load(folder)) == {"a.png": [("cat", 10, 10, 30, 30)]}
    write(folder, {"train/a.txt": "1 0.5 0.5 0.2 0.4 0.5 0.5 2\n"})
    write(folder, {"data.yaml": files["data.yaml"] + "kpt_shape: [1, 3]\n"})
    assert boxes(load(folder)) == {"a.png": [DOG]}


LAYOUTS = {
    "Ultralytics": {
        "data.yaml": "train: images/train\nval: images/val\n" + NAMES,
        "images/train/a.png": None,
        "labels/train/a.txt": BOX,
        "images/val/b.png": None,
        "labels/val/b.txt": BOX,
    },
    "Roboflow": {  # which writes paths as from a folder beside it
        "data.yaml": "train: ../train/images\nval: ../valid/images\ntest: ../test/images\n"
        "nc: 2\n" + NAMES + "roboflow:\n  version: 3\n",
        "train/images/a_png.rf.0b5c.png": None,
        "train/labels/a_png.rf.0b5c.txt": BOX,
        "valid/images/b_png.rf.77aa.png": None,
        "valid/labels/b_png.rf.77aa.txt": BOX,
        "README.roboflow.txt": "Provided by a Roboflow user",
    },
    "CVAT's YOLO 1.1, darknet's": {
        "obj.data": "classes = 2\ntrain = data/train.txt\nvalid = data/valid.txt\n"
        "names = data/obj.names\nbackup = backup/\n",
        "obj.names": "cat\ndog\n",
        "train.txt": "data/obj_train_data/a.png\n",
        "valid.txt": "data/obj_valid_data/b.png\n",
        "obj_train_data/a.png": None,
        "obj_train_data/a.txt": BOX,
        "obj_valid_data/b.png": None,
        "obj_valid_data/b.txt": BOX,
    },
    "labelImg, beside the images": {
        "train/a.png": None,
        "train/a.txt": BOX,
        "train/classes.txt": "cat\ndog\n",
        "val/b.png": None,
        "val/b.txt": BOX,
        "val/classes.txt": "cat\ndog\n",
    },
    "folders without a list": {
        "classes.txt": "cat\ndog\n",
        "train/images/a.png": None,
        "train/labels/a.txt": BOX,
        "valid/images/b.png": None,
        "valid/labels/b.txt": BOX,
    },
    "lists of folders and files": {
        "data.yaml": "train: [images/1, list.txt]\nval:\n  - images/3\n" + NAMES,
        "list.txt": "./images/2/c.png\n",
        "images/1/a.png": None,
        "labels/1/a.txt": BOX,
        "images/2/c.png": None,
        "images/2/not_listed.png": None,
        "images/3/b.png": None,
        "labels/3/b.txt": BOX,
    },
}


@pytest.mark.parametrize("files", LAYOUTS.values(), ids=LAYOUTS)
def test_each_layout_is_read(files: dict[str, str | None], tmp_path: Path) -> None:
    folder = write(tmp_path, files)
    found = [
        [box for of in boxes(load(folder, s)).values() for box in of] for s in ("train", "val")
    ]
    assert found == [[DOG], [DOG]]
    assert load(folder).class_names == ("cat", "dog")


def test_a_list_of_another_machine_is_found_by_its_end_and_said(tmp_path: Path) -> None:
    files = {**LAYOUTS["Ultralytics"]}
    files["data.yaml"] = (
        "path: /nowhere/ds\ntrain: images/train\nval: /nowhere/ds/images/val\n" + NAMES
    )
    folder = write(tmp_path, files)
    assert boxes(load(folder, "val")) == {"b.png": [DOG]}
    assert whats(load(folder)) == ["1 paths of another machine: found by their ends"]


def test_an_image_whose_header_turns_it_has_shares_of_the_upright_picture(tmp_path: Path) -> None:
    from PIL import Image

    folder = write(tmp_path, {**LAYOUTS["labelImg, beside the images"], "train/t.txt": BOX})
    exif = Image.Exif()
    exif[0x0112] = 6  # stored 50 by 100, shown 100 by 50
    Image.new("RGB", (50, 100)).save(folder / "train/t.jpg", exif=exif)
    assert boxes(load(folder))["t.jpg"] == [DOG]


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("2 0.5 0.5 0.2 0.4", r"a\.txt:2: is of class 2, but .*data\.yaml names 2 classes, 0 to 1"),
        ("0 320 240 64 48\n1 3 4 9 9", r"a\.txt:2: '0 320 240 64 48' has no shares of its image"),
        ("cat dog\n1 2", r"a\.txt:2: 'cat dog' is no box of YOLO's"),
    ],
)
def test_labels_that_nobody_can_read_name_file_and_line(
    line: str, message: str, tmp_path: Path
) -> None:
    folder = write(tmp_path, LAYOUTS["Ultralytics"])
    (folder / "labels/train/a.txt").write_text(BOX + line + "\n")
    with pytest.raises(DatasetError, match=message):
        load(folder)


def test_an_odd_line_among_others_is_dropped_and_named(tmp_path: Path) -> None:
    folder = write(tmp_path, LAYOUTS["Ultralytics"])
    lines = [BOX.strip()] * 3 + ["", "1 0.5 0.5 0.2", "1 0.3 0.3 0.1 0.1 0.99", "1 640 0.1 0.2 0.2"]
    (folder / "labels/train/a.txt").write_text("\n".join(lines))
    (folder / "labels/train/gone.txt").write_text(BOX)
    dataset = load(folder)
    assert whats(dataset) == [
        "1 lines that are no class x y width height in numbers: dropped",
        "1 scores after a box: passed over",
        "1 boxes far outside 0..1, no shares of their image: dropped",
        "1 label files without an image: passed over",
        "2 boxes annotated twice, of one class and image: kept once",
    ]
    assert dataset.report.findings[0].example == "labels/train/a.txt:5: 1 0.5 0.5 0.2"


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({"data.yaml": NAMES + "val: images/val\ntrain: images/gone\n"}, r"data\.yaml:3: train is"),
        ({"data.yaml": "train: images/train\nnames: [a, a]\n"}, "classes 0 and 1 are both 'a'"),
        ({"data.yaml": "train: images/train\nnames: 7\n"}, "names is 7; expected a list"),
        ({"data.yaml": "names: [a\n"}, "not YAML"),
        (
            {"more.yaml": "train: a\nnames: [a]\n", "data.yaml": None},
            r"more\.yaml:1: train is a, which is not below",
        ),
    ],
)
def test_a_list_that_leads_nowhere_is_said(
    files: dict[str, str], message: str, tmp_path: Path
) -> None:
    folder = write(tmp_path, {k: v for k, v in LAYOUTS["Ultralytics"].items() if k != "data.yaml"})
    write(folder, {name: text for name, text in files.items() if text is not None})
    with pytest.raises(DatasetError, match=message):
        load(folder)


def test_a_data_yaml_that_points_outside_is_refused(tmp_path: Path) -> None:
    write(tmp_path / "elsewhere", {"a.png": None, "a.txt": BOX})
    folder = write(tmp_path / "set", LAYOUTS["Ultralytics"])
    (folder / "data.yaml").write_text(NAMES + "val: images/val\ntrain: ../elsewhere\n")
    with pytest.raises(
        DatasetError, match=r"data\.yaml:3: train is \.\./elsewhere, which points ou"
    ):
        load(folder)


def test_labels_without_a_list_of_classes_are_an_error(tmp_path: Path) -> None:
    folder = write(tmp_path, {"images/a.png": None, "labels/a.txt": BOX, "images/b.png": None})
    with pytest.raises(DatasetError, match=r"no file names the classes: expected .*classes\.txt"):
        load(folder)


def test_lists_of_other_classes_are_an_error(tmp_path: Path) -> None:
    folder = write(tmp_path, LAYOUTS["labelImg, beside the images"])
    (folder / "val/classes.txt").write_text("dog\ncat\n")
    with pytest.raises(DatasetError, match="name different classes; leave one"):
        load(folder)

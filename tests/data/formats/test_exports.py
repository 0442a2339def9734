"""Data sets as annotation tools export them, beside YOLO's and VOC's: one made by hand for each."""

import json
from pathlib import Path
from typing import Any

import pytest

from mindssd.errors import DatasetError
from tests.data.formats.folders import boxes, load, load_all, whats, write

CAT, DOG = ("cat", 10, 20, 30, 40), ("dog", 1, 2, 3.5, 4.25)


def coco(*names: str, **more: Any) -> str:
    """Each image with a cat, and a dog on the first."""
    images = [
        {"id": k, "file_name": name, "width": 100, "height": 50} for k, name in enumerate(names)
    ]
    annotations = [
        {"id": k, "image_id": k, "category_id": 1, "bbox": [10, 20, 20, 20], "segmentation": []}
        for k in range(len(names))
    ]
    annotations.append({"id": 99, "image_id": 0, "category_id": 2, "bbox": [1, 2, 2.5, 2.25]})
    categories = [{"id": 1, "name": "cat"}, {"id": 2, "name": "dog"}]
    content = {"images": images, "categories": categories, "annotations": annotations, **more}
    return json.dumps(content)


COCO = {
    "Roboflow": {
        "train/_annotations.coco.json": coco("a_png.rf.1.png", "b_png.rf.2.png"),
        "train/a_png.rf.1.png": None,
        "train/b_png.rf.2.png": None,
        "valid/_annotations.coco.json": coco("c_png.rf.3.png"),
        "valid/c_png.rf.3.png": None,
        "test/_annotations.coco.json": coco("d_png.rf.3.png"),
        "test/d_png.rf.3.png": None,
        "README.dataset.txt": "x",
    },
    "CVAT, by subsets": {
        "annotations/instances_Train.json": coco("a.png", "b.png"),
        "annotations/instances_Validation.json": coco("c.png"),
        "images/Train/a.png": None,
        "images/Train/b.png": None,
        "images/Validation/c.png": None,
    },
    "Datumaro": {
        "annotations/instances_train.json": coco("a.png", "b.png"),
        "annotations/instances_val.json": coco("c.png"),
        "annotations/image_info_val.json": coco("c.png"),
        "images/train/a.png": None,
        "images/train/b.png": None,
        "images/val/c.png": None,
    },
    "files by part, one folder": {
        "train.json": coco("a.png", "b.png"),
        "val.json": coco("c.png"),
        "images/a.png": None,
        "images/b.png": None,
        "images/c.png": None,
    },
}


@pytest.mark.parametrize("files", COCO.values(), ids=COCO)
def test_coco_as_tools_export_it_in_parts(files: dict[str, str | None], tmp_path: Path) -> None:
    train, val = load_all(write(tmp_path, files))
    assert list(boxes(train).values()) == [[CAT, DOG], [CAT]]
    assert list(boxes(val).values()) == [[CAT, DOG]]
    assert train.class_names == ("cat", "dog") and train.category_ids == (1, 2)
    assert train.report.findings == val.report.findings == ()


WHOLE = {
    "CVAT": ("annotations/instances_default.json", "images/", ""),
    "Label Studio": ("result.json", "images/", "images/"),
    "Label Studio, of its own storage": ("result.json", "images/", "../../media/upload/1/"),
    "one file beside its images": ("labels.json", "", ""),
    "one file and another folder": ("my_coco.json", "photos/", "D:\\photos\\"),
}


@pytest.mark.parametrize(("file", "folder", "named"), WHOLE.values(), ids=WHOLE)
def test_coco_as_tools_export_it_in_one_part_is_split(
    file: str, folder: str, named: str, tmp_path: Path
) -> None:
    names = [f"{k}.png" for k in range(10)]
    write(tmp_path, {f"{folder}{name}": None for name in names})
    write(tmp_path, {file: coco(*(named + name for name in names))})
    train, val = load_all(tmp_path)
    assert (len(train), len(val)) == (8, 2)
    found = boxes(train) | boxes(val)
    assert sorted(Path(name).name for name in found) == names
    assert found.pop(next(n for n in found if n.endswith("0.png"))) == [CAT, DOG]
    assert all(of == [CAT] for of in found.values())


def test_two_files_of_one_part_are_not_chosen_from(tmp_path: Path) -> None:
    write(tmp_path, {"a.json": coco("a.png"), "b.json": coco("a.png"), "a.png": None})
    with pytest.raises(DatasetError, match=r"a\.json and b\.json are both COCO annotations of the"):
        load(tmp_path)


def labelme(name: str, *shapes: tuple[str, str, list[list[float]]]) -> str:
    return json.dumps(
        {
            "version": "5.4.1",
            "flags": {},
            "shapes": [
                {"label": label, "points": points, "group_id": None, "shape_type": kind}
                for label, kind, points in shapes
            ],
            "imagePath": name,
            "imageData": "aGVsbG8=" * 100,
            "imageHeight": 50,
            "imageWidth": 100,
        }
    )


def test_labelme(tmp_path: Path) -> None:
    files = {
        "train/a.png": None,
        "train/a.json": labelme(
            "..\\raw\\other.png",
            ("cat", "rectangle", [[30, 40], [10, 20]]),  # drawn from the lower right
            ("dog", "polygon", [[1, 2], [3.5, 3], [2, 4.25]]),
            ("sun", "circle", [[50, 25], [53, 29]]),
            ("nose", "point", [[5, 5]]),
            ("", "rectangle", [[1, 1], [2, 2]]),
        ),
        "train/none.png": None,
        "val/b.png": None,
        "val/b.json": labelme("b.png", ("cat", "rectangle", [[10, 20], [30, 40]])),
    }
    train, val = load_all(write(tmp_path, files))
    assert boxes(train) == {"a.png": [CAT, DOG, ("sun", 45, 20, 55, 30)], "none.png": []}
    assert boxes(val) == {"b.png": [CAT]}
    assert train.class_names == ("cat", "dog", "sun")
    assert whats(train) == [
        "1 shapes without area, as points and lines: dropped",
        "1 shapes without a label or points: dropped",
    ]


CVAT = """<?xml version="1.0" encoding="utf-8"?>
<annotations>
  <version>1.1</version>
  <meta><job><labels>
    <label><name>dog</name><type>any</type><attributes></attributes></label>
    <label><name>cat</name></label>
  </labels></job></meta>
  <image id="0" name="a.png" subset="Train" width="100" height="50">
    <box label="cat" source="manual" occluded="0" xtl="10.00" ytl="20.00" xbr="30.00" ybr="40.00" z_order="0"></box>
    <polygon label="dog" source="manual" occluded="0" points="1.00,2.00;3.50,3.00;2.00,4.25"></polygon>
    <box label="cat" xtl="40" ytl="10" xbr="60" ybr="14" rotation="90.0"></box>
    <points label="cat" points="3,3"></points>
    <ellipse label="dog" cx="50" cy="25" rx="10" ry="5"></ellipse>
    <box label="cat" xtl="x" ytl="10" xbr="60" ybr="14"></box>
  </image>
  <image id="1" name="none.png" subset="Train" width="100" height="50"></image>
  <image id="2" name="sub/b.png" subset="Validation" width="100" height="50">
    <mask label="cat" rle="1,2" left="10" top="20" width="20" height="20"></mask>
  </image>
</annotations>
"""  # noqa: E501


def test_cvat_for_images(tmp_path: Path) -> None:
    files: dict[str, str | None] = {"annotations.xml": CVAT}
    for name in ("a.png", "none.png", "sub/b.png", "new.png"):
        files[f"images/{name}"] = None
    train, val = load_all(write(tmp_path, files))
    assert boxes(train) == {
        "a.png": [CAT, DOG, ("cat", 48, 2, 52, 22), ("dog", 40, 20, 60, 30)],
        "none.png": [],
    }
    assert list(boxes(val).values()) == [[CAT]]
    assert train.class_names == val.class_names == ("dog", "cat")
    assert whats(train) == [
        "1 shapes without area, as points and lines: dropped",
        "1 shapes without a label or points: dropped",
        "1 images of the folder that the annotations do not list: passed over",
    ]
    assert train.report.findings[1].example == "annotations.xml:14"


RECT = {"name": "rect", "x": 10, "y": 20, "width": 20, "height": 20}
POLYGON = {"name": "polygon", "all_points_x": [1, 3.5, 2], "all_points_y": [2, 3, 4.25]}


def via(*regions: tuple[dict[str, Any], dict[str, Any]], name: str = "a.png") -> dict[str, Any]:
    found = [{"shape_attributes": s, "region_attributes": r} for s, r in regions]
    entry = {"filename": name, "size": 123, "regions": found, "file_attributes": {}}
    return {f"{name}123": entry}


def test_via_json_of_annotations_and_of_a_project(tmp_path: Path) -> None:
    first = via((RECT, {"type": "cat"}), (POLYGON, {"type": {"dog": True, "cat": False}}))
    first["a.png123"]["regions"] = dict(enumerate(first["a.png123"]["regions"]))  # as VIA 1 did
    point = ({"name": "point", "cx": 1, "cy": 1}, {"type": "cat"})
    project = {"_via_settings": {}, "_via_img_metadata": via((RECT, {"type": "cat"}), point)}
    files = {
        "train/via_region_data.json": json.dumps(first),
        "train/a.png": None,
        "val/project.json": json.dumps(project),
        "val/a.png": None,
    }
    train, val = load_all(write(tmp_path, files))
    assert boxes(train) == {"a.png": [CAT, DOG]} and boxes(val) == {"a.png": [CAT]}
    assert whats(val) == ["1 shapes without area, as points and lines: dropped"]


def test_via_csv(tmp_path: Path) -> None:
    def line(name: str, shape: object, attributes: object) -> str:
        texts = (json.dumps(v).replace('"', '""') for v in (shape, attributes))
        return f'{name},123,"{{}}",1,0,' + ",".join(f'"{text}"' for text in texts) + "\n"

    header = (
        "filename,file_size,file_attributes,region_count,region_id,region_shape_attributes,"
        "region_attributes\n"
    )
    cat = line("a.png", RECT, {"class": "cat", "truncated": "no"})
    files = {
        "train/via.csv": header + cat + line("a.png", POLYGON, {"class": "dog", "truncated": ""}),
        "train/a.png": None,
        "val/via.csv": header + line("b.png", {}, {}) + cat,
        "val/a.png": None,
        "val/b.png": None,
    }
    train, val = load_all(write(tmp_path, files))
    assert boxes(train) == {"a.png": [CAT, DOG]} and boxes(val) == {"b.png": [], "a.png": [CAT]}
    files["train/via.csv"] += 'a.png,1,{},1,0,"{x","{}"\n'
    with pytest.raises(DatasetError, match=r"via\.csv:4: a region is no JSON object"):
        load(write(tmp_path, files))


def test_vias_class_must_be_plain(tmp_path: Path) -> None:
    content = json.dumps(via((RECT, {"colour": "red", "breed": "pug"})))
    write(tmp_path, {"via.json": content, "a.png": None})
    with pytest.raises(DatasetError, match="its regions have the attributes colour, breed, of"):
        load(tmp_path)


CSV = {
    "without a header, as keras-retinanet": "a.png,10,20,30,40,cat\na.png,1,2,3.5,4.25,dog\n"
    "none.png,,,,,\nbad.png,1,2,x,4,cat\n",
    "with one, as TensorFlow's examples": "filename,width,height,class,xmin,ymin,xmax,ymax\n"
    "a.png,100,50,cat,10,20,30,40\na.png,100,50,dog,1,2,3.5,4.25\nbad.png,100,50,,1,2,3,4\n",
    "with paths of another machine, and semicolons": "image;x1;y1;x2;y2;label\n"
    "C:\\in\\a.png;10;20;30;40;cat\nC:\\in\\a.png;1;2;3.5;4.25;dog\nbad.png;;2;3;4;cat\n",
}


@pytest.mark.parametrize("text", CSV.values(), ids=CSV)
def test_csv(text: str, tmp_path: Path) -> None:
    files = {"train.csv": text, "val.csv": text.replace("bad", "worse"), "labels/notes.txt": "x"}
    for name in ("a", "none", "bad", "worse"):
        files |= {f"images/{name}.png": None}
    train, val = load_all(write(tmp_path, files))
    found = boxes(train)
    assert found["a.png"] == [CAT, DOG] and found["bad.png"] == []
    assert whats(train)[0] == "1 lines without a class or four numbers: dropped"
    assert boxes(val)["a.png"] == [CAT, DOG]


def test_a_csv_of_one_part_takes_images_that_it_does_not_list_for_background(
    tmp_path: Path,
) -> None:
    names = [f"{k}.png" for k in range(9)]
    lines = "".join(f"{name},10,20,30,40,cat\n" for name in names)
    write(tmp_path, {"boxes.csv": lines, "none.png": None, **dict.fromkeys(names)})
    train, val = load_all(tmp_path)
    assert sorted(train.file_names + val.file_names) == sorted([*names, "none.png"])

"""COCO annotation files, sound and not, and what becomes of them."""

import json
import pickle
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from mindssd.data.dataset import DetectionDataset
from mindssd.data.formats.coco import load_coco, load_coco_split
from mindssd.errors import DatasetError


def image(image_id: int, name: str = "", **more: Any) -> dict[str, Any]:
    file_name = name or f"{image_id}.jpg"
    return {"id": image_id, "file_name": file_name, "width": 100, "height": 50, **more}


def annotation(image_id: int, category_id: int, *bbox: float, **more: Any) -> dict[str, Any]:
    return {"image_id": image_id, "category_id": category_id, "bbox": list(bbox), **more}


CATEGORIES = [{"id": 7, "name": "dog"}, {"id": 2, "name": "cat"}]


def load(
    folder: Path,
    images: list[dict[str, Any]],
    annotations: list[dict[str, Any]],
    categories: list[dict[str, Any]] | None = None,
) -> DetectionDataset:
    """Write an annotation file with an empty file for each image, and load it."""
    content = {
        "images": images,
        "annotations": annotations,
        "categories": CATEGORIES if categories is None else categories,
    }
    path = folder / "annotations.json"
    path.write_text(json.dumps(content))
    for entry in images:
        file = folder / str(entry["file_name"])
        file.parent.mkdir(exist_ok=True)
        file.touch()
    return load_coco(path, folder)


def whats(dataset: DetectionDataset) -> list[str]:
    return [f"{finding.count} {finding.what}" for finding in dataset.report.findings]


def test_labels_count_from_1_in_the_order_of_category_ids_with_gaps(tmp_path: Path) -> None:
    dataset = load(
        tmp_path, [image(1)], [annotation(1, 7, 1, 2, 3, 4), annotation(1, 2, 5, 6, 7, 8)]
    )
    assert dataset.class_names == ("cat", "dog")
    assert dataset.category_ids == (2, 7)
    assert dataset[0].labels.tolist() == [2, 1]


def test_boxes_become_corners_and_go_to_their_images(tmp_path: Path) -> None:
    dataset = load(
        tmp_path,
        [image(30), image(10), image(20)],
        [
            annotation(20, 2, 0, 0, 9, 9),
            annotation(30, 2, 1, 2, 3, 4),
            annotation(20, 7, 5, 5, 1, 2),
        ],
    )
    assert [record.image_id for record in dataset] == [30, 10, 20]
    assert [len(record.boxes) for record in dataset] == [1, 0, 2]
    assert dataset[0].boxes.tolist() == [[1, 2, 4, 6]]
    assert dataset[2].boxes.tolist() == [[0, 0, 9, 9], [5, 5, 6, 7]]
    assert dataset[0].path == f"{tmp_path}/30.jpg"
    assert (dataset[0].height, dataset[0].width) == (50, 100)
    assert dataset.report.num_empty_images == 1


def test_crowds_are_marked_and_counted_apart(tmp_path: Path) -> None:
    dataset = load(
        tmp_path,
        [image(1)],
        [annotation(1, 2, 0, 0, 9, 9, iscrowd=1), annotation(1, 2, 0, 0, 5, 5, iscrowd=0)],
    )
    assert dataset[0].is_crowd.tolist() == [True, False]
    assert (dataset.report.num_boxes, dataset.report.num_crowds) == (1, 1)


def test_segmentations_of_either_kind_are_passed_over(tmp_path: Path) -> None:
    polygon = annotation(1, 2, 0, 0, 9, 9, segmentation=[[0, 0, 9, 0, 9, 9]])
    mask = annotation(1, 2, 0, 0, 9, 9, segmentation={"size": [50, 100], "counts": "abc"})
    assert len(load(tmp_path, [image(1)], [polygon, mask])[0].boxes) == 2


def test_unusable_annotations_are_dropped_and_counted(tmp_path: Path) -> None:
    dataset = load(
        tmp_path,
        [image(1)],
        [
            annotation(1, 2, 10, 10, 5, 5),
            annotation(1, 2, 1, 2, 3),
            {"image_id": 1, "category_id": 2},
            {"bbox": [1, 2, 3, 4]},
            annotation(99, 2, 1, 2, 3, 4),
            annotation(1, 3, 1, 2, 3, 4),
            annotation(1, 2, 1, 2, 0, 4),
            annotation(1, 2, 1, 2, -3, 4),
            annotation(1, 2, 90, 2, 20, 4),
            annotation(1, 2, 500, 2, 20, 4),
        ],
    )
    assert dataset[0].boxes.tolist() == [[10, 10, 15, 15], [90, 2, 100, 6]]
    assert whats(dataset) == [
        "3 annotations without image, category or box: dropped",
        "1 annotations of an image that is not listed: dropped",
        "1 annotations of a category that is not listed: dropped",
        "1 inverted boxes: dropped",
        "1 boxes without area: dropped",
        "1 boxes wholly outside their image: dropped",
        "1 boxes partly outside their image: clipped",
    ]
    assert "image id 99" in str(dataset.report.findings[1])


def test_nan_and_infinity_as_python_writes_them_are_dropped(tmp_path: Path) -> None:
    not_finite = [annotation(1, 2, float("nan"), 2, 3, 4), annotation(1, 2, 0, 0, float("inf"), 4)]
    dataset = load(tmp_path, [image(1)], [*not_finite, annotation(1, 2, 1, 2, 3, 4)])
    assert dataset[0].boxes.tolist() == [[1, 2, 4, 6]]
    assert whats(dataset) == ["2 boxes that are not finite: dropped"]


def test_a_data_set_without_any_box_loads(tmp_path: Path) -> None:
    dataset = load(tmp_path, [image(1), image(2)], [])
    assert [record.boxes.shape for record in dataset] == [(0, 4), (0, 4)]
    assert dataset.report.num_empty_images == 2


def test_an_image_listed_twice_is_kept_once(tmp_path: Path) -> None:
    dataset = load(tmp_path, [image(1), image(2), image(1)], [annotation(1, 2, 1, 2, 3, 4)])
    assert [record.image_id for record in dataset] == [1, 2]
    assert whats(dataset) == ["1 images listed more than once: kept once"]


def test_one_image_id_for_two_files_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match=r"image id 1 is both 'a\.jpg' and 'b\.jpg'"):
        load(tmp_path, [image(1, "a.jpg"), image(1, "b.jpg")], [])


def test_one_category_id_for_two_names_is_an_error(tmp_path: Path) -> None:
    categories = [{"id": 1, "name": "cat"}, {"id": 1, "name": "dog"}]
    with pytest.raises(DatasetError, match="category 1 is both 'cat' and 'dog'"):
        load(tmp_path, [image(1)], [], categories)


def test_two_categories_of_one_name_are_an_error(tmp_path: Path) -> None:
    categories = [{"id": 1, "name": "cat"}, {"id": 2, "name": "cat"}]
    with pytest.raises(DatasetError, match="categories 1 and 2 are both 'cat'; rename one"):
        load(tmp_path, [image(1)], [], categories)


def test_ids_as_text_and_fractions_and_a_crowd_that_is_null_are_understood(tmp_path: Path) -> None:
    dataset = load(
        tmp_path,
        [image("1", "1.jpg"), image(2.0, "2.jpg")],  # type: ignore[arg-type]
        [annotation(1, 2, 1, 2, 3, 4, iscrowd=None), annotation("2", 7.0, 1, 2, 3, 4)],  # type: ignore[arg-type]
    )
    assert [record.image_id for record in dataset] == [1, 2]
    assert [record.labels.tolist() for record in dataset] == [[1], [2]]
    assert dataset.report.num_crowds == 0


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        ({"id": 2**63}, r"9223372036854775807.*images\[0\]\.id"),
        ({"id": 10**30}, r"9223372036854775807.*images\[0\]\.id"),
        ({"id": "a7"}, r"Expected `int`.*images\[0\]\.id"),
        ({"id": 1.5}, r"Expected `int`.*images\[0\]\.id"),
        ({"file_name": "a\0.jpg"}, r"image 1 has file_name 'a\\x00\.jpg', which no file can have"),
        ({"file_name": "\ud800.jpg"}, "which no file can have"),
        ({"file_name": ""}, "which no file can have"),
        ({"width": 1e12}, r"image 1 \(a\.jpg\) has width 1e\+12; expected at most .* leave it out"),
    ],
)
def test_an_image_that_cannot_be_is_an_error_with_the_way_out(
    tmp_path: Path, entry: dict[str, Any], message: str
) -> None:
    path = tmp_path / "odd.json"
    images = [{**image(1, "a.jpg"), **entry}]
    path.write_text(json.dumps({"images": images, "annotations": [], "categories": CATEGORIES}))
    with pytest.raises(DatasetError, match=f"odd.json: .*{message}") as caught:
        load_coco(path, tmp_path)
    assert "\n" not in str(caught.value)


def test_annotations_in_latin_1_are_an_error_that_names_the_way_out(tmp_path: Path) -> None:
    load(tmp_path, [image(1)], [], [{"id": 1, "name": "Fische"}])
    path = tmp_path / "annotations.json"
    path.write_bytes(path.read_bytes().replace(b"Fische", "Käfer".encode("latin-1")))
    with pytest.raises(DatasetError, match=r"annotations.json: not UTF-8 .*xe4.*iconv"):
        load_coco(path, tmp_path)


def test_where_a_box_reaches_over_the_annotated_size_the_file_is_asked(tmp_path: Path) -> None:
    entries = [image(1, "wrong.png"), image(2, "right.png"), image(3, "broken.png")]
    boxes = [annotation(number, 2, 90, 60, 30, 20) for number in (1, 2, 3)]
    load(tmp_path, entries, boxes)
    cv2.imwrite(str(tmp_path / "wrong.png"), np.zeros((100, 200, 3), np.uint8))
    cv2.imwrite(str(tmp_path / "right.png"), np.zeros((50, 100, 3), np.uint8))
    dataset = load_coco(tmp_path / "annotations.json", tmp_path)
    assert dataset.sizes.tolist() == [[100, 200], [50, 100], [50, 100]]
    assert dataset[0].boxes.tolist() == [[90, 60, 120, 80]]
    assert len(dataset[1].boxes) == len(dataset[2].boxes) == 0
    assert [str(finding) for finding in dataset.report.findings] == [
        "1 images of another size than annotated: the file is right (such as wrong.png)",
        "2 boxes wholly outside their image: dropped (such as (90, 60, 120, 80) in right.png)",
    ]


def test_missing_image_files_are_counted_but_stay_in_the_data_set(tmp_path: Path) -> None:
    load(tmp_path, [image(1), image(2, "folder/2.jpg"), image(3)], [])
    (tmp_path / "3.jpg").unlink()
    dataset = load_coco(tmp_path / "annotations.json", tmp_path)
    assert len(dataset) == 3
    assert [str(finding) for finding in dataset.report.findings] == [
        "1 image files missing: not trained on (such as 3.jpg)"
    ]


def test_a_folder_with_none_of_the_images_is_an_error(tmp_path: Path) -> None:
    load(tmp_path, [image(1)], [])
    with pytest.raises(
        DatasetError, match=r"elsewhere: has none of the 1 annotated images.*1\.jpg"
    ):
        load_coco(tmp_path / "annotations.json", tmp_path / "elsewhere")


def test_a_size_that_is_not_given_is_read_from_the_file(tmp_path: Path) -> None:
    entries = [{"id": 1, "file_name": "1.png"}, {"id": 2, "file_name": "2.png"}]
    boxes = [annotation(number, 2, 0, 0, 99, 99) for number in (1, 2)]
    load(tmp_path, entries, boxes)  # empty files: both unreadable
    cv2.imwrite(str(tmp_path / "1.png"), np.zeros((20, 30, 3), np.uint8))
    dataset = load_coco(tmp_path / "annotations.json", tmp_path)
    assert dataset.sizes.tolist() == [[20, 30], [0, 0]]
    assert dataset[0].boxes.tolist() == [[0, 0, 30, 20]]
    assert dataset[1].boxes.tolist() == [[0, 0, 99, 99]]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "not JSON, or cut short"),
        ('{"images": [', "not JSON, or cut short"),
        ("[]", "not COCO annotations"),
        ('{"images": [], "annotations": []}', "missing required field `categories`"),
        ('{"images": [{"id": 1}], "annotations": [], "categories": []}', r"images\[0\]"),
        ('{"images": [], "annotations": [{"bbox": "x"}], "categories": []}', r"\[0\]\.bbox"),
        ('{"images": [], "annotations": [], "categories": [{"id": 1, "name": "a"}]}', "no images"),
        ('{"images": [], "annotations": [], "categories": []}', "no categories"),
    ],
)
def test_a_file_that_is_no_annotations_is_an_error_that_says_where(
    tmp_path: Path, content: str, message: str
) -> None:
    path = tmp_path / "broken.json"
    path.write_text(content)
    with pytest.raises(DatasetError, match=f"broken.json: .*{message}"):
        load_coco(path, tmp_path)


def test_both_spellings_of_the_annotation_file_are_found(tmp_path: Path) -> None:
    content = {"images": [image(1)], "annotations": [], "categories": CATEGORIES}
    for folder in ("annotations", "train2017", "val2017"):
        (tmp_path / folder).mkdir()
    for split, stem in (("train", "instances"), ("val", "instance")):
        (tmp_path / "annotations" / f"{stem}_{split}2017.json").write_text(json.dumps(content))
        (tmp_path / f"{split}2017" / "1.jpg").touch()
        dataset = load_coco_split(tmp_path, split)
        assert dataset.annotation_file.endswith(f"{stem}_{split}2017.json")


def test_what_is_missing_of_the_layout_is_named(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match=r"nowhere: no such folder; expected .*annotations/"):
        load_coco_split(tmp_path / "nowhere", "train")
    with pytest.raises(DatasetError, match=r"instances_train2017\.json: no such file; expected"):
        load_coco_split(tmp_path, "train")
    (tmp_path / "annotations").mkdir()
    (tmp_path / "annotations" / "instances_train2017.json").touch()
    with pytest.raises(DatasetError, match="train2017: no such folder; expected"):
        load_coco_split(tmp_path, "train")


def test_a_data_set_is_small_to_send_to_a_worker(tmp_path: Path) -> None:
    images = [image(index) for index in range(500)]
    boxes = [
        annotation(index % 500, 2, 1, 2, 3, 4, segmentation=[[1.5] * 40]) for index in range(5000)
    ]
    size = len(pickle.dumps(load(tmp_path, images, boxes)))
    # 21 bytes a box, some 40 an image: COCO's is 25 MB where its file has 450.
    assert size < 21 * 5000 + 60 * 500 + 2000


def test_bccd_is_read_whole(bccd_dir: Path) -> None:
    train, val = (load_coco_split(bccd_dir, split) for split in ("train", "val"))
    assert (len(train), len(val)) == (292, 72)
    # Of its 4,888 boxes two have no area.
    assert train.report.num_boxes + val.report.num_boxes == 4886
    assert train.class_names == ("RBC", "WBC", "Platelets")

"""COCO annotation files, sound and not, and what becomes of them."""

import json
import pickle
from pathlib import Path
from typing import Any

import pytest

from mindssd.data.formats.coco import load_coco, load_coco_split
from mindssd.errors import DatasetError
from tests.data.coco_files import BLACK, CATEGORIES, annotation, image, load, whats


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
    assert dataset[0].path == f"{tmp_path}/30.png"
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
    mask = annotation(1, 2, 0, 0, 8, 8, segmentation={"size": [50, 100], "counts": "abc"})
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


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        ({"id": None}, "has no images with id and file_name"),
        ({"file_name": None}, "has no images with id and file_name"),
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


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "not JSON, or cut short"),
        ('{"images": [', "not JSON, or cut short"),
        ("[]", "not COCO annotations"),
        ('{"images": [], "annotations": []}', "missing required field `categories`"),
        ('{"images": [3], "annotations": [], "categories": []}', r"images\[0\]"),
        ('{"images": [], "annotations": null, "categories": []}', r"annotations"),
        (
            '{"images": [], "annotations": [], "categories": [{"id": 1}]}',
            r"categories\[0\] has id 1",
        ),
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
        (tmp_path / f"{split}2017" / "1.png").write_bytes(BLACK)
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
        annotation(index % 500, 2, 1, 2, 3, 4 + index, segmentation=[[1.5] * 40])
        for index in range(5000)
    ]
    size = len(pickle.dumps(load(tmp_path, images, boxes)))
    # 45 bytes a box, some 50 an image: COCO's is 45 MB where its file has 450.
    assert size < 45 * 5000 + 70 * 500 + 2000


def test_bccd_is_read_whole(bccd_dir: Path) -> None:
    train, val = (load_coco_split(bccd_dir, split) for split in ("train", "val"))
    assert (len(train), len(val)) == (292, 72)
    # Of its 4,888 boxes two have no area.
    assert train.report.num_boxes + val.report.num_boxes == 4886
    assert train.class_names == ("RBC", "WBC", "Platelets")

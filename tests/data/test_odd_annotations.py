"""Ids, boxes and categories of odd kinds: what is unambiguous is taken, the rest is counted."""

from pathlib import Path
from typing import Any

import pytest

from mindssd.data.formats.coco import load_coco
from mindssd.errors import DatasetError
from tests.data.coco_files import CATEGORIES, annotation, image, load, whats, write

SOUND = annotation(1, 2, 1, 2, 3, 4)


@pytest.mark.parametrize(
    ("ids", "references", "expected"),
    [
        (["1", 2.0], [1, "2"], [1, 2]),
        (["000001", "000002"], ["000001", "000002"], [1, 2]),
        (["000001", "000002"], [1, 2.0], [1, 2]),
        ([" 7", "9 "], [7, "09"], [7, 9]),
        (["frame_b", "frame_a"], ["frame_b", "frame_a"], [1, 2]),
        ([5, "a7"], ["5", "a7"], [1, 2]),
        ([1.5, 2.5], [1.5, 2.5], [1, 2]),
        ([2**63, 10**30], [2**63, 10**30], [1, 2]),
        ([-3, 4], ["-3", 4], [-3, 4]),
        (["1" * 5000, "1" * 5001], ["1" * 5000, "1" * 5001], [1, 2]),
        # By the file's name, with or without folder and suffix.
        ([8, 9], ["folder/x.png", "y"], [8, 9]),
        ([8, 9], ["x", "Y"], [8, 9]),
    ],
)
def test_ids_are_numbers_text_or_names(
    tmp_path: Path, ids: list[Any], references: list[Any], expected: list[int]
) -> None:
    images = [image(ids[0], "folder/x.png"), image(ids[1], "y.png")]
    boxes = [annotation(references[0], 2, 1, 2, 3, 4), annotation(references[1], 2, 5, 6, 7, 8)]
    dataset = load(tmp_path, images, boxes)
    assert dataset.image_ids.tolist() == expected
    assert [record.boxes.tolist() for record in dataset] == [[[1, 2, 4, 6]], [[5, 6, 12, 14]]]
    assert whats(dataset) == []


@pytest.mark.parametrize("value", [None, True, "", " ", [], {}, float("nan"), float("inf")])
def test_what_is_no_id_drops_its_annotation_or_image_alone(tmp_path: Path, value: Any) -> None:
    odd = [annotation(value, 2, 1, 2, 3, 4), annotation(1, value, 1, 2, 3, 4)]
    dataset = load(tmp_path, [image(1), image(value, "x.png")], [*odd, SOUND])
    assert [len(record.boxes) for record in dataset] == [1]
    assert "1 images without id or file_name: dropped" in whats(dataset)
    assert "2 annotations without image, category or box: dropped" in whats(dataset)


@pytest.mark.parametrize(
    "bbox",
    [
        None,
        [],
        [1, 2, 3],
        [1, 2, 3, 4, 5],
        [1, 2, None, 4],
        [1, 2, "wide", 4],
        [1, 2, [3], 4],
        [1, 2, True, 4],
        "1,2,3,4",
        {"x": 1, "y": 2, "width": 3, "height": 4},
        7,
    ],
)
def test_what_is_no_box_drops_its_annotation_alone(tmp_path: Path, bbox: Any) -> None:
    odd = {"image_id": 1, "category_id": 2, "bbox": bbox}
    dataset = load(tmp_path, [image(1)], [odd, SOUND, None, {}])
    assert dataset[0].boxes.tolist() == [[1, 2, 4, 6]]
    assert [str(finding) for finding in dataset.report.findings] == [
        "3 annotations without image, category or box: dropped (such as annotations[0])"
    ]


def test_numbers_as_text_are_numbers(tmp_path: Path) -> None:
    boxes = [annotation(1, 2, "1", "2.5", 3, "4e0", area="6", iscrowd="1")]
    boxes += [annotation(1, 2, 9, 9, 9, 9, area=None, iscrowd="0")]
    record = load(tmp_path, [image(1, width="100", height="50")], boxes)[0]
    assert (record.width, record.height) == (100, 50)
    assert record.boxes_xywh.tolist() == [[1, 2.5, 3, 4], [9, 9, 9, 9]]
    assert record.areas.tolist() == [6, 81] and record.is_crowd.tolist() == [True, False]


@pytest.mark.parametrize("written", [f"1{'0' * 400}", f"1{'0' * 3000}", "1e999", "-1e999"])
def test_a_number_too_great_for_a_float_is_not_finite(tmp_path: Path, written: str) -> None:
    path = write(tmp_path, [image(1)], [annotation(1, 2, 1, 2, 777, 4), SOUND])
    path.write_text(path.read_text().replace("777", written))
    assert whats(load_coco(path, tmp_path)) == ["1 boxes that are not finite: dropped"]


@pytest.mark.parametrize("iscrowd", [None, 0, False, 0.0, "0", "false", ""])
def test_a_crowd_is_what_says_so(tmp_path: Path, iscrowd: Any) -> None:
    boxes = [annotation(1, 2, 1, 2, 3, 4, iscrowd=iscrowd), annotation(1, 2, 5, 5, 5, 5, iscrowd=1)]
    assert load(tmp_path, [image(1)], boxes)[0].is_crowd.tolist() == [False, True]


def test_an_area_of_0_or_less_is_replaced_by_that_of_the_box(tmp_path: Path) -> None:
    boxes = [
        annotation(1, 2, 10, 10, 20, 30, area=-1),
        annotation(1, 2, 10, 10, 20, 31, area=0),
        annotation(1, 2, 10, 10, 20, 32, area=100.5),
        annotation(1, 2, 10, 10, 20, 33, area=float("nan")),
    ]
    dataset = load(tmp_path, [image(1)], boxes)
    assert dataset[0].areas.tolist() == [600, 620, 100.5, 660]
    assert whats(dataset) == ["2 areas of 0 or less: that of the box taken"]


def test_a_box_annotated_twice_counts_once(tmp_path: Path) -> None:
    boxes = [
        annotation(1, 2, 1, 2, 3, 4, id=1),
        annotation(1, 2, 1.0, 2, 3, 4, id=9),
        annotation(1, 7, 1, 2, 3, 4),  # another class
        annotation(2, 2, 1, 2, 3, 4),  # another image
        annotation(1, 2, 1, 2, 3, 4, iscrowd=1),
    ]
    dataset = load(tmp_path, [image(1), image(2)], boxes)
    assert [record.labels.tolist() for record in dataset] == [[1, 2, 1], [1]]
    assert [str(finding) for finding in dataset.report.findings] == [
        "1 boxes annotated twice, of one class and image: kept once (such as (1, 2, 4, 6) in 1.png)"
    ]


def test_one_file_under_two_ids_is_one_image_with_the_boxes_of_both(tmp_path: Path) -> None:
    images = [image(5, "a.png"), image(3, "b.png"), image(4, "./a.png")]
    boxes = [annotation(i, 2, 1, 2, 3, 4) for i in (3, 4, 5)] + [annotation(4, 7, 5, 5, 9, 9)]
    dataset = load(tmp_path, images, boxes)
    assert dataset.image_ids.tolist() == [5, 3]
    assert [record.labels.tolist() for record in dataset] == [[1, 2], [1]]
    assert whats(dataset) == [
        "1 files listed under more than one id: their boxes put together",
        "1 boxes annotated twice, of one class and image: kept once",
    ]
    assert dataset.report.findings[0].example == "a.png, 5 and 4"
    with pytest.raises(DatasetError, match=r"a\.png is image 5 of 100x50 and image 4 of 9x9"):
        load(tmp_path, [image(5, "a.png"), image(4, "a.png", width=9, height=9)], [])


@pytest.mark.parametrize("reference", ["cat", "Cat", " CAT ", "2", "02", 2.0])
def test_a_category_is_meant_by_its_id_or_its_name_in_any_case(
    tmp_path: Path, reference: Any
) -> None:
    assert load(tmp_path, [image(1)], [annotation(1, reference, 1, 2, 3, 4)])[0].labels == [1]


def test_names_as_ids_of_categories_keep_the_order_of_the_file(tmp_path: Path) -> None:
    categories = [{"id": "z", "name": "dog"}, {"id": "a", "name": "cat"}]
    boxes = [annotation(1, "a", 1, 2, 3, 4), annotation(1, "z", 5, 5, 5, 5)]
    dataset = load(tmp_path, [image(1)], boxes, categories)
    assert (dataset.class_names, dataset.category_ids) == (("dog", "cat"), (1, 2))
    assert dataset[0].labels.tolist() == [2, 1]


def test_a_category_may_come_twice_under_one_name_alone(tmp_path: Path) -> None:
    assert load(tmp_path, [image(1)], [SOUND], [*CATEGORIES, CATEGORIES[0]]).class_names == (
        "cat",
        "dog",
    )
    categories = [{"id": 1, "name": "cat"}, {"id": "01", "name": "dog"}]
    with pytest.raises(DatasetError, match="category 1 is both 'cat' and 'dog'"):
        load(tmp_path, [image(1)], [], categories)
    categories = [{"id": 1, "name": "cat"}, {"id": 2, "name": "cat"}]
    with pytest.raises(DatasetError, match="categories 1 and 2 are both 'cat'; rename one"):
        load(tmp_path, [image(1)], [], categories)


ROOT = [
    {"id": 0, "name": "cat", "supercategory": "none"},
    {"id": 1, "name": "cat", "supercategory": "cat"},
    {"id": 2, "name": "dog", "supercategory": "cat"},
]


def test_roboflows_root_category_is_dropped_where_nothing_is_of_it(tmp_path: Path) -> None:
    dataset = load(tmp_path, [image(1)], [annotation(1, 2, 1, 2, 3, 4)], ROOT)
    assert (dataset.class_names, dataset.category_ids) == (("cat", "dog"), (1, 2))
    assert dataset[0].labels.tolist() == [2]
    (finding,) = dataset.report.findings
    assert str(finding) == (
        "1 categories that name the whole project, as Roboflow's: dropped "
        "(such as 0 'cat', as is class 1)"
    )
    other = [{**ROOT[0], "name": "pets"}] + [{**c, "supercategory": "pets"} for c in ROOT[1:]]
    dataset = load(tmp_path, [image(1)], [annotation(1, 1, 1, 2, 3, 4)], other)
    assert dataset.class_names == ("cat", "dog")
    assert str(dataset.report.findings[0]).endswith("(such as 0 'pets')")


def test_a_root_category_that_annotations_have_is_a_class(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="categories 0 and 1 are both 'cat'"):
        load(tmp_path, [image(1)], [annotation(1, 0, 1, 2, 3, 4)], ROOT)
    renamed = [{**ROOT[0], "name": "pets"}] + [{**c, "supercategory": "pets"} for c in ROOT[1:]]
    dataset = load(tmp_path, [image(1)], [annotation(1, 0, 1, 2, 3, 4)], renamed)
    assert dataset.class_names == ("pets", "cat", "dog")


def test_a_category_that_nothing_is_of_is_kept_where_it_is_no_root(tmp_path: Path) -> None:
    categories = [{**c, "supercategory": "animal"} for c in [{"id": 0, "name": "bird"}, *ROOT[1:]]]
    dataset = load(tmp_path, [image(1)], [annotation(1, 1, 1, 2, 3, 4)], categories)
    assert dataset.class_names == ("bird", "cat", "dog")
    alone = [{"id": 0, "name": "fish", "supercategory": "none"}]
    assert load(tmp_path, [image(1)], [], alone).class_names == ("fish",)

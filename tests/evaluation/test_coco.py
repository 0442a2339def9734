"""COCO's numbers: by hand, then against pycocotools, then which images count, and nothing-cases."""

import contextlib
import io
import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from pycocotools import coco as pycocotools_coco
from pycocotools import cocoeval as pycocotools_cocoeval

from mindssd.data.dataset import DetectionDataset
from mindssd.data.formats.coco import load_coco
from mindssd.evaluation import coco
from mindssd.evaluation.coco import score
from mindssd.evaluation.protocol import COCO, MINDCV, Protocol, chosen_images
from mindssd.types import Array
from tests.coco_sets import box, dataset_of, random_data
from tests.drawn_detections import Found, table_of


def every_image(dataset: DetectionDataset) -> list[int]:
    return list(range(len(dataset)))


def test_one_of_two_truths_found_before_a_false_detection_is_half_of_the_precision(
    tmp_path: Path,
) -> None:
    dataset = dataset_of(tmp_path, [box(1, (10, 10, 40, 40)), box(2, (10, 10, 40, 40))])
    table = table_of([(1, 0, (10, 10, 50, 50), 0.9), (2, 0, (100, 10, 140, 50), 0.8)])
    result = score(table, dataset, every_image(dataset))
    # Precision is 1 at the recalls 0, 0.01, … 0.50 and 0 beyond: 51 of 101.
    assert [result.ap, result.ap50, result.ap75] == pytest.approx([51 / 101] * 3)
    assert result.ar1 == result.ar100 == 0.5
    assert (result.num_images, result.num_truths, result.num_detections) == (2, 2, 2)


def test_a_box_of_iou_two_thirds_counts_up_to_that_threshold(tmp_path: Path) -> None:
    dataset = dataset_of(tmp_path, [box(1, (0, 0, 60, 60))])
    result = score(table_of([(1, 0, (0, 0, 60, 40), 0.9)]), dataset, every_image(dataset))
    assert result.ap50 == 1 and result.ap75 == 0
    assert result.ap == pytest.approx(4 / 10)  # 0.50, 0.55, 0.60, 0.65


def test_size_is_the_area_in_the_file_not_that_of_the_box(tmp_path: Path) -> None:
    # 40 × 40 = 1600 is medium; the segmentation's 1000 is small.
    table = table_of([(1, 0, (10, 10, 50, 50), 0.9)])
    with_area = dataset_of(tmp_path, [box(1, (10, 10, 40, 40), area=1000.0)])
    small = score(table, with_area, [0, 1])
    assert (small.ap_small, small.ap_medium) == (1, None)
    without_area = dataset_of(tmp_path, [box(1, (10, 10, 40, 40))])
    medium = score(table, without_area, [0, 1])
    assert (medium.ap_small, medium.ap_medium) == (None, 1)


def test_detections_in_a_crowd_are_neither_right_nor_wrong(tmp_path: Path) -> None:
    truths = [box(1, (10, 10, 40, 40)), box(1, (100, 0, 100, 100), iscrowd=1)]
    dataset = dataset_of(tmp_path, truths)
    inside_the_crowd: list[Found] = [(1, 0, (110 + x, 10, 130 + x, 30), 0.95) for x in (0, 20, 40)]
    table = table_of([*inside_the_crowd, (1, 0, (10, 10, 50, 50), 0.9)])
    result = score(table, dataset, every_image(dataset))
    assert result.ap == 1
    assert (result.num_truths, result.num_crowds) == (1, 1)


def pycocotools_numbers(dataset: DetectionDataset, found: list[Found]) -> Array:
    results = [
        {
            "image_id": image_id,
            "category_id": dataset.category_ids[class_id],
            "bbox": [x1, y1, x2 - x1, y2 - y1],
            "score": float(np.float32(value)),
        }
        for image_id, class_id, (x1, y1, x2, y2), value in found
    ]
    with contextlib.redirect_stdout(io.StringIO()):
        truths = pycocotools_coco.COCO(dataset.annotation_file)
        evaluator = pycocotools_cocoeval.COCOeval(truths, truths.loadRes(results), "bbox")
        evaluator.evaluate()
        evaluator.accumulate()
        evaluator.summarize()
    return np.asarray(evaluator.stats)


@pytest.mark.parametrize("at_once", [50_000, 40], ids=["all classes at once", "few at once"])
@pytest.mark.parametrize(
    ("seed", "num_images", "num_classes"), [(0, 30, 5), (1, 3, 2), (2, 60, 20), (3, 12, 1)]
)
def test_the_twelve_numbers_are_those_of_pycocotools(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    at_once: int,
    seed: int,
    num_images: int,
    num_classes: int,
) -> None:
    monkeypatch.setattr(coco, "ANNOTATIONS_AT_ONCE", at_once)
    dataset, found = random_data(tmp_path, seed, num_images, num_classes)
    result = score(table_of(found), dataset, every_image(dataset))
    ours = [-1 if value is None else value for value in result.twelve_numbers().values()]
    np.testing.assert_allclose(ours, pycocotools_numbers(dataset, found), rtol=0, atol=1e-9)


def test_the_mean_over_the_classes_is_the_whole(tmp_path: Path) -> None:
    dataset, found = random_data(tmp_path, 4, 20, 6)
    result = score(table_of(found), dataset, every_image(dataset))
    assert result.per_class[-1].ap is None and result.per_class[-1].num_truths == 0
    with_truths = [each.ap for each in result.per_class if each.ap is not None]
    assert result.ap == pytest.approx(float(np.mean(with_truths)))


def test_nothing_is_printed(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    dataset, found = random_data(tmp_path, 5, 5, 3)
    score(table_of(found), dataset, every_image(dataset))
    assert capfd.readouterr() == ("", "")


def test_no_detections_at_all_give_ap_zero(tmp_path: Path) -> None:
    dataset = dataset_of(tmp_path, [box(1, (10, 10, 40, 40))])
    result = score(table_of([]), dataset, every_image(dataset))
    assert result.ap == result.ap50 == result.ar100 == result.ap_medium == 0
    assert [each.ap for each in result.per_class] == [0, None]


def test_no_truths_at_all_give_no_numbers_and_valid_json(tmp_path: Path) -> None:
    dataset = dataset_of(tmp_path, [])
    result = score(table_of([(1, 0, (0, 0, 9, 9), 0.9)]), dataset, every_image(dataset))
    assert set(result.twelve_numbers().values()) == {None}
    assert result.num_detections == 1
    json.dumps(result.as_dict(), allow_nan=False)


def test_no_images_give_no_numbers(tmp_path: Path) -> None:
    dataset = dataset_of(tmp_path, [box(1, (10, 10, 40, 40))])
    result = score(table_of([(1, 0, (10, 10, 50, 50), 0.9)]), dataset, [])
    assert (result.ap, result.num_images, result.num_detections) == (None, 0, 0)


def test_boxes_that_training_drops_are_no_truths_here_either(tmp_path: Path) -> None:
    broken = [(10, 10, 0, 40), (50, 50, -20, 10), (300, 10, 20, 20), (5, float("nan"), 9, 9)]
    truths = [box(1, (10, 10, 40, 40)), *(box(1, xywh) for xywh in broken)]
    dataset = dataset_of(tmp_path, truths)
    result = score(table_of([(1, 0, (10, 10, 50, 50), 0.9)]), dataset, every_image(dataset))
    assert result.num_truths == len(dataset[0].boxes) == 1
    assert result.ap == 1


@pytest.mark.parametrize("protocol", [COCO, MINDCV], ids=["coco", "mindcv"])
def test_files_of_half_the_annotated_size_have_the_same_figures(
    tmp_path: Path, protocol: Protocol
) -> None:
    whole, found = random_data(tmp_path, 6, 20, 4)
    halves = [(i, c, tuple(side / 2 for side in corners), s) for i, c, corners, s in found]
    expected = score(table_of(found), whole, chosen_images(whole, protocol), protocol)
    for record in whole:
        Image.new("RGB", (100, 50), "white").save(record.path)
    half = load_coco(Path(whole.annotation_file), tmp_path)
    assert (half[0].width, half[0].height) == (100, 50)
    result = score(table_of(halves), half, chosen_images(half, protocol), protocol)
    for name in ("ap", "ap50", "ap75", "ar1", "ar10", "ar100"):
        assert getattr(result, name) == pytest.approx(getattr(expected, name), abs=1e-12)
    assert [each.ap for each in result.per_class] == pytest.approx(
        [each.ap for each in expected.per_class]
    )
    # A quarter of the pixels: what was medium of up to 64² is small.
    assert np.concatenate([record.areas for record in half]).sum() == pytest.approx(
        np.concatenate([record.areas for record in whole]).sum() / 4
    )


def test_a_negative_area_leaves_a_truth_a_truth(tmp_path: Path) -> None:
    dataset = dataset_of(tmp_path, [box(1, (10, 10, 40, 40), area=-1600)])
    result = score(table_of([(1, 0, (10, 10, 50, 50), 0.9)]), dataset, every_image(dataset))
    assert (result.ap, result.ap_medium, result.num_truths) == (1, 1, 1)


def test_of_a_box_annotated_twice_one_detection_finds_all(tmp_path: Path) -> None:
    dataset = dataset_of(tmp_path, [box(1, (10, 10, 40, 40)), box(1, (10, 10, 40, 40), id=99)])
    result = score(table_of([(1, 0, (10, 10, 50, 50), 0.9)]), dataset, every_image(dataset))
    assert (result.ap, result.num_truths) == (1, 1)


def test_the_mindcv_protocol_leaves_out_images_without_boxes_and_with_a_crowd(
    tmp_path: Path,
) -> None:
    truths = [
        box(1, (10, 10, 40, 40)),
        box(2, (10, 10, 40, 40)),
        box(2, (0, 0, 90, 90), iscrowd=1),
    ]
    dataset = dataset_of(tmp_path, truths, image_ids=(1, 2, 3))
    assert chosen_images(dataset, MINDCV) == [0]
    assert chosen_images(dataset, COCO) == [0, 1, 2]
    # A miss in an image that is left out costs nothing.
    table = table_of([(1, 0, (10, 10, 50, 50), 0.9), (3, 0, (0, 0, 9, 9), 0.99)])
    result = score(table, dataset, chosen_images(dataset, MINDCV), MINDCV)
    assert (result.ap, result.num_images, result.num_detections) == (1, 1, 1)

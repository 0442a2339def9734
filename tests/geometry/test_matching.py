"""Which default box answers for which truth."""

import numpy as np
import pytest

from mindssd.geometry.boxes import cxcywh_to_xyxy, pairwise_iou
from mindssd.geometry.default_boxes import DefaultBoxes
from mindssd.geometry.matching import match
from tests.default_boxes import default_boxes_at


def tiles(*boxes: tuple[float, float, float, float]) -> DefaultBoxes:
    """Default boxes given by their corners."""
    corners = np.array(boxes)
    size = corners[:, 2:] - corners[:, :2]
    return default_boxes_at(np.concatenate([corners[:, :2] + size / 2, size], axis=1))


QUARTERS = tiles((0, 0, 0.5, 0.5), (0.5, 0, 1, 0.5), (0, 0.5, 0.5, 1), (0.5, 0.5, 1, 1))


def truths(*boxes: tuple[float, float, float, float]) -> np.ndarray:
    return np.array(boxes, np.float32).reshape(-1, 4)


def random_truths(num_truths: int, seed: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    boxes = cxcywh_to_xyxy(
        np.concatenate(
            [rng.uniform(0, 1, (num_truths, 2)), rng.uniform(0.02, 0.6, (num_truths, 2))], axis=1
        )
    )
    return boxes.clip(0, 1).astype(np.float32)


def match_one_by_one(
    boxes: np.ndarray, default_boxes: DefaultBoxes, threshold: float
) -> np.ndarray:
    """The rule, read aloud: truths in order, a later one only by a strictly higher IoU."""
    matched = np.full(len(default_boxes), -1)
    highest = np.zeros(len(default_boxes))
    for index, box in enumerate(boxes):
        iou = pairwise_iou(box[None], default_boxes.boxes)[0]
        iou[iou.argmax()] = 2.0
        for default_box, value in enumerate(iou):
            if value > threshold and value > highest[default_box]:
                matched[default_box] = index
                highest[default_box] = value
    return matched


def test_a_default_box_above_the_threshold_is_positive():
    # IoU with the first quarter: 0.2 / 0.25 = 0.8; the others are not touched.
    assert match(truths((0, 0, 0.5, 0.4)), QUARTERS, 0.5).tolist() == [0, -1, -1, -1]


def test_each_truth_keeps_its_best_default_box():
    # A tenth of a quarter's side: IoU 0.01 / 0.25, far below the threshold.
    assert match(truths((0.6, 0.6, 0.7, 0.7)), QUARTERS, 0.5).tolist() == [-1, -1, -1, 0]


def test_a_default_box_goes_to_the_truth_of_highest_iou():
    loose, tight = (0, 0, 0.5, 0.3), (0, 0, 0.5, 0.45)
    twins = tiles((0, 0, 0.5, 0.5), (0, 0, 0.5, 0.3), (0, 0, 0.5, 0.45))
    assert match(truths(loose, tight), twins, 0.5).tolist() == [1, 0, 1]


def test_a_truths_best_box_is_not_lost_to_a_higher_iou():
    # Truth 0 has its best IoU (0.6) with the only default box; truth 1 fits it better (0.8).
    only = tiles((0, 0, 0.5, 0.5))
    assert match(truths((0, 0, 0.5, 0.3), (0, 0, 0.5, 0.4)), only, 0.5).tolist() == [0]


def test_of_two_equal_truths_the_earlier_has_all():
    twin = (0, 0, 0.5, 0.45)
    assert match(truths(twin, twin), QUARTERS, 0.5).tolist() == [0, -1, -1, -1]


def test_of_equally_good_default_boxes_the_first_is_the_best():
    # The middle of the image overlaps the quarters alike (in eighths, so that they tie exactly).
    assert match(truths((0.375, 0.375, 0.625, 0.625)), QUARTERS, 0.5).tolist() == [0, -1, -1, -1]


def test_iou_equal_to_the_threshold_is_not_above_it():
    # IoU 0.5 with the first two alike: the first as the best box, the second not.
    assert match(truths((0, 0, 1, 0.5)), QUARTERS, 0.5).tolist() == [0, -1, -1, -1]


def test_no_truths_leave_all_background():
    assert match(truths(), QUARTERS, 0.5).tolist() == [-1] * 4


@pytest.mark.parametrize(
    "nothing",
    [
        (0.2, 0.2, 0.2, 0.4),  # no width
        (0.3, 0.3, 0.3, 0.3),
        (0.4, 0.1, 0.2, 0.3),  # inverted
        (1.2, 0.1, 1.5, 0.3),  # outside
        (np.nan, 0.1, 0.5, 0.5),
        (0.0, 0.0, np.inf, 0.5),
    ],
)
def test_a_truth_that_overlaps_nothing_is_given_nothing(nothing):
    proper = (0.5, 0, 1, 0.45)
    assert match(truths(nothing, proper), QUARTERS, 0.5).tolist() == [-1, 1, -1, -1]


@pytest.mark.parametrize("num_truths", [1, 7, 60])
@pytest.mark.parametrize("threshold", [0.0, 0.35, 0.5])
def test_many_truths_match_as_one_by_one(paper_default_boxes, num_truths, threshold):
    boxes = random_truths(num_truths, seed=num_truths)
    expected = match_one_by_one(boxes, paper_default_boxes, threshold)
    np.testing.assert_array_equal(match(boxes, paper_default_boxes, threshold), expected)


def test_no_default_boxes_match_nothing():
    empty = default_boxes_at(np.zeros((0, 4)))
    assert match(truths((0, 0, 1, 1)), empty, 0.5).shape == (0,)


def test_every_index_is_a_truth_and_int32(paper_default_boxes):
    matched = match(random_truths(9, seed=3), paper_default_boxes, 0.5)
    assert matched.dtype == np.int32
    assert set(np.unique(matched)) == {-1, *range(9)}


def test_targets_are_the_references(golden, golden_default_boxes):
    targets = golden.load("targets")
    for k in range(5):
        rows = targets[f"truth_{k}_y1_x1_y2_x2_label"]
        matched = match(rows[:, [1, 0, 3, 2]], golden_default_boxes, 0.5)
        positive = np.flatnonzero(matched >= 0)
        np.testing.assert_array_equal(positive, targets[f"positive_index_{k}"])
        labels = rows[matched[positive], 4]
        np.testing.assert_array_equal(labels, targets[f"positive_label_{k}"])

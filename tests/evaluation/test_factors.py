"""Groups of truths by hand, and the intervals of their recalls."""

import numpy as np
import pytest

from mindssd.evaluation.factors import (
    Factor,
    by_aspect_ratio,
    by_border,
    by_coco_size,
    by_gap,
    by_image_value,
    by_neighbours,
    by_side,
    found_truths,
    recall_by,
    share_interval,
)
from mindssd.evaluation.outcomes import Outcomes, outcomes
from tests.drawn_detections import Box, Found, drawn, table_of, truths_of


def one_image(
    boxes: list[Box], found: tuple[Found, ...] = (), crowds: tuple[int, ...] = ()
) -> Outcomes:
    truths = truths_of([(1, 0, box) for box in boxes], crowds)
    return outcomes(table_of(found), truths, np.array([1]), ("cat",))


def labels(factor: Factor) -> list[str]:
    return [factor.labels[group] for group in factor.group_of]


def test_cocos_sizes_and_finer_sides() -> None:
    result = one_image(
        [(0, 0, 4, 4), (0, 0, 31, 31), (0, 0, 32, 32), (0, 0, 96, 96), (0, 0, 600, 600)]
    )
    sizes = [label.split(",")[0] for label in labels(by_coco_size(result))]
    assert sizes == ["small", "small", "medium", "medium", "large"]
    assert labels(by_side(result)) == [
        "below 8 px",
        "16 to 32 px",
        "32 to 64 px",
        "96 to 128 px",
        "512 px and above",
    ]


def test_aspect_ratios() -> None:
    result = one_image([(0, 0, 10, 40), (0, 0, 10, 10), (0, 0, 20, 10), (0, 0, 50, 10)])
    assert labels(by_aspect_ratio(result)) == [
        "below 1:3",
        "3:4 to 4:3",
        "2:1 to 3:1",
        "3:1 and above",
    ]


def test_neighbours_overlap_or_lie_at_a_distance() -> None:
    boxes: list[Box] = [(0, 0, 10, 10), (5, 5, 15, 15), (18, 0, 28, 10), (100, 100, 110, 110)]
    result = one_image(boxes)
    assert labels(by_neighbours(result)) == ["overlaps 1", "overlaps 1", *["overlaps none"] * 2]
    # The third is 3 to the right of the second: 0.3 sides.
    assert labels(by_gap(result)) == ["touches", "touches", "within 1 side", "further"]
    assert labels(by_gap(one_image(boxes[:1]))) == ["alone in its image"]


def test_a_crowd_is_no_neighbour_and_in_no_group() -> None:
    result = one_image([(0, 0, 10, 10), (5, 5, 15, 15)], crowds=(1,))
    (group,) = recall_by(by_neighbours(result), result, np.zeros(2, bool))
    assert (group.label, group.num_truths) == ("overlaps none", 1)
    (group,) = recall_by(by_gap(result), result, np.zeros(2, bool))
    assert (group.label, group.num_truths) == ("alone in its image", 1)


def test_a_truth_at_the_border_touches_it() -> None:
    boxes: list[Box] = [(0, 20, 10, 30), (20, 20, 30, 30), (20, 20, 99.5, 30), (20, 5, 30, 50)]
    factor = by_border(one_image(boxes), np.array([[50, 100]]))
    touches = [label == "touches the border" for label in labels(factor)]
    assert touches == [True, False, True, True]


def test_images_are_parted_by_a_value_into_as_many() -> None:
    truths = truths_of([(image_id, 0, (0, 0, 10, 10)) for image_id in range(1, 9)])
    result = outcomes(table_of([]), truths, np.arange(1, 9), ("cat",))
    factor = by_image_value(result, "brightness", np.arange(10.0, 90.0, 10.0))
    assert np.bincount(factor.group_of).tolist() == [2, 2, 2, 2]
    assert factor.labels[0] == "10 to 27.5"
    same = by_image_value(result, "brightness", np.full(8, 0.5))
    assert (same.labels, set(same.group_of.tolist())) == (("0.5 to 0.5",), {0})
    unknown = by_image_value(result, "blur", np.array([np.nan] * 4 + [1.0] * 4))
    assert unknown.group_of.tolist() == [-1] * 4 + [0] * 4
    nothing = by_image_value(result, "blur", np.full(8, np.nan))
    assert nothing.labels == () and recall_by(nothing, result, np.zeros(8, bool)) == []


def test_recall_counts_what_is_found_above_the_score() -> None:
    near: Box = (0, 0, 10, 10)
    far: Box = (50, 50, 60, 60)
    result = one_image([near, far], ((1, 0, near, 0.9), (1, 0, far, 0.2)))
    assert found_truths(result).tolist() == [True, True]
    found = found_truths(result, score_threshold=0.5)
    (group,) = recall_by(by_side(result), result, found)
    assert (group.label, group.num_truths, group.num_found) == ("8 to 16 px", 2, 1)
    assert group.recall == 0.5 and group.low < 0.5 < group.high


def test_groups_add_up_to_all_truths() -> None:
    table, truths = drawn(3, 30, 3)
    result = outcomes(table, truths, np.arange(1, 60, 2), ("a", "b", "c"))
    found = found_truths(result)
    sizes = np.full((30, 2), 100)
    brightness = np.random.default_rng(0).random(30)
    for factor in (
        *(by_coco_size(result), by_side(result), by_aspect_ratio(result), by_neighbours(result)),
        *(by_gap(result), by_border(result, sizes), by_image_value(result, "light", brightness)),
    ):
        groups = recall_by(factor, result, found)
        assert sum(group.num_truths for group in groups) == result.num_truths.sum()
        assert sum(group.num_found for group in groups) == found.sum()
        assert all(0 <= group.low <= group.recall <= group.high <= 1 for group in groups)


def test_the_interval_of_independent_truths_is_wilsons() -> None:
    # 8 of 10: Wilson's interval is 0.490 to 0.943.
    low, high = share_interval(np.arange(10) < 8, np.arange(10))
    assert (low, high) == pytest.approx((0.490, 0.943), abs=0.001)
    low, high = share_interval(np.ones(10, bool), np.arange(10))
    assert (low, high) == pytest.approx((0.722, 1), abs=0.001)


def test_truths_of_one_image_that_share_a_fate_say_less() -> None:
    hits = np.repeat([True, False], 50)
    alone = share_interval(hits, np.arange(100))
    together = share_interval(hits, np.arange(100) // 10)  # ten images, all or none found in each
    # As ten trials: 5 of 10 have 0.237 to 0.763; the variance of ten has 9 degrees of freedom.
    assert together == pytest.approx((0.237, 0.763), abs=0.02)
    assert alone[1] - alone[0] < (together[1] - together[0]) / 2


def test_no_truths_give_no_groups() -> None:
    empty = one_image([])
    for factor in (by_coco_size(empty), by_neighbours(empty), by_gap(empty), by_side(empty)):
        assert recall_by(factor, empty, np.zeros(0, bool)) == []
    assert found_truths(empty).shape == (0,)

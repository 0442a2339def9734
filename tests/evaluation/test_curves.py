"""Precision-recall curves as pycocotools has them, and counts down the scores by hand."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mindssd.evaluation.curves import ScoreCurve, precision_recall, score_curve
from mindssd.evaluation.outcomes import Outcomes, outcomes
from tests.drawn_detections import Found, Truth, drawn, table_of, truths_of
from tests.pycocotools_judge import judge

CLASSES = ("cat", "dog")
CELL = (0.0, 0.0, 10.0, 10.0)
TRUTHS: list[Truth] = [(1, 0, CELL), (2, 0, CELL), (3, 0, CELL), (4, 0, CELL)]


def four_truths(found: list[Found], crowds: tuple[int, ...] = ()) -> Outcomes:
    return outcomes(table_of(found), truths_of(TRUTHS, crowds), np.arange(1, 5), CLASSES)


RIGHT_WRONG_RIGHT: list[Found] = [
    (1, 0, CELL, 0.9),
    (1, 0, (50, 50, 60, 60), 0.5),
    (2, 0, CELL, 0.25),
]


def test_a_curve_falls_where_a_wrong_detection_stands() -> None:
    curves = precision_recall(four_truths(RIGHT_WRONG_RIGHT))
    cat = curves.precision[0, :, 0]
    # Recall 1/4 at precision 1, recall 2/4 at precision 2/3, and no more.
    assert cat.tolist() == pytest.approx([1] * 26 + [2 / 3] * 25 + [0] * 50)
    assert curves.scores[0, [0, 25, 26, 50, 51], 0].tolist() == pytest.approx(
        [0.9, 0.9, 0.25, 0.25, 0]
    )
    assert curves.recall[0].tolist() == pytest.approx([0.5, np.nan], nan_ok=True)
    assert curves.ap[0, 0] == pytest.approx((26 + 25 * 2 / 3) / 101)
    assert np.isnan(curves.ap[:, 1]).all()


def test_no_detections_give_zeros_and_no_truths_give_nan() -> None:
    curves = precision_recall(four_truths([]))
    assert not curves.precision[:, :, 0].any() and not curves.recall[:, 0].any()
    nothing = precision_recall(outcomes(table_of([]), truths_of([]), np.array([1]), CLASSES))
    assert np.isnan(nothing.precision).all() and np.isnan(nothing.scores).all()


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10_000), st.integers(1, 12), st.integers(1, 4))
def test_precision_scores_and_recall_are_those_of_pycocotools(
    seed: int, num_images: int, num_classes: int
) -> None:
    table, truths = drawn(seed, num_images, num_classes)
    image_ids = np.arange(1, 2 * num_images, 2)
    names = tuple(map(str, range(num_classes)))
    ours = precision_recall(outcomes(table, truths, image_ids, names))
    theirs = judge(table, truths, image_ids.tolist(), num_classes).eval
    for name, index in (("precision", np.s_[..., 0, -1]), ("scores", np.s_[..., 0, -1])):
        filled = np.nan_to_num(getattr(ours, name), nan=-1)
        np.testing.assert_allclose(filled, theirs[name][index], rtol=0, atol=1e-12)
    recall = np.nan_to_num(ours.recall, nan=-1)
    np.testing.assert_allclose(recall, theirs["recall"][..., 0, -1], rtol=0, atol=1e-12)


def test_right_and_wrong_are_counted_down_to_each_score() -> None:
    curve = score_curve(four_truths(RIGHT_WRONG_RIGHT), class_id=0)
    assert curve.scores.tolist() == pytest.approx([0.9, 0.5, 0.25])
    assert curve.num_right.tolist() == [1, 1, 2]
    assert curve.num_wrong.tolist() == [0, 1, 1]
    assert curve.precision.tolist() == pytest.approx([1, 1 / 2, 2 / 3])
    assert curve.recall.tolist() == pytest.approx([1 / 4, 1 / 4, 2 / 4])
    assert curve.f1.tolist() == pytest.approx([2 / 5, 2 / 6, 4 / 7])
    assert curve.best_f1 == 2


def test_equal_scores_are_one_point_for_no_threshold_parts_them() -> None:
    found: list[Found] = [(1, 0, CELL, 0.5), (2, 0, CELL, 0.5), (2, 0, (30, 30, 40, 40), 0.5)]
    curve = score_curve(four_truths(found))
    assert (curve.scores.tolist(), curve.num_right.tolist()) == ([0.5], [2])
    assert curve.num_wrong.tolist() == [1]


def test_all_classes_together_count_what_is_found_of_a_class_without_truths() -> None:
    result = four_truths([*RIGHT_WRONG_RIGHT, (3, 1, CELL, 0.7)])
    assert score_curve(result).num_wrong.tolist() == [0, 1, 2, 2]
    assert score_curve(result, class_id=1).recall.tolist() == pytest.approx([np.nan], nan_ok=True)
    assert score_curve(result, class_id=1).best_f1 is None


def test_what_a_crowd_holds_is_no_point_of_the_curve() -> None:
    curve = score_curve(four_truths(RIGHT_WRONG_RIGHT, crowds=(0,)))
    assert curve.scores.tolist() == pytest.approx([0.5, 0.25])
    assert curve.num_truths == 3


def test_a_place_is_found_for_any_threshold() -> None:
    curve = score_curve(four_truths(RIGHT_WRONG_RIGHT))
    grid = np.array([0.95, 0.9001, 0.6, 0.5, 0.3, 0.0])
    assert curve.places(grid).tolist() == [-1, -1, 0, 1, 1, 2]


def test_a_threshold_lies_midway_between_what_it_keeps_and_what_it_drops() -> None:
    curve = score_curve(four_truths(RIGHT_WRONG_RIGHT))
    assert curve.threshold(0) == pytest.approx(0.7)
    assert curve.threshold(2) == pytest.approx(0.2499)
    faint = ScoreCurve(np.array([1e-5]), np.array([1]), np.array([0]), 1)
    assert faint.threshold(0) == pytest.approx(0.5e-5)


def test_a_threshold_parts_scores_that_are_neighbours_as_float32() -> None:
    better = np.float32(0.3)
    for scores in ([better, np.nextafter(better, np.float32(0))], [np.float32(1), better]):
        columns = np.array(scores, np.float32)
        curve = ScoreCurve(columns.astype(np.float64), np.array([1, 2]), np.array([0, 0]), 2)
        assert (columns > curve.threshold(0)).tolist() == [True, False]
        assert (columns > curve.threshold(1)).tolist() == [True, True]
        assert (columns > curve.threshold(-1)).tolist() == [False, False]


def test_no_detections_give_an_empty_curve() -> None:
    curve = score_curve(four_truths([]))
    assert curve.precision.shape == curve.f1.shape == (0,)
    assert curve.best_f1 is None
    assert curve.places(np.array([0.5])).tolist() == [-1]

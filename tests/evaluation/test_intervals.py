"""The bootstrap over images: equal to sets that hold an image so often, and its nothing-cases."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mindssd.evaluation import intervals
from mindssd.evaluation.curves import precision_recall
from mindssd.evaluation.detections import DetectionTable
from mindssd.evaluation.intervals import (
    bootstrap,
    estimate,
    resampled_ap,
    resampled_recall,
    resamples,
)
from mindssd.evaluation.outcomes import Outcomes, outcomes
from mindssd.evaluation.paired import differences
from mindssd.evaluation.truths import Truths
from mindssd.types import Array
from tests.drawn_detections import Found, Truth, drawn, table_of, truths_of

CELL = (0.0, 0.0, 10.0, 10.0)
AWAY = (50.0, 50.0, 60.0, 60.0)


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def duplicated(
    table: DetectionTable, truths: Truths, image_ids: Array, weights: Array
) -> tuple[DetectionTable, Truths, Array]:
    """A set in which each image stands as often as its weight, under ids next to each other."""
    found, marked, found_ids, marked_ids, ids = [], [], [], [], []
    for image_id, weight in zip(image_ids.tolist(), weights.tolist(), strict=True):
        for copy in range(weight):
            new_id = image_id * 100 + copy
            rows = np.flatnonzero(table.image_ids == image_id)
            found.append(rows)
            found_ids.append(np.full(len(rows), new_id))
            rows = np.flatnonzero(truths.image_ids == image_id)
            marked.append(rows)
            marked_ids.append(np.full(len(rows), new_id))
            ids.append(new_id)
    rows, truth_rows = np.concatenate(found), np.concatenate(marked)
    return (
        DetectionTable(
            np.concatenate(found_ids),
            table.class_ids[rows],
            table.boxes[rows],
            table.scores[rows],
        ),
        replace(
            truths,
            image_ids=np.concatenate(marked_ids),
            class_ids=truths.class_ids[truth_rows],
            boxes_xywh=truths.boxes_xywh[truth_rows],
            areas=truths.areas[truth_rows],
            is_crowd=truths.is_crowd[truth_rows],
        ),
        np.array(ids),
    )


def drawn_and_copied(seed: int, num_images: int) -> tuple[Outcomes, Array, list[Outcomes]]:
    """A drawn set, the weights of six resamples, and each as a set that holds an image so often.

    Without ties of score between images, where the order of the copies would matter.
    """
    table, truths = drawn(seed, num_images, 3, crowd_share=0.2, ties=False)
    image_ids = np.arange(1, 2 * num_images, 2)
    weights = resamples(num_images, 6, rng(seed))
    names = ("a", "b", "c")
    copies = [outcomes(*duplicated(table, truths, image_ids, one), names) for one in weights]
    return outcomes(table, truths, image_ids, names), weights, copies


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10_000), st.integers(1, 12), st.booleans())
def test_a_resamples_ap_is_that_of_the_set_with_its_images_so_often(
    seed: int, num_images: int, few_at_once: bool
) -> None:
    whole, weights, copies = drawn_and_copied(seed, num_images)
    before = intervals.VALUES_AT_ONCE
    intervals.VALUES_AT_ONCE = 8 if few_at_once else before
    try:
        ours = resampled_ap(whole, weights)
    finally:
        intervals.VALUES_AT_ONCE = before
    for row, copied in zip(ours, copies, strict=True):
        alone = precision_recall(copied)
        # Copies are equal scores, next to each other: the curve takes the last one's precision.
        np.testing.assert_allclose(row, alone.ap, atol=1e-12)


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 10_000), st.integers(1, 12), st.sampled_from([1, 10, 100]))
def test_a_resamples_recall_is_that_of_the_set_with_its_images_so_often(
    seed: int, num_images: int, most: int
) -> None:
    whole, weights, copies = drawn_and_copied(seed, num_images)
    ours = resampled_recall(whole, weights, most)
    for row, copied in zip(ours, copies, strict=True):
        once = np.ones((1, len(copied.image_ids)), np.int32)
        np.testing.assert_allclose(row, resampled_recall(copied, once, most)[0], atol=1e-12)


@pytest.mark.parametrize("num_truths", [7, 20, 100, 29, 50])
def test_a_recall_reached_exactly_counts_as_in_pycocotools(num_truths: int) -> None:
    truths: list[Truth] = [(image_id, 0, CELL) for image_id in range(1, num_truths + 1)]
    for num_right in range(num_truths + 1):
        found: list[Found] = [(i, 0, CELL, 1 - i / 200) for i in range(1, num_right + 1)]
        result = outcomes(
            table_of(found), truths_of(truths), np.arange(1, num_truths + 1), ("cat",)
        )
        ours = resampled_ap(result, np.ones((1, num_truths), np.int32))
        assert ours[0, 0, 0] == pytest.approx(precision_recall(result).ap[0, 0], abs=1e-12)


def found_in_half() -> Outcomes:
    truths: list[Truth] = [(image_id, 0, CELL) for image_id in range(1, 101)]
    found: list[Found] = [(i, 0, CELL, 1 - i / 200) for i in range(1, 101, 2)]
    return outcomes(table_of(found), truths_of(truths), np.arange(1, 101), ("cat", "dog"))


def test_the_interval_is_as_wide_as_chance_is() -> None:
    result = bootstrap(found_in_half(), rng())
    # Recall is the share of 50 found among 100 drawn: a standard deviation of 0.05.
    assert result.ap.value == pytest.approx(51 / 101)
    assert result.ap.low == pytest.approx(0.5 - 1.96 * 0.05, abs=0.02)
    assert result.ap.high == pytest.approx(0.5 + 1.96 * 0.05, abs=0.02)
    assert result.class_ap[0].low == pytest.approx(result.ap50.low)


def test_the_interval_holds_the_figure_though_images_that_stand_twice_raise_ap() -> None:
    # Many classes of few truths: what is raised adds up, what is chance does not.
    table, truths = drawn(1, 300, 60, ties=False)
    result = outcomes(table, truths, np.arange(1, 600, 2), tuple(map(str, range(60))))
    weights = resamples(300, 200, rng())
    whole = float(np.nanmean(precision_recall(result).ap))
    drawn_ap = np.nanmean(resampled_ap(result, weights).mean(axis=1), axis=1)
    assert drawn_ap.mean() > whole + 0.01
    ap = bootstrap(result, rng(), 200).ap
    assert ap.value == pytest.approx(whole)
    assert ap.low is not None and ap.high is not None and ap.low < whole < ap.high
    assert ap.high - ap.low == pytest.approx(np.diff(np.quantile(drawn_ap, [0.025, 0.975]))[0])


def test_a_class_without_truths_has_no_figure_and_no_interval() -> None:
    none = bootstrap(found_in_half(), rng(), 50).class_ap[1]
    assert (none.value, none.low, none.high) == (None, None, None)


def test_a_class_whose_only_truth_is_not_drawn_has_no_part_in_the_resample() -> None:
    result = outcomes(
        table_of([(1, 0, CELL, 0.9)]),
        truths_of([(1, 0, CELL), (2, 1, CELL)]),
        np.arange(1, 3),
        ("a", "b"),
    )
    drawn_ap = resampled_ap(result, np.array([[2, 0], [0, 2], [1, 1]], np.int32))[:, 0]
    np.testing.assert_array_equal(drawn_ap, [[1, np.nan], [np.nan, 0], [1, 0]])


def test_one_image_no_detections_and_no_truths_are_defined() -> None:
    one = outcomes(table_of([(1, 0, CELL, 0.9)]), truths_of([(1, 0, CELL)]), np.array([1]), ("a",))
    assert bootstrap(one, rng(), 10).ap == estimate(1.0, np.ones(1))
    empty = outcomes(table_of([]), truths_of([(1, 0, CELL)]), np.array([1]), ("a",))
    assert bootstrap(empty, rng(), 10).ap == estimate(0.0, np.zeros(1))
    nothing = outcomes(table_of([]), truths_of([]), np.zeros(0, np.int64), ("a",))
    assert bootstrap(nothing, rng(), 10).ap == estimate(np.nan, np.zeros(0))


def test_resamples_draw_as_many_images_as_there_are_and_follow_the_seed() -> None:
    weights = resamples(7, 30, rng(3))
    assert weights.sum(axis=1).tolist() == [7] * 30
    np.testing.assert_array_equal(weights, resamples(7, 30, rng(3)))
    assert not np.array_equal(weights, resamples(7, 30, rng(4)))


def test_a_model_does_not_differ_from_itself() -> None:
    result = found_in_half()
    (same,) = differences([result, result], rng(), 100)
    assert same.ap.estimate == estimate(0.0, np.zeros(1))
    assert same.ap.better_share == 0.5 and not same.ap.is_more_than_chance
    assert same.class_ap[1].better_share is None


def test_a_small_but_steady_gain_is_more_than_chance_though_the_intervals_overlap() -> None:
    base = found_in_half()
    table = base.table
    more = table_of([(i, 0, CELL, 0.3) for i in range(2, 22, 2)])
    better = outcomes(
        DetectionTable.merge([table, more]), base.truths, base.image_ids, base.class_names
    )
    (gain,) = differences([base, better], rng())
    assert gain.ap.estimate.value == pytest.approx(0.1, abs=0.01)
    assert gain.ap.is_more_than_chance and gain.ap.better_share == 1
    first, second = bootstrap(base, rng()).ap, bootstrap(better, rng()).ap
    assert first.high is not None and second.low is not None and first.high > second.low


def in_images(num_images: int, score: float) -> Outcomes:
    """A truth in each image, found with a score; a wrong detection has 0.5."""
    ids = range(1, num_images + 1)
    table = table_of([d for i in ids for d in ((i, 0, CELL, score), (i, 0, AWAY, 0.5))])
    truths = truths_of([(i, 0, CELL) for i in ids])
    return outcomes(table, truths, np.arange(1, num_images + 1), ("a",))


@pytest.mark.parametrize(("num_images", "is_more"), [(1, False), (2, False), (5, False), (6, True)])
def test_few_images_may_all_speak_for_one_model_by_chance(num_images: int, is_more: bool) -> None:
    (gain,) = differences([in_images(num_images, 0.4), in_images(num_images, 0.6)], rng(), 100)
    assert gain.ap.estimate.value == pytest.approx(0.5) and gain.ap.num_images == num_images
    assert gain.ap.is_more_than_chance is gain.class_ap50[0].is_more_than_chance is is_more
    assert (gain.ap.estimate.low is None) == (num_images == 1) == (gain.ap.better_share is None)


def test_models_of_other_images_or_classes_are_not_compared() -> None:
    base = found_in_half()
    with pytest.raises(ValueError, match="different images, 100 and 50"):
        differences([base, base.of_images(np.arange(100) < 50)], rng())
    with pytest.raises(ValueError, match="different classes"):
        differences([base, replace(base, class_names=("cat", "cow"))], rng())

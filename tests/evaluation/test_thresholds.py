"""Thresholds by hand on a few boxes, that they hold where they were chosen, and on other images."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mindssd.evaluation.curves import ScoreCurve, ranked
from mindssd.evaluation.outcomes import Outcomes, outcomes
from mindssd.evaluation.thresholds import (
    Figures,
    Goal,
    Place,
    best_f1,
    choose,
    figures_above,
    figures_of_thresholds,
    least_cost,
    precision_of_at_least,
    recall_of_at_least,
)
from tests.drawn_detections import Found, Truth, drawn, table_of, truths_of

CELL = (0.0, 0.0, 10.0, 10.0)
AWAY = (50.0, 50.0, 60.0, 60.0)


def rng() -> np.random.Generator:
    return np.random.default_rng(0)


def four_boxes() -> Outcomes:
    """Right at 0.9, wrong at 0.8, right at 0.6 and 0.4, of four truths; one image each."""
    truths: list[Truth] = [(image_id, 0, CELL) for image_id in (1, 2, 3, 4)]
    found: list[Found] = [
        (1, 0, CELL, 0.9),
        (2, 0, AWAY, 0.8),
        (2, 0, CELL, 0.6),
        (3, 0, CELL, 0.4),
    ]
    return outcomes(table_of(found), truths_of(truths), np.arange(1, 5), ("cat", "dog"))


@pytest.mark.parametrize(
    ("goal", "threshold", "figures"),
    [
        # F1 down the scores: 2/5, 2/6, 4/7, 6/8.
        (best_f1, 0.3999, (3, 1, 4)),
        # Precision: 1, 1/2, 2/3, 3/4.
        (precision_of_at_least(0.75), 0.3999, (3, 1, 4)),
        (precision_of_at_least(0.76), 0.85, (1, 0, 4)),
        # Recall: 1/4, 1/4, 2/4, 3/4.
        (recall_of_at_least(0.25), 0.85, (1, 0, 4)),
        (recall_of_at_least(0.5), 0.3999, (3, 1, 4)),
        # Costs with 0 to 4 kept: 4, 3, 3 + w, 2 + w, 1 + w.
        (least_cost(of_wrong=1, of_missed=1), 0.3999, (3, 1, 4)),
        (least_cost(of_wrong=3, of_missed=1), 0.85, (1, 0, 4)),
    ],
)
def test_a_threshold_of_four_boxes(
    goal: Goal, threshold: float, figures: tuple[int, int, int]
) -> None:
    choice = choose(four_boxes(), goal, rng(), class_id=0)
    assert choice.threshold == choice.nearest == pytest.approx(threshold)
    assert choice.figures == Figures(*figures)


def test_a_recall_that_is_not_reached_gives_no_threshold_and_the_best_there_is() -> None:
    choice = choose(four_boxes(), recall_of_at_least(0.9), rng())
    assert choice.threshold is None
    assert choice.nearest == pytest.approx(0.3999)
    assert choice.figures is not None and choice.figures.recall == 0.75


def test_a_precision_that_is_not_reached_gives_no_threshold_and_the_best_there_is() -> None:
    curve = ScoreCurve(np.array([0.9, 0.8, 0.7]), np.array([0, 1, 2]), np.array([1, 1, 2]), 5)
    assert precision_of_at_least(0.95)(curve) == Place(2, reached=False)  # 1/2 twice: more truths


def test_no_detection_at_all_can_be_the_cheapest() -> None:
    wrong: list[Found] = [(1, 0, AWAY, 0.9)]
    result = outcomes(table_of(wrong), truths_of([(1, 0, CELL)]), np.array([1]), ("cat",))
    choice = choose(result, least_cost(1, 1), rng())
    assert choice.threshold == pytest.approx(0.95)
    assert choice.figures == Figures(0, 0, 1)
    assert choice.figures.precision is None and choice.figures.recall == 0


def test_without_truths_or_detections_there_is_nothing_to_choose() -> None:
    for class_id in (1,):
        choice = choose(four_boxes(), best_f1, rng(), class_id=class_id)
        assert (choice.threshold, choice.nearest, choice.figures, choice.elsewhere) == (None,) * 4
    empty = outcomes(table_of([]), truths_of([(1, 0, CELL)]), np.array([1]), ("cat",))
    assert choose(empty, best_f1, rng()).nearest is None


def test_one_image_has_no_other_half() -> None:
    result = four_boxes().of_images(np.array([True, False, False, False]))
    choice = choose(result, best_f1, rng())
    assert choice.threshold is not None and choice.elsewhere is None


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 1000), st.sampled_from([0.3, 0.5, 0.75, 0.95]))
def test_what_the_threshold_keeps_is_as_precise_as_was_asked(seed: int, least: float) -> None:
    table, truths = drawn(seed, 12, 3)
    image_ids = np.arange(1, 24, 2)
    result = outcomes(table, truths, image_ids, ("a", "b", "c"))
    choice = choose(result, precision_of_at_least(least), rng(), num_splits=1)
    if choice.threshold is None:
        assert choice.figures is None or choice.figures.precision < least  # type: ignore[operator]
        return
    kept = table.scores > choice.threshold
    rest = replace(
        table,
        image_ids=table.image_ids[kept],
        class_ids=table.class_ids[kept],
        boxes=table.boxes[kept],
        scores=table.scores[kept],
    )
    alone = outcomes(rest, truths, image_ids, ("a", "b", "c"))
    num_right, num_wrong = alone.right[0].sum(), alone.wrong[0].sum()
    assert (num_right, num_wrong) == (choice.figures.num_right, choice.figures.num_wrong)  # type: ignore[union-attr]
    assert num_right / (num_right + num_wrong) >= least


def test_a_choice_on_halves_is_stated_on_the_others() -> None:
    # Two images alike: the threshold of one is that of the other.
    truths: list[Truth] = [(1, 0, CELL), (2, 0, CELL)]
    found: list[Found] = [
        (i, 0, box, score) for i in (1, 2) for box, score in ((CELL, 0.9), (AWAY, 0.5))
    ]
    result = outcomes(table_of(found), truths_of(truths), np.array([1, 2]), ("cat",))
    elsewhere = choose(result, precision_of_at_least(0.95), rng(), num_splits=5).elsewhere
    assert elsewhere is not None
    assert elsewhere.figures == Figures(10, 0, 10)
    assert elsewhere.precision_interval == elsewhere.recall_interval == (1, 1)
    assert (elsewhere.num_splits, elsewhere.num_unreached, elsewhere.num_without) == (5, 0, 0)


def test_the_precision_elsewhere_is_lower_than_where_it_was_chosen_by_chance() -> None:
    # Scores say nothing: half are right, whatever the score. Yet some beginning is 80 % right.
    generator = np.random.default_rng(4)
    truths: list[Truth] = [(image_id, 0, CELL) for image_id in range(1, 41)]
    found: list[Found] = [
        (image_id, 0, CELL if image_id % 2 else AWAY, float(generator.random()))
        for image_id in range(1, 41)
    ]
    result = outcomes(table_of(found), truths_of(truths), np.arange(1, 41), ("cat",))
    choice = choose(result, precision_of_at_least(0.8), rng())
    assert choice.figures is not None and choice.elsewhere is not None
    assert choice.figures.precision is not None and choice.figures.precision >= 0.8
    assert choice.elsewhere.figures.precision == pytest.approx(0.5, abs=0.1)
    assert choice.elsewhere.precision_interval is not None
    low, high = choice.elsewhere.precision_interval
    assert low < 0.5 < high


def test_halves_without_truths_cannot_choose_and_are_counted() -> None:
    result = four_boxes().of_images(np.array([True, False, False, True]))  # 4 has no detection
    elsewhere = choose(result, best_f1, rng(), num_splits=3).elsewhere
    assert elsewhere is not None
    assert elsewhere.num_without == 3
    assert elsewhere.figures == Figures(0, 0, 3)
    assert elsewhere.precision_interval is None


def test_a_choice_is_the_same_for_the_same_seed() -> None:
    result = four_boxes()
    assert choose(result, best_f1, rng()) == choose(result, best_f1, rng())


def test_figures_of_a_threshold_for_each_class_add_up() -> None:
    table, truths = drawn(4, 10, 3, ties=False)
    result = outcomes(table, truths, np.arange(1, 20, 2), ("a", "b", "c"))
    together, each = figures_of_thresholds(result, np.array([0.5, np.nan, 1.0]))
    assert together.num_right == sum(figures.num_right for figures in each)
    assert each[1].num_right == ranked(result, class_id=1).right.sum()
    assert each[2] == Figures(0, 0, 0)


def test_a_score_equal_to_the_threshold_is_not_kept() -> None:
    curve = ScoreCurve(np.array([0.9, 0.5]), np.array([1, 2]), np.array([0, 0]), 2)
    assert figures_above(curve, 0.5).num_right == 1
    assert figures_above(curve, 0.49).num_right == 2
    told = ScoreCurve(np.array([float(np.float32(0.3))]), np.array([1]), np.array([0]), 1)
    assert figures_above(told, 0.3).num_right == 0

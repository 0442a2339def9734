"""Which class is taken for which: four boxes by hand."""

import numpy as np

from mindssd.evaluation.confusion import Confusion, confusion
from mindssd.evaluation.curves import score_curve
from mindssd.evaluation.outcomes import outcomes
from tests.drawn_detections import Found, Truth, drawn, table_of, truths_of

FIRST = (0.0, 0.0, 10.0, 10.0)
SECOND = (50.0, 50.0, 60.0, 60.0)
AWAY = (80.0, 0.0, 90.0, 10.0)


def confused(
    found: list[Found],
    truths: list[Truth],
    score_threshold: float = 0.0,
    crowds: tuple[int, ...] = (),
) -> Confusion:
    marked = truths_of(truths, crowds)
    result = outcomes(table_of(found), marked, np.array([1]), ("cat", "dog"))
    return confusion(result, score_threshold)


def test_four_boxes_right_taken_for_another_on_nothing_and_missed() -> None:
    truths: list[Truth] = [(1, 0, FIRST), (1, 1, SECOND), (1, 1, (0, 50, 10, 60))]
    found: list[Found] = [(1, 0, FIRST, 0.9), (1, 0, SECOND, 0.8), (1, 1, AWAY, 0.7)]
    result = confused(found, truths)
    assert result.counts.tolist() == [
        [1, 0, 0],  # the cat is found
        [1, 0, 1],  # a dog is taken for a cat, another is missed
        [0, 1, 0],  # nothing is taken for a dog
    ]
    assert result.truth_of.tolist() == [0, 1, -1]
    assert result.detection_of.tolist() == [0, 1, -1]


def test_a_detection_of_the_right_class_comes_before_a_better_one_of_another() -> None:
    found: list[Found] = [(1, 1, FIRST, 0.9), (1, 0, (0, 0, 10, 6), 0.3)]
    assert confused(found, [(1, 0, FIRST)]).counts.tolist() == [[1, 0, 0], [0, 0, 0], [0, 1, 0]]


def test_of_two_of_another_class_the_better_score_has_the_truth() -> None:
    found: list[Found] = [(1, 1, (0, 0, 10, 6), 0.9), (1, 1, FIRST, 0.3)]
    result = confused(found, [(1, 0, FIRST)])
    assert result.counts.tolist() == [[0, 1, 0], [0, 0, 0], [0, 1, 0]]
    assert result.detection_of.tolist() == [0]


def test_of_two_truths_of_another_class_the_nearer_is_taken() -> None:
    truths: list[Truth] = [(1, 0, (0, 0, 10, 6)), (1, 0, FIRST)]
    assert confused([(1, 1, FIRST, 0.9)], truths).truth_of.tolist() == [1]


def test_what_scores_no_more_than_the_threshold_does_not_count() -> None:
    found: list[Found] = [(1, 0, FIRST, 0.5), (1, 1, AWAY, 0.25)]
    truths: list[Truth] = [(1, 0, FIRST)]
    assert confused(found, truths, 0.25).counts.tolist() == [[1, 0, 0], [0, 0, 0], [0, 0, 0]]
    assert confused(found, truths, 0.5).counts.tolist() == [[0, 0, 1], [0, 0, 0], [0, 0, 0]]


def test_a_crowd_is_no_truth_and_what_it_holds_does_not_count() -> None:
    found: list[Found] = [(1, 0, FIRST, 0.9), (1, 1, FIRST, 0.8)]
    result = confused(found, [(1, 0, (0, 0, 20, 20))], crowds=(0,))
    assert result.counts.tolist() == [[0, 0, 0], [0, 0, 0], [0, 1, 0]]


def test_nothing_found_and_no_truths_are_defined() -> None:
    assert confused([], [(1, 1, FIRST)]).counts.tolist() == [[0, 0, 0], [0, 0, 1], [0, 0, 0]]
    assert confused([(1, 1, FIRST, 0.9)], []).counts.tolist() == [[0] * 3, [0] * 3, [0, 1, 0]]
    assert not confused([], []).counts.any()


def test_rows_are_the_truths_and_the_diagonal_is_what_is_right() -> None:
    table, truths = drawn(9, 30, 4)
    result = outcomes(table, truths, np.arange(1, 60, 2), ("a", "b", "c", "d"))
    counts = confusion(result, 0.35).counts
    assert counts[:4].sum(axis=1).tolist() == result.num_truths.tolist()
    for class_id in range(4):
        curve = score_curve(result, class_id=class_id)
        kept = curve.scores > 0.35
        assert counts[class_id, class_id] == curve.num_right[kept].max(initial=0)
        assert counts[:, class_id].sum() == (curve.num_right + curve.num_wrong)[kept].max(initial=0)

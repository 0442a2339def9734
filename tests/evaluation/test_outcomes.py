"""What became of detections and truths: by hand, then as pycocotools has it."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mindssd.evaluation import overlaps as overlaps_module
from mindssd.evaluation.detections import DetectionTable
from mindssd.evaluation.outcomes import COCO_IOUS, Outcomes, outcomes
from mindssd.evaluation.truths import Truths
from mindssd.types import Array
from tests.drawn_detections import Found, Truth, drawn, table_of, truths_of
from tests.pycocotools_judge import judge

CLASSES = ("cat", "dog")


def at_half(
    found: list[Found],
    truths: list[Truth],
    crowds: tuple[int, ...] = (),
    images: Array | None = None,
) -> Outcomes:
    image_ids = np.array([1, 2]) if images is None else images
    return outcomes(table_of(found), truths_of(truths, crowds), image_ids, CLASSES, np.array([0.5]))


def test_the_best_detection_takes_the_truth_and_the_second_is_wrong() -> None:
    truths: list[Truth] = [(1, 0, (0, 0, 10, 10))]
    result = at_half([(1, 0, (0, 0, 10, 8), 0.4), (1, 0, (0, 0, 10, 9), 0.7)], truths)
    assert result.table.scores.tolist() == pytest.approx([0.7, 0.4])
    assert result.truth_of.tolist() == [[0, -1]]
    assert result.detection_of.tolist() == [[0]]
    assert result.right.tolist() == [[True, False]]
    assert result.wrong.tolist() == [[False, True]]


def test_a_detection_takes_the_truth_that_it_overlaps_most_of_those_left() -> None:
    truths: list[Truth] = [(1, 0, (0, 0, 10, 10)), (1, 0, (0, 0, 10, 9))]
    result = at_half([(1, 0, (0, 0, 10, 9), 0.9), (1, 0, (0, 0, 10, 9), 0.8)], truths)
    assert result.truth_of.tolist() == [[1, 0]]


def test_of_truths_overlapped_alike_the_later_is_taken() -> None:
    truths: list[Truth] = [(1, 0, (0, 0, 10, 10)), (1, 0, (0, 0, 10, 10))]
    assert at_half([(1, 0, (0, 0, 10, 10), 0.9)], truths).truth_of.tolist() == [[1]]


def test_another_class_or_image_is_no_match() -> None:
    found: list[Found] = [(1, 1, (0, 0, 10, 10), 0.9), (2, 0, (0, 0, 10, 10), 0.8)]
    result = at_half(found, [(1, 0, (0, 0, 10, 10))])
    assert result.truth_of.tolist() == [[-1, -1]]
    assert result.detection_of.tolist() == [[-1]]


def test_a_crowd_holds_any_number_and_is_found_by_none() -> None:
    truths: list[Truth] = [(1, 0, (0, 0, 100, 100)), (1, 0, (0, 0, 10, 10))]
    found: list[Found] = [
        (1, 0, (0, 0, 10, 10), 0.9),
        (1, 0, (0, 0, 10, 10), 0.8),
        (1, 0, (50, 50, 60, 60), 0.7),
    ]
    result = at_half(found, truths, crowds=(0,))
    assert result.truth_of.tolist() == [[1, 0, 0]]
    assert result.ignored.tolist() == [[False, True, True]]
    assert not result.wrong.any()
    assert result.detection_of.tolist() == [[-1, 0]]
    assert result.num_truths.tolist() == [1, 0]


def test_an_overlap_of_exactly_the_threshold_reaches_it() -> None:
    assert at_half([(1, 0, (0, 0, 10, 5), 0.9)], [(1, 0, (0, 0, 10, 10))]).right.all()


def test_equal_scores_stand_by_image_and_then_as_they_came() -> None:
    far: tuple[float, ...] = (50, 50, 60, 60)
    found: list[Found] = [
        (2, 0, (1, 0, 10, 10), 0.5),
        (1, 1, (2, 0, 10, 10), 0.5),
        (1, 0, (3, 0, 10, 10), 0.5),
        (7, 0, far, 0.9),  # type: ignore[list-item]
    ]
    result = at_half(found, [])
    assert result.table.boxes[:, 0].tolist() == [2, 3, 1]
    assert result.detection_images.tolist() == [0, 0, 1]


def test_of_one_class_and_image_the_hundred_best_count() -> None:
    found: list[Found] = [(1, 0, (0, 0, 10, 10), 0.001 * n) for n in range(130)]
    result = at_half([*found, (1, 1, (0, 0, 1, 1), 0.0)], [])
    assert len(result.table) == 101
    assert result.table.scores[99] == pytest.approx(0.03)


def test_nothing_found_and_no_truths_are_defined() -> None:
    assert at_half([], [(1, 0, (0, 0, 10, 10))]).detection_of.tolist() == [[-1]]
    assert at_half([(1, 0, (0, 0, 10, 10), 0.9)], []).truth_of.tolist() == [[-1]]
    nothing = at_half([], [], images=np.zeros(0, np.int64))
    assert nothing.truth_of.shape == nothing.detection_of.shape == (1, 0)
    assert nothing.num_truths.tolist() == [0, 0]


def test_detections_are_above_one_threshold_or_their_classes_own() -> None:
    far = (50.0, 50.0, 60.0, 60.0)
    result = at_half([(1, 0, far, 0.7), (1, 1, far, 0.5), (1, 0, far, 0.3)], [])
    assert result.above(0.3).tolist() == [True, True, False]
    assert result.above(np.array([0.2, 0.6])).tolist() == [True, False, True]
    assert at_half([], []).above(0.5).shape == (0,)


def test_a_threshold_is_found_by_its_value_and_missed_with_words() -> None:
    result = outcomes(table_of([]), truths_of([]), np.array([1]), CLASSES)
    assert result.at(0.75) == 5
    with pytest.raises(ValueError, match=r"IoU 0.52 is not among \[0.5, "):
        result.at(0.52)


def as_pycocotools(result: Outcomes, table: DetectionTable, truths: Truths, classes: int) -> None:
    evaluator = judge(table, truths, result.image_ids.tolist(), classes)
    # What pycocotools gives as ids are our rows plus 1; ours of `result` follow from the boxes.
    theirs = {}
    for each in evaluator.evalImgs:
        if each is not None and each["aRng"] == [0, 1e10]:
            key = (each["image_id"], each["category_id"] - 1)
            theirs[key] = each
    for (image_id, class_id), each in theirs.items():
        rows = np.flatnonzero(
            (result.table.image_ids == image_id) & (result.table.class_ids == class_id)
        )
        ids = np.array(each["dtIds"], np.int64) - 1
        np.testing.assert_array_equal(result.table.boxes[rows], table.boxes[ids])
        np.testing.assert_array_equal(result.truth_of[:, rows] + 1, each["dtMatches"])
        np.testing.assert_array_equal(result.ignored[:, rows], each["dtIgnore"])
        truth_rows = np.array(each["gtIds"], np.int64) - 1
        normal = ~np.array(each["gtIgnore"], bool)
        found = result.detection_of[:, truth_rows[normal]] >= 0
        np.testing.assert_array_equal(found, each["gtMatches"][:, normal] > 0)
    assert len(result.table) == sum(len(each["dtIds"]) for each in theirs.values())


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 10_000), st.integers(1, 8), st.integers(1, 4), st.sampled_from([0.0, 0.3]))
def test_every_match_is_that_of_pycocotools(
    seed: int, num_images: int, num_classes: int, crowd_share: float
) -> None:
    table, truths = drawn(seed, num_images, num_classes, crowd_share)
    names = tuple(map(str, range(num_classes)))
    image_ids = np.arange(1, 2 * num_images, 2)
    result = outcomes(table, truths, image_ids, names)
    np.testing.assert_array_equal(result.iou_thresholds, COCO_IOUS)
    as_pycocotools(result, table, truths, num_classes)


def test_many_alike_in_one_image_are_matched_as_pycocotools_does() -> None:
    rng = np.random.default_rng(0)
    corners = rng.integers(0, 12, (150, 2)).astype(float)
    boxes = np.concatenate([corners, corners + rng.integers(8, 14, (150, 2))], axis=1)
    found: list[Found] = [
        (1, 0, tuple(box.tolist()), float(score))
        for box, score in zip(boxes, rng.integers(0, 9, 150) / 8, strict=True)
    ]
    truths = truths_of([(1, 0, tuple(box.tolist())) for box in boxes[40:80]], crowds=(3, 30, 31))
    table = table_of(found)
    as_pycocotools(outcomes(table, truths, np.array([1]), ("cat",)), table, truths, 1)


def test_pairs_taken_a_few_at_a_time_give_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    table, truths = drawn(5, 20, 3)
    image_ids = np.arange(1, 40, 2)
    whole = outcomes(table, truths, image_ids, ("a", "b", "c"))
    monkeypatch.setattr(overlaps_module, "PAIRS_AT_ONCE", 3)
    parts = outcomes(table, truths, image_ids, ("a", "b", "c"))
    np.testing.assert_array_equal(whole.truth_of, parts.truth_of)


def test_the_outcomes_of_some_images_are_those_of_their_own_matching() -> None:
    table, truths = drawn(6, 20, 3)
    image_ids = np.arange(1, 40, 2)
    chosen = np.random.default_rng(1).random(20) < 0.5
    part = outcomes(table, truths, image_ids, ("a", "b", "c")).of_images(chosen)
    alone = outcomes(table, truths, image_ids[chosen], ("a", "b", "c"))
    for name in ("image_ids", "truth_of", "ignored", "detection_of", "num_truths"):
        np.testing.assert_array_equal(getattr(part, name), getattr(alone, name))
    np.testing.assert_array_equal(part.table.boxes, alone.table.boxes)
    np.testing.assert_array_equal(part.truths.boxes_xywh, alone.truths.boxes_xywh)

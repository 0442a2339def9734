"""Classes are chosen first, then what overlaps is suppressed, and what is left is counted."""

from itertools import product

import numpy as np
import pytest

from mindssd.geometry.selection import Selection, more
from tests.geometry.test_nms import greedy, pairs, random_scene, row


def by_hand(boxes, ranks, selection, rank_threshold, class_ids=None):
    """All three steps, one after the other, over all candidates."""
    if class_ids is not None:
        left_out = np.setdiff1d(np.arange(ranks.shape[1]), class_ids)
        ranks = ranks.copy()
        ranks[:, left_out] = -np.inf
    kept = greedy(
        boxes,
        ranks,
        selection.iou_threshold,
        score_threshold=rank_threshold,
        pixel_offset=selection.pixel_offset,
    )
    if selection.across_classes_iou is not None:
        rows = [box for box, _ in kept]
        scores = np.array([ranks[pair] for pair in kept], np.float32)[:, None]
        places = greedy(
            boxes[rows], scores, selection.across_classes_iou, pixel_offset=selection.pixel_offset
        )
        kept = [kept[place] for place, _ in places]
    counted, of_class = [], dict.fromkeys(range(ranks.shape[1]), 0)
    for box, class_id in kept:
        of_class[class_id] += 1
        if selection.max_per_class is None or of_class[class_id] <= selection.max_per_class:
            counted.append((box, class_id))
    return counted[: selection.max_detections]


def test_across_classes_one_thing_keeps_its_best_class_alone():
    ranks = np.array([[0.9, 0], [0, 0.8]], np.float32)  # of boxes with IoU 9 / 11
    both = Selection().select(row(0, 1), ranks, 0.1)
    assert pairs(both) == [(0, 0), (1, 1)]
    best = Selection(across_classes_iou=0.5).select(row(0, 1), ranks, 0.1)
    assert pairs(best) == [(0, 0)]


def test_the_limit_counts_what_suppression_across_classes_leaves():
    # Three things side by side, each seen as two classes.
    ranks = np.array([[0.9, 0.8], [0.7, 0.6], [0.5, 0.4]], np.float32)
    selection = Selection(across_classes_iou=0.5, max_detections=2)
    assert pairs(selection.select(row(0, 20, 40), ranks, 0.1)) == [(0, 0), (1, 0)]


def test_the_limit_counts_the_chosen_classes_and_the_others_suppress_nothing():
    ranks = np.array([[0.9, 0.8], [0.7, 0.6], [0.5, 0.4]], np.float32)
    selection = Selection(across_classes_iou=0.5, max_detections=2)
    found = selection.select(row(0, 20, 40), ranks, 0.1, class_ids=(1,))
    assert pairs(found) == [(0, 1), (1, 1)]
    assert pairs(selection.select(row(0, 20, 40), ranks, 0.1, class_ids=())) == []


def test_the_limit_of_a_class_counts_what_suppression_across_classes_leaves():
    # The better class 1 hides class 0 at the first place alone.
    ranks = np.array([[0.8, 0.9], [0.7, 0], [0.6, 0]], np.float32)
    selection = Selection(across_classes_iou=0.5, max_per_class=1)
    assert pairs(selection.select(row(0, 20, 40), ranks, 0.1)) == [(0, 1), (1, 0)]


@pytest.mark.parametrize("across", [None, 0.3, 0.5, 0.9])
@pytest.mark.parametrize("num_classes", [1, 3, 20])
def test_it_is_the_three_steps_over_all_candidates(across, num_classes):
    """Crowded scenes, of which the best few candidates seldom decide all."""
    limits = product((None, 1, 7, 40), (None, 3), (0.0, 1.0))
    for seed, (max_detections, max_per_class, pixel_offset) in enumerate(limits):
        boxes, ranks = random_scene(120, num_classes, seed)
        selection = Selection(
            iou_threshold=0.6,
            across_classes_iou=across,
            max_detections=max_detections,
            max_per_class=max_per_class,
            pixel_offset=pixel_offset,
        )
        class_ids = None if seed % 2 else tuple(range(0, num_classes, 2))
        found = selection.select(boxes, ranks, 0.2, class_ids)
        assert pairs(found) == by_hand(boxes, ranks, selection, 0.2, class_ids)


def test_however_many_boxes_lie_upon_each_other_the_limit_is_reached():
    """A thousand classes see one thing before any sees the next: growth has to go far."""
    boxes = row(0, 20, 40)
    ranks = np.repeat(np.array([[3], [2], [1]], np.float32), 1000, axis=1)
    selection = Selection(across_classes_iou=0.5, max_detections=3)
    assert pairs(selection.select(boxes, ranks, 0)) == [(0, 0), (1, 0), (2, 0)]


def test_more_is_looked_at_by_what_was_kept_before():
    assert more(200, 50, wanted=100) == 600
    assert more(200, 99, wanted=100) == 400  # at least twice
    assert more(200, 1, wanted=100) == more(200, 0, wanted=100) == 1600  # at most eight times


@pytest.mark.parametrize("num_boxes", [0, 3])
@pytest.mark.parametrize("limit", [None, 0, 100])
def test_no_candidates_are_no_detections(num_boxes, limit):
    selection = Selection(across_classes_iou=0.5, max_detections=limit)
    boxes, ranks = row(*range(0, 20 * num_boxes, 20)), np.zeros((num_boxes, 2), np.float32)
    assert pairs(selection.select(boxes.reshape(-1, 4), ranks, 1.0)) == []


THREE_CLASSES = np.array([[0.9, 0, 0], [0, 0.6, 0], [0, 0, 0.3], [0.5, 0, 0]], np.float32)


def test_each_class_has_its_own_threshold():
    selection = Selection().with_thresholds((0.7, 0.4, 0.35))
    assert selection.score_threshold == 0.35
    found = selection.select(row(0, 20, 40, 60), THREE_CLASSES, selection.threshold)
    assert pairs(found) == [(0, 0), (1, 1)]
    one = Selection().with_thresholds((0.55, 0.55, 0.55))
    assert (one.score_threshold, one.class_thresholds) == (0.55, None)
    assert pairs(one.select(row(0, 20, 40, 60), THREE_CLASSES, one.threshold)) == [(0, 0), (1, 1)]


def test_the_limit_counts_what_the_thresholds_of_classes_leave():
    selection = Selection(max_detections=2).with_thresholds((0.95, 0.4, 0.1))
    found = selection.select(row(0, 20, 40, 60), THREE_CLASSES, selection.threshold)
    assert pairs(found) == [(1, 1), (2, 2)]


def test_what_a_class_threshold_drops_has_suppressed_what_it_overlaps():
    """So that what is left is what is left of the detections that the thresholds were chosen on."""
    ranks = np.array([[0.6, 0], [0, 0.5]], np.float32)  # one thing, seen as two classes
    selection = Selection(across_classes_iou=0.5).with_thresholds((0.8, 0.4))
    assert pairs(selection.select(row(0, 1), ranks, selection.threshold)) == []
    assert pairs(selection.select(row(0, 1), ranks, selection.threshold, (1,))) == [(1, 1)]
    assert pairs(selection.select(row(0, 1), ranks, selection.threshold, ())) == []


@pytest.mark.parametrize("across_classes_iou", [None, 0.5])
def test_thresholds_of_classes_leave_of_all_detections_those_that_pass(across_classes_iou):
    for seed in range(20):
        rng = np.random.default_rng(seed)
        boxes, scores = random_scene(60, 3, seed)
        every = Selection(max_detections=None, across_classes_iou=across_classes_iou)
        box_indices, class_ids = every.select(boxes, scores, 0.05)
        thresholds = rng.uniform(0.1, 0.9, 3)
        passes = scores[box_indices, class_ids] > thresholds[class_ids]
        expected = list(zip(box_indices[passes], class_ids[passes], strict=True))[:7]
        limited = Selection(max_detections=7, across_classes_iou=across_classes_iou)
        limited = limited.with_thresholds(tuple(thresholds))
        assert pairs(limited.select(boxes, scores, limited.threshold)) == expected

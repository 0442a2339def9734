"""Soft-NMS and box voting by hand: what greedy NMS would have thrown away still says something."""

import numpy as np
import pytest

from mindssd.geometry.postprocess import PostProcess, PostProcessDecoded, sigmoid
from mindssd.geometry.refinement import Refinement, soft_nms, voted
from mindssd.geometry.selection import Selection
from tests.default_boxes import default_boxes_at

ALL = Selection(score_threshold=0.01)
PAIR = np.array([[0, 0, 10, 10], [0, 2.5, 10, 12.5]], np.float32)
"""Two boxes with an IoU of 7.5 / 12.5."""
IOU = 0.6


def column(*scores):
    return np.array(scores, np.float32)[:, None]


def test_soft_nms_lowers_the_score_of_what_greedy_nms_would_drop():
    rows, class_ids, scores = soft_nms(PAIR, column(0.9, 0.8), 0.5, ALL)
    assert rows.tolist() == [0, 1] and class_ids.tolist() == [0, 0]
    assert scores == pytest.approx([0.9, 0.8 * np.exp(-(IOU**2) / 0.5)], rel=1e-5)


def test_soft_nms_leaves_other_classes_and_what_lies_apart_as_they_are():
    scores = np.array([[0.9, 0], [0, 0.8]], np.float32)
    assert soft_nms(PAIR, scores, 0.5, ALL)[2] == pytest.approx([0.9, 0.8])
    apart = np.array([[0, 0, 10, 10], [20, 0, 30, 10]], np.float32)
    assert soft_nms(apart, column(0.9, 0.8), 0.5, ALL)[2] == pytest.approx([0.9, 0.8])


def test_soft_nms_ends_at_the_threshold_and_at_the_limits():
    threshold = Selection(score_threshold=0.5)
    assert soft_nms(PAIR, column(0.9, 0.8), 0.5, threshold)[0].tolist() == [0]
    assert soft_nms(PAIR, column(0.8, 0.9), 0.5, Selection(max_detections=1))[0].tolist() == [1]
    two_classes = np.array([[0.9, 0.7], [0.8, 0.6]], np.float32)
    rows, class_ids, _ = soft_nms(PAIR, two_classes, 0.5, Selection(max_per_class=1))
    assert list(zip(rows.tolist(), class_ids.tolist(), strict=True)) == [(0, 0), (0, 1)]


def test_soft_nms_takes_no_box_without_area_and_nothing_of_nothing():
    improper = np.array([[0, 0, 0, 10], [0, 0, np.nan, 10], [1, 1, 5, 5]], np.float32)
    assert soft_nms(improper, column(0.9, 0.8, 0.7), 0.5, ALL)[0].tolist() == [2]
    rows, class_ids, scores = soft_nms(np.zeros((0, 4), np.float32), np.zeros((0, 3)), 0.5, ALL)
    assert len(rows) == len(class_ids) == len(scores) == 0


def test_a_vote_weighs_scores_and_closeness():
    boxes = voted(PAIR, column(0.9, 0.8), np.array([0]), np.array([0]), 0.5)
    weights = np.array([0.9, 0.8 * np.exp(-((1 - IOU) ** 2) / 0.05)])
    y1 = weights @ [0, 2.5] / weights.sum()
    assert boxes == pytest.approx(np.array([[0, y1, 10, 10 + y1]]), rel=1e-5)


def test_votes_come_from_near_candidates_of_the_class_that_are_not_too_weak():
    kept, first = np.array([0]), np.array([0])
    for scores, iou in (
        (column(0.9, 0.8), IOU + 0.01),  # too far away
        (column(0.9, 0.04), 0.5),  # too weak: less than a twentieth
        (np.array([[0.9, 0], [0, 0.8]], np.float32), 0.5),  # of another class
    ):
        assert voted(PAIR, scores, kept, first, iou).tolist() == PAIR[:1].tolist()


def test_a_candidate_that_is_not_finite_has_no_vote():
    boxes = np.concatenate([PAIR, np.full((1, 4), np.nan, np.float32)])
    with_it = voted(boxes, column(0.9, 0.8, 0.7), np.array([0]), np.array([0]), 0.5)
    without = voted(PAIR, column(0.9, 0.8), np.array([0]), np.array([0]), 0.5)
    assert np.array_equal(with_it, without)


def test_people_are_shown_one_thing_once_but_at_its_voted_place():
    refinement = Refinement(soft_sigma=0.5, vote_iou=0.5)
    shown = Selection(score_threshold=0.3, iou_threshold=0.5, across_classes_iou=0.5)
    boxes, scores, _ = refinement.select(shown, PAIR, column(0.9, 0.8))
    assert scores == pytest.approx([0.9])
    assert 0 < boxes[0, 1] < 1.25


def test_people_are_not_shown_two_boxes_that_votes_have_drawn_together():
    """Two with IoU 5/15, and one between them that votes for both."""
    boxes = np.array([[0, 0, 10, 10], [0, 5, 10, 15], [0, 2.5, 10, 12.5]], np.float32)
    scores = column(0.9, 0.8, 0.7)
    shown = Selection(score_threshold=0.3, iou_threshold=0.34, across_classes_iou=0.34)
    assert len(Refinement().select(shown, boxes, scores)[0]) == 2
    found, found_scores, class_ids = Refinement(vote_iou=0.5).select(shown, boxes, scores)
    assert found_scores.tolist() == pytest.approx([0.9]) and class_ids.tolist() == [0]
    assert len(found) == 1 and found[0, 1] > 0
    ranked = Selection(score_threshold=0.3, iou_threshold=0.34)
    assert len(Refinement(vote_iou=0.5).select(ranked, boxes, scores)[0]) == 2


def test_chosen_classes_alone_are_selected():
    scores = np.array([[0.9, 0.3], [0.8, 0.2]], np.float32)
    _, found, class_ids = Refinement(soft_sigma=0.5).select(ALL, PAIR, scores, class_ids=(1,))
    assert class_ids.tolist() == [1, 1]
    assert found[0] == pytest.approx(0.3)


@pytest.mark.parametrize("num_objects", [1, 300])
@pytest.mark.parametrize("num_classes", [1, 80])
def test_raw_and_decoded_outputs_are_refined_alike(num_objects, num_classes):
    rng = np.random.default_rng(num_objects + num_classes)
    centres = rng.uniform(0.2, 0.8, (num_objects, 2))
    sizes = rng.uniform(0.05, 0.2, (num_objects, 2))
    default_boxes = default_boxes_at(np.concatenate([centres, sizes], axis=1))
    offsets = np.zeros((num_objects, 4), np.float32)
    logits = rng.normal(-1, 2, (num_objects, num_classes + 1)).astype(np.float32)
    refinement = Refinement(soft_sigma=0.5, vote_iou=0.6)
    raw = PostProcess(default_boxes, selection=ALL, refinement=refinement)
    decoded = PostProcessDecoded(num_objects, selection=ALL, refinement=refinement)
    found = raw(offsets, logits, (200, 300))
    again = decoded(default_boxes.boxes, sigmoid(logits[:, 1:]), (200, 300))
    assert 0 < len(found[0]) <= 100
    for ours, theirs in zip(found, again, strict=True):
        assert ours == pytest.approx(theirs, rel=1e-4, abs=1e-3)


def test_outputs_that_diverged_give_no_detections():
    default_boxes = default_boxes_at(np.full((2, 4), 0.5))
    nan = np.full((2, 4), np.nan, np.float32)
    refinement = Refinement(soft_sigma=0.5, vote_iou=0.5)
    postprocess = PostProcess(default_boxes, selection=ALL, refinement=refinement)
    assert len(postprocess(nan, np.full((2, 3), np.nan, np.float32), (10, 10))[0]) == 0

"""Non-maximum suppression of all classes at once against the greedy algorithm, box by box."""

import numpy as np
import pytest

from mindssd.geometry import nms
from mindssd.geometry.boxes import pairwise_iou
from mindssd.geometry.nms import class_wise_nms


def greedy(
    boxes,
    scores,
    iou_threshold,
    *,
    score_threshold=-np.inf,
    max_per_class=None,
    max_detections=None,
    pixel_offset=0.0,
):
    """The algorithm as everybody knows it: class by class, box by box, then the best of all."""
    larger = boxes + np.array([0, 0, pixel_offset, pixel_offset])
    iou = pairwise_iou(larger, larger)
    proper = np.isfinite(boxes).all(axis=1) & (boxes[:, 2:] > boxes[:, :2]).all(axis=1)
    kept = []
    for class_index in range(scores.shape[1]):
        kept_boxes: list[int] = []
        for box in np.argsort(-scores[:, class_index], kind="stable"):
            if len(kept_boxes) == max_per_class:
                break
            is_candidate = proper[box] and scores[box, class_index] > score_threshold
            if is_candidate and (iou[box, kept_boxes] <= iou_threshold).all():
                kept_boxes.append(box)
        kept += [(-scores[box, class_index], box, class_index) for box in kept_boxes]
    return [(box, class_index) for _, box, class_index in sorted(kept)[:max_detections]]


def pairs(result):
    return list(zip(*(indices.tolist() for indices in result), strict=True))


def row(*starts: float) -> np.ndarray:
    """Boxes 10 wide and high, side by side at these x."""
    return np.array([(x, 0, x + 10, 10) for x in starts], np.float32)


def column(*scores: float) -> np.ndarray:
    return np.array(scores, np.float32)[:, None]


def random_scene(num_boxes: int, num_classes: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Boxes crowded around a few objects, as a detector gives them."""
    rng = np.random.default_rng(seed)
    centres = rng.uniform(20, 200, (max(num_boxes // 12, 1), 2))
    centre = centres[rng.integers(len(centres), size=num_boxes)] + rng.normal(0, 5, (num_boxes, 2))
    size = rng.uniform(15, 50, (num_boxes, 2))
    boxes = np.concatenate([centre - size / 2, centre + size / 2], axis=1).astype(np.float32)
    return boxes, rng.normal(0, 1, (num_boxes, num_classes)).astype(np.float32)


def test_a_worse_box_over_a_better_one_is_suppressed():
    # Shifted by 2: IoU 8 / 12. Shifted by 6: IoU 4 / 16.
    boxes = row(0, 2, 6)
    assert pairs(class_wise_nms(boxes, column(0.8, 0.9, 0.7), 0.5)) == [(1, 0), (2, 0)]


def test_a_suppressed_box_suppresses_nothing():
    # A chain: each overlaps the next with IoU 7 / 13, and no other.
    boxes = row(0, 3, 6, 9, 12)
    chain = class_wise_nms(boxes, column(5, 4, 3, 2, 1), 0.5)
    assert pairs(chain) == [(0, 0), (2, 0), (4, 0)]


def test_classes_do_not_suppress_each_other():
    scores = np.array([[0.9, 0.2], [0.3, 0.8]], np.float32)
    assert pairs(class_wise_nms(row(0, 1), scores, 0.5)) == [(0, 0), (1, 1)]


def test_iou_equal_to_the_threshold_is_not_suppressed():
    boxes = np.array([[0, 0, 2, 1], [0, 0, 1, 1]], np.float32)  # IoU 1 / 2
    assert len(pairs(class_wise_nms(boxes, column(2, 1), 0.5))) == 2
    assert len(pairs(class_wise_nms(boxes, column(2, 1), 0.49))) == 1


def test_of_equal_scores_the_earlier_box_is_kept():
    assert pairs(class_wise_nms(row(0, 0, 0), column(1, 1, 1), 0.5)) == [(0, 0)]


def test_duplicates_stay_when_the_threshold_is_one():
    assert len(pairs(class_wise_nms(row(0, 0, 0), column(1, 1, 1), 1.0))) == 3


def test_the_pixel_convention_counts_edges():
    # Pixels 0..1 and 1..2: 1 of 3 columns is common; without the convention they only touch.
    boxes = np.array([[0, 0, 1, 1], [1, 0, 2, 1]], np.float32)
    assert len(pairs(class_wise_nms(boxes, column(2, 1), 0.3))) == 2
    assert len(pairs(class_wise_nms(boxes, column(2, 1), 0.3, pixel_offset=1.0))) == 1


def test_only_scores_above_the_threshold_count():
    result = class_wise_nms(row(0, 20, 40), column(0.1, 0.5, 0.9), 0.5, score_threshold=0.5)
    assert pairs(result) == [(2, 0)]


def test_limits_keep_the_best():
    scores = np.array([[9, 5], [8, 4], [7, 6]], np.float32)
    boxes = row(0, 20, 40)
    assert pairs(class_wise_nms(boxes, scores, 0.5, max_per_class=1)) == [(0, 0), (2, 1)]
    assert pairs(class_wise_nms(boxes, scores, 0.5, max_detections=2)) == [(0, 0), (1, 0)]
    assert pairs(class_wise_nms(boxes, scores, 0.5, max_detections=0)) == []
    assert pairs(class_wise_nms(boxes, scores, 0.5, max_per_class=0)) == []


@pytest.mark.parametrize("num_boxes", [0, 3])
@pytest.mark.parametrize("limit", [None, 100])
def test_no_candidates_keep_nothing(num_boxes, limit):
    scores = np.zeros((num_boxes, 2), np.float32)
    boxes = np.zeros((num_boxes, 4), np.float32)
    kept = class_wise_nms(boxes, scores, 0.5, score_threshold=1.0, max_detections=limit)
    assert pairs(kept) == []


@pytest.mark.parametrize("pixel_offset", [0.0, 1.0])
def test_what_is_no_box_or_no_score_is_neither_kept_nor_suppresses(pixel_offset):
    boxes = row(0, 0, 0, 0, 0, 0)
    boxes[0] = np.nan
    boxes[1, 2] = np.inf
    boxes[2] = [5, 0, 5, 10]  # no width
    boxes[3] = [9, 9, 1, 1]  # inverted
    scores = column(9, 8, 7, 6, np.nan, 1)
    assert pairs(class_wise_nms(boxes, scores, 0.0, pixel_offset=pixel_offset)) == [(5, 0)]


@pytest.mark.parametrize("num_classes", [1, 6])
@pytest.mark.parametrize("iou_threshold", [0.0, 0.3, 0.6, 1.0])
@pytest.mark.parametrize("pixel_offset", [0.0, 1.0])
def test_a_crowded_scene_is_suppressed_as_box_by_box(num_classes, iou_threshold, pixel_offset):
    boxes, scores = random_scene(60, num_classes, seed=num_classes)
    settings = {"score_threshold": -0.5, "pixel_offset": pixel_offset}
    expected = greedy(boxes, scores, iou_threshold, **settings)
    assert pairs(class_wise_nms(boxes, scores, iou_threshold, **settings)) == expected


LIMITS = [(None, None), (3, None), (None, 20), (2, 9), (None, 1)]


@pytest.mark.parametrize(("max_per_class", "max_detections"), LIMITS)
@pytest.mark.parametrize("first_prefix", [1, 40, 512])
@pytest.mark.parametrize("num_score_levels", [1, 4, 10_000])
def test_looking_at_the_best_first_changes_nothing(
    monkeypatch, max_per_class, max_detections, first_prefix, num_score_levels
):
    """However few candidates come first, however many tie."""
    monkeypatch.setattr(nms, "FIRST_PREFIX", first_prefix)
    for seed in range(3):
        boxes, scores = random_scene(50, 5, seed)
        scores = np.floor(scores * num_score_levels / 4).astype(np.float32)
        limits = {"max_per_class": max_per_class, "max_detections": max_detections}
        assert pairs(class_wise_nms(boxes, scores, 0.4, **limits)) == greedy(
            boxes, scores, 0.4, **limits
        )


def test_thousands_of_candidates_give_the_same_hundred():
    boxes, scores = random_scene(300, 20, seed=7)
    expected = greedy(boxes, scores, 0.6, max_detections=100)
    assert pairs(class_wise_nms(boxes, scores, 0.6, max_detections=100)) == expected


def test_one_object_seen_by_every_box_is_one_detection_a_class():
    """The worst case of looking at the best first: nothing but duplicates."""
    boxes = np.repeat(row(0), 2000, axis=0)
    scores = np.random.default_rng(0).normal(0, 1, (2000, 3)).astype(np.float32)
    result = class_wise_nms(boxes, scores, 0.6, max_detections=100)
    assert sorted(pairs(result)) == sorted((int(scores[:, k].argmax()), k) for k in range(3))


def test_a_long_chain_is_followed_to_its_end():
    # Every second box of 400 survives, decided one after the other.
    boxes = row(*(3.0 * np.arange(400)))
    scores = np.arange(400, 0, -1, dtype=np.float32)[:, None]
    assert pairs(class_wise_nms(boxes, scores, 0.5)) == [(index, 0) for index in range(0, 400, 2)]


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_scores_of_any_precision_rank(dtype):
    boxes, scores = random_scene(80, 4, seed=5)
    scores = scores.astype(dtype)
    assert pairs(class_wise_nms(boxes, scores, 0.5, max_detections=30)) == greedy(
        boxes, scores, 0.5, max_detections=30
    )


@pytest.mark.parametrize(
    "settings",
    [
        {"score_threshold": 0.1, "max_per_class": 100, "pixel_offset": 1.0},
        {"score_threshold": 0.02, "max_detections": 100},
    ],
)
def test_a_trained_networks_outputs_are_suppressed_as_box_by_box(golden_dir, settings):
    with np.load(golden_dir / "bccd_trained.outputs.npz") as file:
        images = list(zip(file["boxes_y1_x1_y2_x2"], file["scores"], strict=True))
    for boxes_unit, scores in images:
        boxes = boxes_unit[:, [1, 0, 3, 2]] * np.float32([640, 480, 640, 480])
        expected = greedy(boxes, scores[:, 1:], 0.6, **settings)
        assert len(expected) > 10
        assert pairs(class_wise_nms(boxes, scores[:, 1:], 0.6, **settings)) == expected

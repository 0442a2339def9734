"""From raw outputs to detections."""

import numpy as np
import pytest

from mindssd.geometry.postprocess import (
    PostProcess,
    PostProcessDecoded,
    PostProcessSelected,
    sigmoid,
)
from mindssd.geometry.selection import Selection
from tests.default_boxes import default_boxes_at

LEFT_AND_RIGHT = default_boxes_at(np.array([[0.25, 0.5, 0.5, 0.5], [0.75, 0.5, 0.5, 0.5]]))
NO_OFFSETS = np.zeros((2, 4), np.float32)
LOW = -20.0


def outputs(*rows: tuple[float, ...]) -> np.ndarray:
    return np.array(rows, np.float32)


def test_sigmoid_of_known_logits():
    logits = np.array([0.0, np.log(3), -np.log(3), 1000.0, -1000.0])
    np.testing.assert_allclose(sigmoid(logits), [0.5, 0.75, 0.25, 1, 0], atol=1e-12)
    assert sigmoid(logits.astype(np.float32)).dtype == np.float32


def test_two_default_boxes_found_as_they_are():
    postprocess = PostProcess(LEFT_AND_RIGHT)
    # The first is class 1 with score 1/2, the second class 0 with 3/4.
    logits = outputs((9, LOW, 0), (9, np.log(3), LOW))
    boxes, scores, class_ids = postprocess(NO_OFFSETS, logits, (100, 200))
    np.testing.assert_allclose(boxes, [[100, 25, 200, 75], [0, 25, 100, 75]])
    np.testing.assert_allclose(scores, [0.75, 0.5])
    assert class_ids.tolist() == [0, 1]
    assert (boxes.dtype, scores.dtype, class_ids.dtype) == (np.float32, np.float32, np.int32)


def test_offsets_move_a_box_and_the_image_cuts_it():
    postprocess = PostProcess(LEFT_AND_RIGHT, variances=(0.1, 0.2))
    # Up by half its height, right by a tenth of its width, twice as wide.
    offsets = outputs((-5, 1, 0, np.log(2) / 0.2), (0, 0, 0, 0))
    boxes, _, _ = postprocess(offsets, outputs((0, 5), (0, LOW)), (100, 200))
    # cx = 0.3, w = 1: x from -0.2 to 0.8; cy = 0.25, h = 0.5.
    np.testing.assert_allclose(boxes, [[0, 0, 160, 50]], atol=1e-4)


def test_background_is_never_detected():
    boxes, scores, class_ids = PostProcess(LEFT_AND_RIGHT)(
        NO_OFFSETS, outputs((9, LOW, LOW), (9, LOW, LOW)), (100, 200)
    )
    assert boxes.shape == (0, 4) and scores.shape == (0,) and class_ids.shape == (0,)


@pytest.mark.parametrize(("threshold", "found"), [(0.0, 2), (0.4, 1), (0.6, 0), (1.0, 0)])
def test_a_score_must_be_above_the_threshold(threshold, found):
    postprocess = PostProcess(LEFT_AND_RIGHT, selection=Selection(score_threshold=threshold))
    _, scores, _ = postprocess(NO_OFFSETS, outputs((0, 0), (0, -3)), (10, 10))
    assert len(scores) == found


def test_duplicates_of_a_class_are_one_detection():
    same = default_boxes_at(np.full((3, 4), 0.5))
    logits = outputs((0, 1, LOW), (0, 2, LOW), (0, LOW, 3))
    _, scores, class_ids = PostProcess(same)(np.zeros((3, 4), np.float32), logits, (10, 10))
    np.testing.assert_allclose(scores, sigmoid(np.array([3.0, 2.0])), rtol=1e-6)
    assert class_ids.tolist() == [1, 0]


@pytest.mark.parametrize(("image_limit", "class_limit", "found"), [(3, None, 3), (None, 2, 4)])
def test_limits_of_an_image_and_of_a_class(paper_default_boxes, image_limit, class_limit, found):
    selection = Selection(max_detections=image_limit, max_per_class=class_limit)
    postprocess = PostProcess(paper_default_boxes, selection=selection)
    rng = np.random.default_rng(0)
    logits = rng.normal(0, 1, (1917, 3)).astype(np.float32)
    _, scores, _ = postprocess(np.zeros((1917, 4), np.float32), logits, (300, 300))
    assert len(scores) == found
    assert (np.diff(scores) <= 0).all()


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf, 3e38, -3e38])
def test_wild_outputs_of_one_box_leave_the_other_alone(bad):
    logits = outputs((0, bad), (0, 1))
    offsets = outputs((bad, bad, bad, bad), (0, 0, 0, 0))
    boxes, scores, _ = PostProcess(LEFT_AND_RIGHT)(offsets, logits, (100, 200))
    assert np.isfinite(boxes).all() and np.isfinite(scores).all()
    assert [100, 25, 200, 75] in boxes.tolist()


def test_nothing_but_nan_is_nothing():
    nan = np.full((2, 4), np.nan, np.float32)
    boxes, _, _ = PostProcess(LEFT_AND_RIGHT)(nan, nan, (100, 200))
    assert len(boxes) == 0


def test_a_box_outside_the_image_is_no_detection():
    offsets = outputs((100, 0, 0, 0), (0, 0, 0, 0))
    boxes, _, _ = PostProcess(LEFT_AND_RIGHT)(offsets, outputs((0, 5), (0, 1)), (100, 200))
    np.testing.assert_allclose(boxes, [[100, 25, 200, 75]])


def test_no_default_boxes_find_nothing():
    empty = default_boxes_at(np.zeros((0, 4)))
    boxes, _, _ = PostProcess(empty)(np.zeros((0, 4)), np.zeros((0, 3)), (100, 200))
    assert len(boxes) == 0


@pytest.mark.parametrize("threshold", [0.02, 0.5, 0.9])
def test_thresholding_logits_is_thresholding_scores(paper_default_boxes, threshold):
    """No NMS (IoU 1) and no limit: what is left are the scores above the threshold."""
    rng = np.random.default_rng(0)
    logits = rng.normal(0, 4, (1917, 4)).astype(np.float32)
    selection = Selection(score_threshold=threshold, iou_threshold=1.0, max_detections=None)
    postprocess = PostProcess(paper_default_boxes, selection=selection)
    _, scores, _ = postprocess(np.zeros((1917, 4), np.float32), logits, (300, 300))
    all_scores = sigmoid(logits[:, 1:]).ravel()
    expected = np.sort(all_scores[all_scores > threshold])[::-1]
    np.testing.assert_array_equal(scores, expected)


def test_outputs_of_half_precision_are_detected_in_float32():
    logits = outputs((0, 1), (0, 2)).astype(np.float16)
    boxes, scores, _ = PostProcess(LEFT_AND_RIGHT)(NO_OFFSETS.astype(np.float16), logits, (9, 9))
    assert (boxes.dtype, scores.dtype) == (np.float32, np.float32)
    np.testing.assert_allclose(scores, sigmoid(np.array([2.0, 1.0])), rtol=1e-3)


def test_each_form_of_outputs_is_detected_in_the_chosen_classes_alone():
    """Left is class 0 with 3/4 and class 2 with 1/2, right class 1 with 1/2."""
    logits = outputs((0, np.log(3), LOW, 0), (0, LOW, 0, LOW))
    scores = sigmoid(logits[:, 1:])
    left_and_right = LEFT_AND_RIGHT.boxes
    rows = (left_and_right[[0, 0, 1]], np.float32([0.75, 0.5, 0.5]), np.int32([0, 2, 1]))
    for class_ids, expected in (((0, 1, 2), [0, 2, 1]), ((1, 2), [2, 1]), ((2,), [2]), ((7,), [])):
        if class_ids != (7,):  # a class that the two have no column for
            raw = PostProcess(LEFT_AND_RIGHT, class_ids=class_ids)
            assert raw(NO_OFFSETS, logits, (100, 200))[2].tolist() == expected
            decoded = PostProcessDecoded(2, class_ids=class_ids)
            assert decoded(left_and_right, scores, (100, 200))[2].tolist() == expected
        selected = PostProcessSelected(3, class_ids=class_ids)
        assert selected(*rows, (100, 200))[2].tolist() == expected

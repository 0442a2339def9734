"""What counts as the same detections, and what the comparison leaves out."""

from dataclasses import replace

import numpy as np
import pytest

from mindssd.deploy.verify import compare
from mindssd.geometry.postprocess import PostProcess, PostProcessDecoded
from mindssd.geometry.refinement import Refinement
from mindssd.geometry.selection import Selection
from mindssd.images import Normalization
from mindssd.inference.predictor import Predictor
from mindssd.types import Array
from tests.default_boxes import default_boxes_at

SELECTION = Selection(score_threshold=0.3, iou_threshold=0.9)
REFINEMENT = Refinement(soft_sigma=0.5)
DEFAULT_BOXES = default_boxes_at(
    np.array([[0.30, 0.5, 0.4, 0.4], [0.45, 0.5, 0.4, 0.4], [0.6, 0.5, 0.4, 0.4]])
)
IMAGES = [np.zeros((100, 100, 3), np.uint8)]


def engine() -> Predictor:
    """Three boxes in a row; the scores of the first two are as good as equal."""
    logits = np.array([[[0, 2.0], [0, 2.0 - 1e-6], [0, 1.0]]], np.float32)
    return Predictor(
        forward=lambda _: (np.zeros((1, 3, 4), np.float32), logits),
        image_size=(100, 100),
        normalization=Normalization(),
        postprocess=PostProcess(DEFAULT_BOXES, selection=SELECTION, refinement=REFINEMENT),
        class_names=("cat",),
    )


def deployed(refinement: Refinement, change: float) -> Predictor:
    """The same from boxes and scores, that of the second box changed."""
    boxes, scores = engine().postprocess.decode_all(*(x[0] for x in engine().forward(IMAGES[0])))
    changed: Array = scores + np.array([[0], [change], [0]], np.float32)
    postprocess = PostProcessDecoded(3, selection=SELECTION, refinement=refinement)
    forward = lambda _: (boxes[None], changed[None])  # noqa: E731
    return replace(engine(), forward=forward, postprocess=postprocess)


def test_rounding_that_changes_soft_nms_is_no_difference() -> None:
    (ours,), (theirs,) = engine().detect(IMAGES), deployed(REFINEMENT, 1e-6).detect(IMAGES)
    assert abs(ours.scores - theirs.scores).max() > 0.01 or len(ours) != len(theirs)
    assert compare(engine(), deployed(REFINEMENT, 1e-6), IMAGES).within_tolerance()


def test_another_score_is_a_difference_with_soft_nms_too() -> None:
    assert not compare(engine(), deployed(REFINEMENT, 0.01), IMAGES).within_tolerance()


def test_a_file_that_refines_otherwise_is_refused() -> None:
    with pytest.raises(ValueError, match="refine"):
        compare(engine(), deployed(Refinement(), 0.0), IMAGES)

"""From an image's truths to what the network should put out for each default box."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np

from mindssd.geometry.boxes import pixels_to_unit, xyxy_to_cxcywh
from mindssd.geometry.coding import Variances, encode
from mindssd.geometry.default_boxes import DefaultBoxes
from mindssd.geometry.matching import match
from mindssd.types import Array, ImageSize

Matcher = Callable[[Array, DefaultBoxes], Array]
"""Truths (n, 4) as fractions of the image, and default boxes, to each box's truth or -1, (A,)."""

PAPERS_MATCHER: Matcher = partial(match, iou_threshold=0.5)


@dataclass(frozen=True, eq=False)
class Targets:
    """Matches truths to default boxes, and encodes them."""

    default_boxes: DefaultBoxes
    variances: Variances = (0.1, 0.2)
    matcher: Matcher = PAPERS_MATCHER

    def __call__(self, boxes: Array, labels: Array, size: ImageSize) -> tuple[Array, Array]:
        """Give `offsets` (A, 4) float32 and `labels` (A,) int32 for truths in pixels of `size`.

        A default box that answers for no truth has offsets 0 and label 0; without truths, all have.
        """
        offsets = np.zeros(self.default_boxes.boxes.shape, np.float32)
        matched_labels = np.zeros(len(offsets), np.int32)
        if not len(boxes):
            return offsets, matched_labels
        boxes_unit = pixels_to_unit(boxes, size)
        matched = self.matcher(boxes_unit, self.default_boxes)  # (A,)
        positive = np.flatnonzero(matched >= 0)
        truth = matched[positive]
        matched_labels[positive] = labels[truth]
        offsets[positive] = encode(
            xyxy_to_cxcywh(boxes_unit)[truth],
            self.default_boxes.boxes_cxcywh[positive],
            self.variances,
        )
        return offsets, matched_labels

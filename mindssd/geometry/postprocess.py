"""From the network's raw outputs to detections: the one place with a sigmoid and with NMS."""

import math
from dataclasses import dataclass

import numpy as np

from mindssd.geometry.boxes import clip, unit_to_pixels
from mindssd.geometry.coding import Variances, decode
from mindssd.geometry.default_boxes import DefaultBoxes
from mindssd.geometry.nms import class_wise_nms
from mindssd.types import Array, ImageSize


@dataclass(frozen=True, eq=False)
class PostProcess:
    """Turns one image's offsets and logits into boxes, scores and classes.

    Candidates are the pairs of a default box and a class with score > `score_threshold`. In each
    class greedy NMS suppresses those with IoU > `iou_threshold` to a better one; at most
    `max_per_class` of a class and `max_detections` of the image are kept (None: no limit).
    With `across_classes_iou` a detection is dropped too if a better one of any class overlaps it by
    more: one thing, one class, as a person wants to see it. COCO's figures are better without.
    `pixel_offset` 1 measures areas as the reference's evaluation does, with (x2 - x1 + 1) as the
    width.
    """

    default_boxes: DefaultBoxes
    variances: Variances = (0.1, 0.2)
    score_threshold: float = 0.02
    iou_threshold: float = 0.6
    max_detections: int | None = 100
    max_per_class: int | None = None
    pixel_offset: float = 0.0
    across_classes_iou: float | None = None

    def __call__(
        self, offsets: Array, logits: Array, image_size: ImageSize
    ) -> tuple[Array, Array, Array]:
        """Detect in one image, best score first.

        `offsets` (A, 4) as (ty, tx, th, tw) and `logits` (A, C + 1), column 0 background, which is
        ignored. Returns boxes (n, 4) float32 in pixels of `image_size`, clipped to it, scores (n,)
        float32 and class ids (n,) int32 from 0. What is not a number, and a box that lies wholly
        outside the image, is no detection. Nothing found gives n = 0.
        """
        # A diverged network's outputs may be infinite on the way; class_wise_nms drops them.
        with np.errstate(over="ignore", invalid="ignore"):
            offsets = offsets.astype(np.float32, copy=False)
            boxes_unit = decode(offsets, self.default_boxes.boxes_cxcywh, self.variances)
            boxes = clip(unit_to_pixels(boxes_unit, image_size), image_size)
        # The sigmoid rises, so scores above the threshold are logits above its logit, in the same
        # order: it need be taken of the kept ones alone.
        box_indices, class_ids = class_wise_nms(
            boxes,
            logits[:, 1:],
            self.iou_threshold,
            score_threshold=_logit(self.score_threshold),
            max_per_class=self.max_per_class,
            max_detections=self.max_detections,
            pixel_offset=self.pixel_offset,
        )
        if self.across_classes_iou is not None:
            kept, _ = class_wise_nms(
                boxes[box_indices],
                logits[box_indices, class_ids + 1][:, None],
                self.across_classes_iou,
                pixel_offset=self.pixel_offset,
            )
            box_indices, class_ids = box_indices[kept], class_ids[kept]
        scores = sigmoid(logits[box_indices, class_ids + 1].astype(np.float32))
        return boxes[box_indices], scores, class_ids.astype(np.int32)


def sigmoid(logits: Array) -> Array:
    """1 / (1 + e^-x), without overflow: any shape to the same, 0..1."""
    exponential = np.exp(-np.abs(logits))  # 0..1
    return np.asarray(np.where(logits >= 0, 1.0, exponential) / (1.0 + exponential))


def _logit(score: float) -> float:
    """The inverse of the sigmoid; infinite for a threshold that all scores pass, or none."""
    if score <= 0:
        return -math.inf
    if score >= 1:
        return math.inf
    return math.log(score) - math.log1p(-score)

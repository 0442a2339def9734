"""From the network's raw outputs to detections: the engines' one place with a sigmoid and NMS."""

import math
from dataclasses import dataclass, field

import numpy as np

from mindssd.geometry.boxes import clip, unit_to_pixels
from mindssd.geometry.coding import Variances, decode
from mindssd.geometry.default_boxes import DefaultBoxes
from mindssd.geometry.refinement import Refinement
from mindssd.geometry.selection import Selection
from mindssd.types import Array, ImageSize


@dataclass(frozen=True, eq=False, kw_only=True)
class _Selecting:
    """What the three forms below have in common: by what, and of which classes, they select."""

    selection: Selection = field(default_factory=Selection)
    class_ids: tuple[int, ...] | None = None
    """Detect these classes alone; None: all."""


@dataclass(frozen=True, eq=False, kw_only=True)
class _Refining(_Selecting):
    """The two that see all candidates."""

    refinement: Refinement = field(default_factory=Refinement)

    def refined(self, boxes: Array, scores: Array) -> tuple[Array, Array, Array]:
        """The detections of boxes (A, 4) and scores (A, C), as the forms give them."""
        found = self.refinement.select(self.selection, boxes, scores, self.class_ids)
        return found[0], found[1], found[2].astype(np.int32)


@dataclass(frozen=True, eq=False)
class PostProcess(_Refining):
    """Turns one image's raw offsets and logits into boxes, scores and classes."""

    default_boxes: DefaultBoxes
    variances: Variances = (0.1, 0.2)

    def output_shapes(self, num_classes: int) -> dict[str, tuple[int, ...]]:
        """What the network gives for one image: name and shape of each array, in order."""
        num_boxes = len(self.default_boxes.boxes)
        return {"offsets": (num_boxes, 4), "logits": (num_boxes, num_classes + 1)}

    def decode_all(self, offsets: Array, logits: Array) -> tuple[Array, Array]:
        """What `PostProcessDecoded` takes: all boxes (A, 4), clipped, and scores (A, C)."""
        boxes_unit = decode(offsets, self.default_boxes.boxes_cxcywh, self.variances)
        return clip(boxes_unit, (1, 1)), sigmoid(logits[:, 1:])

    def __call__(
        self,
        offsets: Array,
        logits: Array,
        image_size: ImageSize,
        shown: ImageSize | None = None,
    ) -> tuple[Array, Array, Array]:
        """Detect in one image, best score first.

        `offsets` (A, 4) as (ty, tx, th, tw) and `logits` (A, C + 1), column 0 background, which is
        ignored. Returns boxes (n, 4) float32 in pixels of `image_size`, scores (n,) float32 and
        class ids (n,) int32 from 0. Boxes are clipped to what is `shown`, (rows, columns) from the
        upper left, by default the whole. What is not a number, and a box that lies wholly outside,
        is no detection. Nothing found gives n = 0.
        """
        # A diverged network's outputs may be infinite on the way; class_wise_nms drops them.
        with np.errstate(over="ignore", invalid="ignore"):
            offsets = offsets.astype(np.float32, copy=False)
            boxes_unit = decode(offsets, self.default_boxes.boxes_cxcywh, self.variances)
            boxes = clip(unit_to_pixels(boxes_unit, image_size), shown or image_size)
        if not self.refinement.is_none:
            with np.errstate(over="ignore", invalid="ignore"):
                scores = np.nan_to_num(sigmoid(logits[:, 1:].astype(np.float32, copy=False)))
            return self.refined(boxes, scores)
        # The sigmoid rises, so scores above the threshold are logits above its logit, in the same
        # order: it need be taken of the kept ones alone.
        rank_threshold = _logit(self.selection.threshold)
        box_indices, class_ids = self.selection.select(
            boxes, logits[:, 1:], rank_threshold, self.class_ids
        )
        scores = sigmoid(logits[box_indices, class_ids + 1].astype(np.float32))
        return boxes[box_indices], scores, class_ids.astype(np.int32)


@dataclass(frozen=True, eq=False)
class PostProcessDecoded(_Refining):
    """The same from `num_boxes` boxes and scores that the network has decoded itself."""

    num_boxes: int

    def output_shapes(self, num_classes: int) -> dict[str, tuple[int, ...]]:
        return {"boxes": (self.num_boxes, 4), "scores": (self.num_boxes, num_classes)}

    def __call__(
        self,
        boxes_unit: Array,
        scores: Array,
        image_size: ImageSize,
        shown: ImageSize | None = None,
    ) -> tuple[Array, Array, Array]:
        """Detect in one image: boxes (A, 4) as its fractions and scores (A, C), no background."""
        boxes = clip(unit_to_pixels(boxes_unit, image_size), shown or image_size)
        if not self.refinement.is_none:
            return self.refined(boxes, scores)
        box_indices, class_ids = self.selection.select(
            boxes, scores, self.selection.threshold, self.class_ids
        )
        return boxes[box_indices], scores[box_indices, class_ids], class_ids.astype(np.int32)


@dataclass(frozen=True, eq=False)
class PostProcessSelected(_Selecting):
    """The same from a network that has NMS inside: `num_boxes` rows, those left over of score 0.

    Its own thresholds have been applied, so those here can only be narrower. It chose its rows
    before classes are chosen here and suppressed across: where it filled all of them, what it left
    out is lost.
    """

    num_boxes: int

    def output_shapes(self, num_classes: int) -> dict[str, tuple[int, ...]]:
        rows = self.num_boxes
        return {"boxes": (rows, 4), "scores": (rows,), "class_ids": (rows,)}

    def __call__(
        self,
        boxes_unit: Array,
        scores: Array,
        class_ids: Array,
        image_size: ImageSize,
        shown: ImageSize | None = None,
    ) -> tuple[Array, Array, Array]:
        """Detect in one image: boxes (M, 4) as its fractions, scores (M,), class ids (M,)."""
        boxes = clip(unit_to_pixels(boxes_unit, image_size), shown or image_size)
        # NMS works class by class, and each row has one: its score in a column of its own.
        num_columns = 1 + max(int(class_ids.max(initial=0)), *(self.class_ids or (0,)))
        ranks = np.zeros((len(scores), num_columns), np.float32)
        found = scores > 0
        ranks[found, class_ids[found]] = scores[found]
        rows, kept_ids = self.selection.select(
            boxes, ranks, self.selection.threshold, self.class_ids
        )
        return boxes[rows], scores[rows], kept_ids.astype(np.int32)


def sigmoid(logits: Array) -> Array:
    """1 / (1 + e^-x), without overflow: any shape to the same, 0..1."""
    exponential = np.exp(-np.abs(logits))  # 0..1
    return np.asarray(np.where(logits >= 0, 1.0, exponential) / (1.0 + exponential))


def _logit(score: float | Array) -> float | Array:
    """The inverse of the sigmoid; infinite for a threshold that all scores pass, or none."""
    if isinstance(score, np.ndarray):
        return np.array([_logit(float(one)) for one in score])
    if score <= 0:
        return -math.inf
    if score >= 1:
        return math.inf
    return math.log(score) - math.log1p(-score)

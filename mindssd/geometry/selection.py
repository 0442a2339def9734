"""Which candidates are detections: choose classes, suppress what overlaps, and only then count."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from mindssd.geometry.nms import class_wise_nms
from mindssd.types import Array

LOOKED_AT = 2
"""So many times as many as are asked for are looked at first, where suppression leaves fewer."""


@dataclass(frozen=True, kw_only=True)
class Selection:
    """Which of an image's candidates are detections, whatever form the network gives them in.

    Candidates are the pairs of a box and a class with score > `score_threshold`. In each class
    greedy NMS suppresses those with IoU > `iou_threshold` to a better one. With
    `across_classes_iou` a detection is dropped too if a better one of any class overlaps it by
    more: one thing, one class, as a person wants to see it. COCO's figures are better without. Of
    what is left at most `max_per_class` of a class and `max_detections` of the image are kept
    (None: no limit). `pixel_offset` 1 measures areas as the reference's evaluation does, with
    (x2 - x1 + 1) as the width.

    With `class_thresholds`, a score for each class, detections of a class with no higher score are
    dropped once overlaps are suppressed, and before the rest is counted: they leave the same of
    those detections as when they were chosen. `score_threshold` is the least of them;
    `with_thresholds` sets both.
    """

    score_threshold: float = 0.02
    iou_threshold: float = 0.6
    max_detections: int | None = 100
    max_per_class: int | None = None
    pixel_offset: float = 0.0
    across_classes_iou: float | None = None
    class_thresholds: tuple[float, ...] | None = None

    def with_thresholds(self, thresholds: Sequence[float]) -> "Selection":
        """The same with a score threshold for each class; with one for all where they are equal."""
        if len(set(thresholds)) == 1:
            return replace(self, score_threshold=thresholds[0], class_thresholds=None)
        return replace(self, score_threshold=min(thresholds), class_thresholds=tuple(thresholds))

    @property
    def threshold(self) -> float | Array:
        """The score threshold: one for all classes, or (C,) float64."""
        if self.class_thresholds is None:
            return self.score_threshold
        return np.array(self.class_thresholds, np.float64)

    def select(
        self,
        boxes: Array,
        ranks: Array,
        rank_threshold: float | Array,
        class_ids: tuple[int, ...] | None = None,
    ) -> tuple[Array, Array]:
        """Choose (box indices, class ids), best first, by boxes (A, 4) and `ranks` (A, C).

        Ranks are scores, or what rises with them, and `rank_threshold` is `threshold` on their
        scale. Of the given classes alone, where `class_ids` are given: the others neither
        count nor suppress.
        """
        if isinstance(rank_threshold, np.ndarray):
            return self._select_by_class(boxes, ranks, rank_threshold, class_ids)
        if class_ids is not None:
            box_indices, places = self.select(boxes, ranks[:, list(class_ids)], rank_threshold)
            return box_indices, np.array(class_ids, np.intp)[places]
        if self.across_classes_iou is None:
            return self._within_classes(
                boxes, ranks, rank_threshold, self.max_per_class, self.max_detections
            )
        # What becomes of a candidate depends on better ones alone, so the best few tell the truth
        # of each other; the rest need not be looked at where these are enough.
        count = None if self.max_detections is None else LOOKED_AT * self.max_detections
        while True:
            box_indices, found_ids = self._within_classes(boxes, ranks, rank_threshold, None, count)
            kept, _ = class_wise_nms(
                boxes[box_indices],
                ranks[box_indices, found_ids][:, None],
                self.across_classes_iou,
                max_detections=self.max_detections if self.max_per_class is None else None,
                pixel_offset=self.pixel_offset,
            )
            if self.max_per_class is not None:
                kept = kept[_places_in_class(found_ids[kept]) < self.max_per_class]
            kept = kept[: self.max_detections]
            if count is None or len(box_indices) < count or len(kept) == self.max_detections:
                return box_indices[kept], found_ids[kept]
            count = more(count, len(kept), self.max_detections)

    def _select_by_class(
        self, boxes: Array, ranks: Array, rank_thresholds: Array, class_ids: tuple[int, ...] | None
    ) -> tuple[Array, Array]:
        """The same with a threshold for each class, (C,): suppress, drop, and then count."""
        chosen = rank_thresholds if class_ids is None else rank_thresholds[list(class_ids)]
        unlimited = replace(self, max_per_class=None, max_detections=None)
        least = float(chosen.min(initial=np.inf))
        box_indices, found_ids = unlimited.select(boxes, ranks, least, class_ids)
        passes = ranks[box_indices, found_ids] > rank_thresholds[found_ids]
        box_indices, found_ids = box_indices[passes], found_ids[passes]
        if self.max_per_class is not None:
            counts = _places_in_class(found_ids) < self.max_per_class
            box_indices, found_ids = box_indices[counts], found_ids[counts]
        return box_indices[: self.max_detections], found_ids[: self.max_detections]

    def _within_classes(
        self,
        boxes: Array,
        ranks: Array,
        rank_threshold: float,
        max_per_class: int | None,
        max_detections: int | None,
    ) -> tuple[Array, Array]:
        return class_wise_nms(
            boxes,
            ranks,
            self.iou_threshold,
            score_threshold=rank_threshold,
            max_per_class=max_per_class,
            max_detections=max_detections,
            pixel_offset=self.pixel_offset,
        )


def more(count: int, num_kept: int, wanted: int | None) -> int:
    """How many candidates to look at next, where too few of the best `count` were kept.

    Half as many again as would do if the rest were like them, but from 2 to 8 times as many.
    """
    needed = 1.5 * count * (wanted or 0) / max(1, num_kept)
    return min(max(2 * count, math.ceil(needed)), 8 * count)


def _places_in_class(class_ids: Array) -> Array:
    """How many of the same class come before each: (n,) to (n,)."""
    order = np.argsort(class_ids, kind="stable")
    _, starts, counts = np.unique(class_ids[order], return_index=True, return_counts=True)
    places = np.empty(len(class_ids), np.intp)
    places[order] = np.arange(len(class_ids)) - np.repeat(starts, counts)
    return places

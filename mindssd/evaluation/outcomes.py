"""What became of each detection and each truth: COCO's matching, on which all figures stand."""

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from mindssd.evaluation.detections import DetectionTable
from mindssd.evaluation.overlaps import Overlaps, overlaps
from mindssd.evaluation.truths import Truths
from mindssd.types import Array

COCO_IOUS: Array = np.linspace(0.5, 0.95, 10)
"""0.50, 0.55, … 0.95, the same numbers to the last bit as pycocotools'."""

MAX_DETECTIONS = 100
"""So many of a class and an image count in COCO's figures, the best by score."""


@dataclass(frozen=True, eq=False)
class Outcomes:
    """What became of each detection and truth, by COCO's greedy matching in each image and class.

    `table`: the n detections that count, those in the scored images, at most 100 of a class and
    image. Best first over all images: by falling score; of equal scores the lower image id first,
    and within an image the order that they came in, as COCO ranks them. `truths`: the m truths of
    the scored images. `image_ids` (I,) int64 rising: the scored images. `iou_thresholds` (T,).

    `truth_of` (T, n) int32: row of the truth that a detection was matched to, -1 where none.
    `ignored` (T, n) bool: matched to a crowd, so neither right nor wrong. `detection_of` (T, m)
    int32: row of the detection that found each truth, -1 where it was missed, and for crowds.
    """

    table: DetectionTable
    truths: Truths
    image_ids: Array
    class_names: tuple[str, ...]
    iou_thresholds: Array
    truth_of: Array
    ignored: Array
    detection_of: Array

    @property
    def num_truths(self) -> Array:
        """(C,) int64: the truths of each class, crowds not counted."""
        counted = self.truths.class_ids[~self.truths.is_crowd]
        return np.bincount(counted, minlength=len(self.class_names))

    @property
    def right(self) -> Array:
        """(T, n) bool: the detections that found a truth."""
        return np.asarray((self.truth_of >= 0) & ~self.ignored)

    @property
    def wrong(self) -> Array:
        """(T, n) bool: the detections that found nothing. What a crowd holds is neither."""
        return np.asarray(self.truth_of < 0)

    @cached_property
    def detection_images(self) -> Array:
        """(n,) int64: the place of each detection's image in `image_ids`."""
        return np.searchsorted(self.image_ids, self.table.image_ids)

    @cached_property
    def truth_images(self) -> Array:
        """(m,) int64: the place of each truth's image in `image_ids`."""
        return np.searchsorted(self.image_ids, self.truths.image_ids)

    def above(self, score_threshold: float | Array) -> Array:
        """(n,) bool: the detections that score more than a threshold, or (C,) their class's own.

        As float32, which scores are: 0.3 is not more than 0.3.
        """
        floors = np.broadcast_to(np.asarray(score_threshold, np.float32), len(self.class_names))
        return np.asarray(self.table.scores > floors[self.table.class_ids])

    def at(self, iou: float) -> int:
        """Find the place of a threshold in `iou_thresholds`; ValueError where it is not there."""
        places = np.flatnonzero(np.abs(self.iou_thresholds - iou) < 1e-9)
        if not len(places):
            raise ValueError(f"IoU {iou} is not among {self.iou_thresholds.tolist()}")
        return int(places[0])

    def of_images(self, chosen: Array) -> "Outcomes":
        """Those of some images alone, `chosen` (I,) bool. Matching is by image, and stays."""
        detections = np.flatnonzero(chosen[self.detection_images])
        truths = np.flatnonzero(chosen[self.truth_images])
        return replace(
            self,
            table=rows_of_table(self.table, detections),
            truths=rows_of_truths(self.truths, truths),
            image_ids=self.image_ids[chosen],
            truth_of=_renumbered(self.truth_of[:, detections], truths, len(self.truths)),
            ignored=self.ignored[:, detections],
            detection_of=_renumbered(self.detection_of[:, truths], detections, len(self.table)),
        )


def outcomes(
    table: DetectionTable,
    truths: Truths,
    image_ids: Array,
    class_names: tuple[str, ...],
    iou_thresholds: Array = COCO_IOUS,
) -> Outcomes:
    """Match detections to truths as COCO does, at every one of T IoU thresholds.

    Within an image and a class the detections choose in the order of their scores, each the free
    truth of highest IoU that reaches the threshold, of equal ones the later; where there is none,
    the crowd that holds most of it, which stays free. Equal to pycocotools' `evaluateImg` for all
    sizes. Detections and truths in images other than `image_ids` are left out. No detections or
    no truths: nothing is matched.
    """
    image_ids = np.unique(np.asarray(image_ids, np.int64))
    thresholds = np.asarray(iou_thresholds, np.float64)
    truths = rows_of_truths(truths, np.flatnonzero(np.isin(truths.image_ids, image_ids)))
    table = _that_count(table, image_ids, len(class_names))
    groups = _groups(table.image_ids, table.class_ids, image_ids, len(class_names))
    reached = np.minimum(thresholds, 1 - 1e-10)  # pycocotools': what is equal has IoU 1, nearly
    pairs = overlaps(
        table,
        truths,
        groups,
        _groups(truths.image_ids, truths.class_ids, image_ids, len(class_names)),
        least_iou=float(reached.min()),
    )
    truth_of, detection_of = _match(pairs, groups, truths.is_crowd, reached)
    is_crowd = np.append(truths.is_crowd, False)  # row -1: none
    return Outcomes(
        table=table,
        truths=truths,
        image_ids=image_ids,
        class_names=class_names,
        iou_thresholds=thresholds,
        truth_of=truth_of,
        ignored=is_crowd[truth_of],
        detection_of=detection_of,
    )


def rows_of_table(table: DetectionTable, rows: Array) -> DetectionTable:
    """Some of the detections, (k,) rows, in that order."""
    return replace(
        table,
        image_ids=table.image_ids[rows],
        class_ids=table.class_ids[rows],
        boxes=table.boxes[rows],
        scores=table.scores[rows],
    )


def rows_of_truths(truths: Truths, rows: Array) -> Truths:
    """Some of the truths, (k,) rows, in that order."""
    return Truths(
        image_ids=truths.image_ids[rows],
        class_ids=truths.class_ids[rows],
        boxes_xywh=truths.boxes_xywh[rows],
        areas=truths.areas[rows],
        is_crowd=truths.is_crowd[rows],
    )


def rank_in_group(groups: Array) -> Array:
    """How many of the same group stand before each element: (n,) integers to (n,) int64."""
    order = np.argsort(groups, kind="stable")
    sorted_groups = groups[order]
    ranks = np.empty(len(groups), np.int64)
    ranks[order] = np.arange(len(groups)) - np.searchsorted(sorted_groups, sorted_groups, "left")
    return ranks


def _that_count(table: DetectionTable, image_ids: Array, num_classes: int) -> DetectionTable:
    """The detections in some images, best first, at most MAX_DETECTIONS of a class and image."""
    rows = np.flatnonzero(np.isin(table.image_ids, image_ids))
    # Stable, and by falling score: -score, for a reversed order would turn ties round.
    rows = rows[np.lexsort((table.image_ids[rows], -table.scores[rows]))]
    groups = _groups(table.image_ids[rows], table.class_ids[rows], image_ids, num_classes)
    return rows_of_table(table, rows[rank_in_group(groups) < MAX_DETECTIONS])


def _groups(of_images: Array, class_ids: Array, image_ids: Array, num_classes: int) -> Array:
    """A number for each pair of image and class: (n,) int64."""
    places = np.searchsorted(image_ids, of_images)
    return np.asarray(places * num_classes + class_ids.astype(np.int64))


def _match(
    pairs: Overlaps, groups: Array, is_crowd: Array, thresholds: Array
) -> tuple[Array, Array]:
    """Let detections choose truths: the first of every group at once, then the second, and so on.

    `groups` (n,) of the detections, which stand best first. Gives (T, n) and (T, m) int32 rows, -1
    where there is no match. A crowd is never taken.
    """
    truth_of = np.full((len(thresholds), len(groups)), -1, np.int32)
    detection_of = np.full((len(thresholds), len(is_crowd)), -1, np.int32)
    choosers = np.unique(pairs.detections)
    ranks = np.zeros(len(groups), np.int64)
    ranks[choosers] = rank_in_group(groups[choosers])
    # Each detection's pairs stand in the order of its preference.
    order = np.lexsort(
        (
            -pairs.truths,
            -pairs.ious,
            is_crowd[pairs.truths],
            pairs.detections,
            ranks[pairs.detections],
        )
    )
    detections, found, ious = pairs.detections[order], pairs.truths[order], pairs.ious[order]
    num_rounds = int(ranks.max(initial=-1)) + 1
    bounds = np.searchsorted(ranks[detections], np.arange(num_rounds + 1))
    for start, end in zip(bounds[:-1].tolist(), bounds[1:].tolist(), strict=True):
        if start == end:
            continue
        choosing, offered = detections[start:end], found[start:end]
        free = (ious[start:end] >= thresholds[:, None]) & (detection_of[:, offered] < 0)  # (T, p)
        places = np.where(free, np.arange(end - start), end)
        firsts = np.flatnonzero(np.diff(choosing, prepend=-1))
        preferred = np.minimum.reduceat(places, firsts, axis=1)  # (T, choosers of this round)
        at, which = np.nonzero(preferred < end)
        chosen = preferred[at, which]
        truth_of[at, choosing[chosen]] = offered[chosen]
        taken = ~is_crowd[offered[chosen]]
        detection_of[at[taken], offered[chosen[taken]]] = choosing[chosen[taken]]
    return truth_of, detection_of


def _renumbered(rows: Array, kept: Array, num_before: int) -> Array:
    """Row numbers after only the rows `kept` are left; -1 stays, and for what is gone."""
    places = np.full(num_before + 1, -1, np.int32)
    places[kept] = np.arange(len(kept), dtype=np.int32)
    return np.asarray(places[rows])

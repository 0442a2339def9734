"""Which detections overlap which truths, of hundreds of thousands, as COCO measures it."""

from dataclasses import dataclass

import numpy as np

from mindssd.evaluation.detections import DetectionTable
from mindssd.evaluation.truths import Truths
from mindssd.types import Array

PAIRS_AT_ONCE = 1_000_000
"""Bounds the memory: some 100 bytes a pair."""


@dataclass(frozen=True, eq=False)
class Overlaps:
    """Pairs of a detection and a truth that overlap, in the order of detections, then of truths.

    `detections` (p,) and `truths` (p,) int32 rows; `ious` (p,) float64.
    """

    detections: Array
    truths: Array
    ious: Array

    def __len__(self) -> int:
        return len(self.ious)


def overlaps(
    table: DetectionTable,
    truths: Truths,
    detection_groups: Array,
    truth_groups: Array,
    least_iou: float,
) -> Overlaps:
    """Find the pairs within a group, such as an image, whose IoU is at least `least_iou` > 0.

    Groups (n,) and (m,) are integers. With a crowd, the share of the detection that lies in it
    stands for IoU. The arithmetic is pycocotools' to the last bit, so that what lies on a threshold
    falls on the same side. No detections or no truths give no pairs.
    """
    order = np.argsort(truth_groups, kind="stable")
    sorted_groups = truth_groups[order]
    starts = np.searchsorted(sorted_groups, detection_groups, "left")
    counts = np.searchsorted(sorted_groups, detection_groups, "right") - starts
    rows = np.flatnonzero(counts)
    ends = np.cumsum(counts[rows])
    parts = [Overlaps(np.zeros(0, np.int32), np.zeros(0, np.int32), np.zeros(0))]
    for chunk in np.split(rows, np.flatnonzero(np.diff(ends // PAIRS_AT_ONCE)) + 1):
        of_detection = np.repeat(chunk, counts[chunk])
        first_pairs = np.cumsum(counts[chunk]) - counts[chunk]
        places = np.arange(len(of_detection)) + np.repeat(
            starts[chunk] - first_pairs, counts[chunk]
        )
        of_truth = order[places]
        ious = _ious(
            table.boxes[of_detection].astype(np.float64),
            truths.boxes_xywh[of_truth],
            truths.is_crowd[of_truth],
        )
        kept = ious >= least_iou
        parts.append(
            Overlaps(
                of_detection[kept].astype(np.int32), of_truth[kept].astype(np.int32), ious[kept]
            )
        )
    return Overlaps(
        np.concatenate([part.detections for part in parts]),
        np.concatenate([part.truths for part in parts]),
        np.concatenate([part.ious for part in parts]),
    )


def _ious(boxes: Array, truths_xywh: Array, is_crowd: Array) -> Array:
    """IoU of each pair of rows, (p, 4) float64 both, as pycocotools' `bbIou` computes it."""
    found_size = boxes[:, 2:] - boxes[:, :2]
    # pycocotools has boxes as (x, y, w, h), and adds up again what was subtracted.
    found_end = found_size + boxes[:, :2]
    truth_end = truths_xywh[:, 2:] + truths_xywh[:, :2]
    sides = np.minimum(found_end, truth_end) - np.maximum(boxes[:, :2], truths_xywh[:, :2])
    meet = (sides > 0).all(axis=1)
    intersection = np.where(meet, sides[:, 0] * sides[:, 1], 0.0)
    found_area = found_size[:, 0] * found_size[:, 1]
    truth_area = truths_xywh[:, 2] * truths_xywh[:, 3]
    union = np.where(is_crowd, found_area, found_area + truth_area - intersection)
    return np.divide(intersection, union, out=np.zeros_like(union), where=meet)

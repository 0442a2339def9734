"""Which default box answers for which truth, by adaptive selection (ATSS, arXiv:1912.02424, 3.2).

A fixed IoU suits default boxes of many sizes and shapes. With one a cell, the IoU from which a
default box counts follows from each truth instead.
"""

import numpy as np

from mindssd.geometry.boxes import area
from mindssd.geometry.default_boxes import DefaultBoxes
from mindssd.types import Array

NUM_CELLS = 9
"""The paper's k; 7 to 19 were alike there."""

SLACK = 1e-6
"""What is as large or as far as something else within this share of 1 counts as equal to it.

Truths lie symmetrically between cells more often than chance would have it, and rounding is not to
choose between two sides.
"""

RANK_DIGITS = 6
"""A truth within several default boxes of a level overlaps them alike, but for rounding."""


def match_adaptively(
    boxes_unit: Array, default_boxes: DefaultBoxes, num_cells: int = NUM_CELLS
) -> Array:
    """Give each default box the truth that it answers for.

    `boxes_unit` (n, 4) truths as fractions of the image; returns (A,) int32, the index of a truth,
    or -1 for background. A truth's candidates are the default boxes of the `num_cells` cells of
    each level whose centres are nearest to its own, and of all that are as near as the last of
    them. A candidate goes to the truth if their IoU is at least the mean of its candidates' IoUs
    plus their standard deviation, and the candidate's centre lies within it. Of several truths the
    one of highest IoU has it, the earlier on a tie.

    Beyond the paper, and as `match`: a truth keeps the best of its candidates (one whose centre
    lies within it before any other, then by IoU, then the nearest), so that every truth that
    overlaps one has a default box, unless an earlier truth has the same best one. A truth without
    area, outside the image or not finite is given none. No truths gives -1 everywhere.
    """
    truths = np.asarray(boxes_unit, np.float32)
    matched = np.full(len(default_boxes), -1, np.int32)
    proper = np.isfinite(truths).all(axis=1) & (truths[:, 2:] > truths[:, :2]).all(axis=1)
    kept = np.flatnonzero(proper)
    if not len(kept):
        return matched
    truths = truths[kept]
    # (P,) each, of P pairs
    of_truth, candidates, distance = _candidates(truths, default_boxes, num_cells)
    iou, within = _overlap(truths[of_truth], default_boxes, candidates)
    threshold = _mean_plus_deviation(iou, of_truth, len(truths))
    chosen = within & (iou >= threshold[of_truth] - SLACK)
    # What each truth keeps: its first pair in the order of rank. IoU is at most 1.
    rank = np.round(np.where(iou > 0, iou + within, -1.0), RANK_DIGITS)
    order = np.lexsort((distance, -rank, of_truth))
    best = order[np.unique(of_truth[order], return_index=True)[1]]
    best = best[rank[best] > 0]
    chosen &= iou > 0
    chosen[best] = True
    strength = iou.copy()
    strength[best] = 2.0

    pairs = np.flatnonzero(chosen)
    # The last one written stands: the strongest, of equally strong ones the earliest truth's.
    pairs = pairs[np.lexsort((-of_truth[pairs], strength[pairs]))]
    matched[candidates[pairs]] = kept[of_truth[pairs]]
    return matched


def _candidates(
    truths: Array, default_boxes: DefaultBoxes, num_cells: int
) -> tuple[Array, Array, Array]:
    """Pairs of a truth's index and a candidate's, and how far apart they are, in squared cells.

    Truth by truth, candidates rising.
    """
    centre = (truths[:, :2].astype(np.float64) + truths[:, 2:]) / 2  # (n, 2)
    near, distances = [], []
    for cells, per_cell in zip(default_boxes.cells, default_boxes.num_per_cell, strict=True):
        # In cells, so that a level's steps count alike in both directions.
        away = (centre[:, None] - cells.centres) / cells.step  # (n, cells, 2)
        distance = np.square(away).sum(axis=2)
        if num_cells < distance.shape[1]:
            limit = np.partition(distance, num_cells - 1, axis=1)[:, num_cells - 1]
            is_near = distance <= limit[:, None] * (1 + SLACK) + SLACK
        else:
            is_near = np.ones(distance.shape, np.bool_)
        near.append(np.repeat(is_near, per_cell, axis=1))
        distances.append(np.repeat(distance, per_cell, axis=1))
    of_truth, candidates = np.nonzero(np.concatenate(near, axis=1))
    return of_truth, candidates, np.concatenate(distances, axis=1)[of_truth, candidates]


def _overlap(truths: Array, default_boxes: DefaultBoxes, candidates: Array) -> tuple[Array, Array]:
    """IoU of each pair, and whether the candidate's centre lies within the truth: (P,) each."""
    boxes = default_boxes.boxes[candidates].astype(np.float64)
    sides = np.minimum(truths[:, 2:], boxes[:, 2:]) - np.maximum(truths[:, :2], boxes[:, :2])
    intersection = np.maximum(sides, 0).prod(axis=1)
    iou = intersection / (area(truths) + area(boxes) - intersection)
    centre = default_boxes.boxes_cxcywh[candidates, :2]
    within = ((centre > truths[:, :2]) & (centre < truths[:, 2:])).all(axis=1)
    return iou, within


def _mean_plus_deviation(values: Array, groups: Array, num_groups: int) -> Array:
    """Of each group of values; every group has some. (P,) to (num_groups,)."""
    count = np.bincount(groups, minlength=num_groups)
    mean = np.bincount(groups, values, num_groups) / count
    variance = np.bincount(groups, np.square(values - mean[groups]), num_groups) / count
    return np.asarray(mean + np.sqrt(variance))

"""Which default box answers for which truth (arXiv:1512.02325, 2.2, "Matching strategy")."""

import numpy as np

from mindssd.geometry.default_boxes import DefaultBoxes
from mindssd.types import Array

BEST_IOU = 2.0
"""What a truth's best default box counts as: more than any IoU can be."""


def match(boxes_unit: Array, default_boxes: DefaultBoxes, iou_threshold: float) -> Array:
    """Give each default box the truth that it answers for.

    `boxes_unit` (n, 4) truths as fractions of the image; returns (A,) int32, the index of a truth,
    or -1 for background. A default box goes to the truth of highest IoU, if that is over
    `iou_threshold`; the earlier truth wins a tie. The default box of highest IoU with a truth (the
    first of several) counts as `BEST_IOU`, so every truth that overlaps some default box has one,
    unless an earlier truth has the same best one. A truth that overlaps none (without area, outside
    the image, not finite) is given none. No truths gives -1 everywhere.
    """
    truths = np.asarray(boxes_unit, np.float32)
    sizes = truths[:, 2:] - truths[:, :2]
    proper = np.isfinite(truths).all(axis=1) & (sizes > 0).all(axis=1)
    blocks = default_boxes.blocks  # (5, K, BLOCK_SIZE)
    blocks_x1, blocks_y1, blocks_x2, blocks_y2 = default_boxes.block_extents  # (K,) each
    matched = np.full(blocks.shape[1:], -1, np.int32)
    highest = np.full(blocks.shape[1:], iou_threshold, np.float32)

    # A truth at a time, and only the blocks it touches.
    for index in np.flatnonzero(proper):
        truth_x1, truth_y1, truth_x2, truth_y2 = truths[index]
        touched = np.flatnonzero(
            (blocks_x1 < truth_x2)
            & (blocks_y1 < truth_y2)
            & (blocks_x2 > truth_x1)
            & (blocks_y2 > truth_y1)
        )
        if len(touched) == 0:
            continue
        x1, y1, x2, y2, union = blocks.take(touched, axis=1)  # copies, (k, BLOCK_SIZE) each
        width = np.minimum(x2, truth_x2, out=x2)
        width -= np.maximum(x1, truth_x1, out=x1)
        height = np.minimum(y2, truth_y2, out=y2)
        height -= np.maximum(y1, truth_y1, out=y1)
        # One clamp is enough: boxes apart in x alone get an IoU below 0, never the highest.
        np.maximum(height, 0, out=height)
        intersection = np.multiply(width, height, out=width)
        union += sizes[index, 0] * sizes[index, 1]
        union -= intersection
        iou = np.divide(intersection, union, out=intersection).ravel()
        best = iou.argmax()
        if iou[best] <= 0:
            continue
        iou[best] = BEST_IOU
        iou = iou.reshape(-1, blocks.shape[2])
        before = highest[touched]
        matched[touched] = np.where(iou > before, np.int32(index), matched[touched])
        highest[touched] = np.maximum(iou, before)
    return np.asarray(matched.ravel()[: len(default_boxes)])

"""Non-maximum suppression of every class on its own: the greedy algorithm, by OpenCV.

Whether a box is kept depends on better boxes alone. So if the best few hundred candidates already
give as many detections as are asked for, the rest need not be looked at.
"""

from typing import Any

import cv2
import numpy as np

from mindssd.types import Array

FIRST_PREFIX = 512
"""How many candidates are looked at first; a fifth of them usually survive, which makes 100."""
PREFIX_GROWTH = 8

_greedy: Any = cv2.dnn.NMSBoxes  # takes arrays too, which its type stubs do not say


def class_wise_nms(
    boxes: Array,
    scores: Array,
    iou_threshold: float,
    *,
    score_threshold: float = -np.inf,
    max_per_class: int | None = None,
    max_detections: int | None = None,
    pixel_offset: float = 0.0,
) -> tuple[Array, Array]:
    """Greedy non-maximum suppression in each class on its own; gives the best of all classes.

    `boxes` (N, 4), `scores` (N, C) of each box in each class, on any scale that only ranks them
    (logits do). Returns the kept pairs as `box_indices` (K,) and `class_indices` (K,), best first.

    Candidates are pairs with score > `score_threshold`; NaN is none. A box without area or with a
    coordinate that is not finite is never kept and suppresses nothing. A candidate is suppressed by
    a kept one of its class if their IoU > `iou_threshold`. At most `max_per_class` are kept in a
    class and `max_detections` in all; None means no limit. Of equal scores the earlier box goes
    first, then the earlier class. No candidates gives K = 0. With `pixel_offset` 1 corners count as
    pixels inside the box, so that a width is x2 - x1 + 1 (the convention of Pascal VOC's tools and
    of the reference's NMS).
    """
    num_classes = scores.shape[1]
    proper = np.isfinite(boxes).all(axis=1) & (boxes[:, 2:] > boxes[:, :2]).all(axis=1)
    boxes_xywh = np.where(proper[:, None], boxes, 0).astype(np.float64)
    boxes_xywh[:, 2:] += pixel_offset - boxes_xywh[:, :2]
    is_candidate = (scores > score_threshold) & proper[:, None]  # (N, C)
    pairs = np.flatnonzero(is_candidate)
    values = scores[is_candidate]
    prefix_size = len(pairs) if max_detections is None else max(FIRST_PREFIX, 2 * max_detections)
    while True:
        prefix = _best(values, prefix_size)
        prefix = prefix[np.argsort(-values[prefix], kind="stable")]
        box_indices, class_indices = np.divmod(pairs[prefix], num_classes)
        # NumPy sorts short integers by their digits.
        by_class = np.argsort(class_indices.astype(np.min_scalar_type(num_classes)), kind="stable")
        ends = np.cumsum(np.bincount(class_indices, minlength=num_classes))
        of_classes = [
            rows[_keep(boxes_xywh, box_indices[rows], iou_threshold, max_per_class)]
            for rows in np.split(by_class, ends[:-1])
            if len(rows)
        ]
        kept = np.sort(np.concatenate([by_class[:0], *of_classes]))[:max_detections]
        if prefix_size >= len(pairs) or len(kept) == max_detections:
            return box_indices[kept], class_indices[kept]
        prefix_size *= PREFIX_GROWTH


def _keep(boxes_xywh: Array, indices: Array, iou_threshold: float, limit: int | None) -> Array:
    """Which of one class's candidates are kept, at most `limit`: places in `indices`, best first.

    `indices` (M,), at least one, are those of the candidates' boxes, best first.
    """
    size = len(indices) if limit is None else 2 * limit + 1
    while True:
        first = boxes_xywh[indices[:size]]
        falling = np.arange(len(first), 0, -1, dtype=np.float32)  # OpenCV takes no logits
        kept = np.asarray(_greedy(first, falling, 0.0, iou_threshold), np.intp)
        if limit is None or size >= len(indices) or len(kept) >= limit:
            return kept[:limit]
        size *= PREFIX_GROWTH


def _best(values: Array, count: int) -> Array:
    """Indices of about the `count` highest values, in index order.

    Exactly `count`, the earlier ones of equal values, or all values above some other number. Both
    are what a stable sort would put first, which is all that `class_wise_nms` relies on.
    """
    if count >= len(values):
        return np.arange(len(values))
    # Guess from a sample, ten times as fast as to partition 150,000 values; an odd step, so that it
    # does not fall on the same few classes every time.
    step = len(values) // (16 * count) | 1
    sample = values[::step]
    guess = np.partition(sample, len(sample) - count // step - 1)[len(sample) - count // step - 1]
    guessed = np.flatnonzero(values > guess)
    if count // 2 <= len(guessed) <= 2 * count:
        return guessed

    lowest = np.partition(values, len(values) - count)[len(values) - count]
    taken = values > lowest
    ties = np.flatnonzero(values == lowest)
    taken[ties[: count - np.count_nonzero(taken)]] = True
    return np.asarray(np.flatnonzero(taken))

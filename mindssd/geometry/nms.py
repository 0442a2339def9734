"""Non-maximum suppression of every class at once, exactly as the greedy algorithm does it.

The greedy algorithm takes a class's boxes by falling score and keeps a box if its IoU with every
kept one is at most the threshold. Two observations make it fast without changing its result:

1. The best undecided box of a class overlaps no kept box too much (it would have been decided), so
   it is kept. One round does this for all classes together, and decides what they suppress. With
   few classes a round takes the best hundred or so of each, as their fate depends on them alone.
2. Whether a box is kept depends on better boxes alone. So if the best few hundred candidates
   already give as many detections as are asked for, the rest need not be looked at.
"""

from dataclasses import dataclass

import numpy as np

from mindssd.geometry.boxes import pairwise_iou
from mindssd.types import Array

FIRST_PREFIX = 512
"""How many candidates are looked at first; a fifth of them usually survive, which makes 100."""
PREFIX_GROWTH = 8
MAX_FEW_CLASSES, DECISIONS_A_ROUND = 8, 256
"""With at most so many classes a round decides so many candidates, not the best of each class."""
EAGER_BOXES = 384
"""Up to this many boxes all overlaps are computed at once: about 0.5 ms, and rounds are short."""
MAX_CACHED_OVERLAPS = 2**26
"""Beyond this many pairs (8192 boxes) overlaps are not kept from round to round: 64 MiB."""


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
    a kept one of its class if their IoU > `iou_threshold` (`pixel_offset` as in `boxes.area`). At
    most `max_per_class` are kept in a class and `max_detections` in all; None means no limit. Of
    equal scores the earlier box goes first, then the earlier class. No candidates gives K = 0.
    """
    num_classes = scores.shape[1]
    is_candidate = scores > score_threshold  # (N, C)
    pairs = np.flatnonzero(is_candidate)
    if len(pairs) == 0:
        return pairs, pairs
    values = scores[is_candidate]
    prefix_size = len(pairs) if max_detections is None else max(FIRST_PREFIX, 2 * max_detections)
    while True:
        prefix = _best(values, prefix_size)
        box_indices, class_indices = np.divmod(pairs[prefix], num_classes)
        kept = _keep(
            boxes,
            _Candidates(box_indices, class_indices, values[prefix]),
            num_classes,
            iou_threshold,
            max_per_class,
            max_detections,
            pixel_offset,
        )
        if prefix_size >= len(pairs) or len(kept) == max_detections:
            return box_indices[kept], class_indices[kept]
        prefix_size *= PREFIX_GROWTH


@dataclass(frozen=True)
class _Candidates:
    """M pairs of a box and a class with their scores, in the order of (box, class)."""

    box_indices: Array
    class_indices: Array
    scores: Array


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


def _keep(
    boxes: Array,
    candidates: _Candidates,
    num_classes: int,
    iou_threshold: float,
    max_per_class: int | None,
    max_detections: int | None,
    pixel_offset: float,
) -> Array:
    """Indices into the candidates of those that greedy suppression keeps, best first."""
    box_indices, columns = _compact(candidates.box_indices, len(boxes))
    class_indices, rows = _compact(candidates.class_indices, num_classes)
    boxes = boxes[box_indices]  # (B, 4), those that some candidate has
    undecided = np.full((len(class_indices), len(boxes)), -np.inf, candidates.scores.dtype)
    undecided[rows, columns] = candidates.scores
    proper = np.isfinite(boxes).all(axis=1) & (boxes[:, 2:] > boxes[:, :2]).all(axis=1)
    undecided[:, ~proper] = -np.inf
    boxes[~proper] = 0
    overlaps = _Overlaps(boxes, iou_threshold, pixel_offset)

    is_kept = np.zeros(undecided.shape, bool)
    active = np.arange(len(undecided))  # the rows of the classes that are not finished
    num_kept = np.zeros(len(undecided), np.intp)
    class_limit = len(boxes) if max_per_class is None else max_per_class
    kept_scores = np.zeros(0, undecided.dtype)
    lowest_score = -np.inf
    while True:
        best = _best_of_each_row(undecided)  # (C, T) columns, best first
        best_scores = np.take_along_axis(undecided, best, axis=1)
        asked_for = (best_scores > -np.inf) & (best_scores >= lowest_score)
        unfinished = asked_for[:, 0] & (num_kept < class_limit)
        if not unfinished.all():
            active, num_kept = active[unfinished], num_kept[unfinished]
            undecided, best = undecided[unfinished], best[unfinished]
            best_scores, asked_for = best_scores[unfinished], asked_for[unfinished]
        if len(active) == 0:
            break
        suppressed = overlaps.of(best)  # (C, T, B)
        keep = asked_for
        if best.shape[1] > 1:
            keep = _greedy(np.take_along_axis(suppressed, best[:, None, :], axis=2), asked_for)
            keep &= num_kept[:, None] + keep.cumsum(axis=1) <= class_limit
        num_kept += keep.sum(axis=1)
        is_kept[active[np.nonzero(keep)[0]], best[keep]] = True
        decided = (suppressed & keep[:, :, None]).any(axis=1)  # (C, B)
        np.put_along_axis(decided, best, True, axis=1)
        np.copyto(undecided, -np.inf, where=decided)
        if max_detections is not None:
            kept_scores = np.concatenate([kept_scores, best_scores[keep]])
            if len(kept_scores) > max_detections > 0:
                # Whatever is worse than this many kept ones is not asked for.
                kept_scores = np.partition(kept_scores, -max_detections)[-max_detections:]
                lowest_score = kept_scores[0]

    kept = np.flatnonzero(is_kept[rows, columns])
    order = np.argsort(-candidates.scores[kept], kind="stable")
    return np.asarray(kept[order[:max_detections]])


def _best_of_each_row(undecided: Array) -> Array:
    """The columns of the best scores in each of C rows, best first: (C, T).

    T is 1 for many classes. With few, rounds would be many and small, so T is larger.
    """
    num_classes, num_boxes = undecided.shape
    if num_classes > MAX_FEW_CLASSES:
        return np.asarray(undecided.argmax(axis=1)[:, None])
    count = min(DECISIONS_A_ROUND // num_classes, num_boxes)
    return np.asarray(np.argsort(-undecided, axis=1, kind="stable")[:, :count])


def _greedy(overlap: Array, candidates: Array) -> Array:
    """Which of T candidates of each class are kept, by their overlaps.

    `overlap` (C, T, T) and `candidates` (C, T) bool, best first. Repeats "kept are those that no
    better kept one overlaps" until that changes nothing. Each time at least one more of each row's
    first ones is final, so at most T times; as a rule, three or four.
    """
    overlap = overlap & np.triu(np.ones(overlap.shape[1:], bool), 1)  # by a better one
    kept = candidates
    while True:
        previous = kept
        kept = np.asarray(candidates & ~(overlap & previous[:, :, None]).any(axis=1))
        if np.array_equal(kept, previous):
            return kept


def _compact(indices: Array, length: int) -> tuple[Array, Array]:
    """The different values of indices below `length`, rising, and where among them each one is.

    As `np.unique` with `return_inverse`, without its sort.
    """
    occurs = np.zeros(length, bool)
    occurs[indices] = True
    return np.flatnonzero(occurs), (np.cumsum(occurs) - 1)[indices]


class _Overlaps:
    """Which of B boxes have too high an IoU with which, each row computed when first asked for."""

    def __init__(self, boxes: Array, iou_threshold: float, pixel_offset: float) -> None:
        self._boxes = boxes
        self._iou_threshold = iou_threshold
        self._pixel_offset = pixel_offset
        num_boxes = len(boxes)
        num_cached = num_boxes if num_boxes**2 <= MAX_CACHED_OVERLAPS else 0
        self._cache = np.empty((num_cached, num_cached), bool)
        self._known = np.zeros(num_cached, bool)
        if 0 < num_cached <= EAGER_BOXES:
            self._cache[:] = self._compute(np.arange(num_boxes))
            self._known[:] = True

    def of(self, indices: Array) -> Array:
        """Indices of boxes, of any shape, to (…, B) bool."""
        if len(self._known) == 0:
            return self._compute(indices.ravel()).reshape(*indices.shape, -1)
        missing = indices[~self._known[indices]]
        if len(missing) > 0:
            missing = np.unique(missing)
            self._cache[missing] = self._compute(missing)
            self._known[missing] = True
        return np.asarray(self._cache[indices])

    def _compute(self, indices: Array) -> Array:
        iou = pairwise_iou(self._boxes[indices], self._boxes, self._pixel_offset)
        return np.asarray(iou > self._iou_threshold)

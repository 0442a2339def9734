"""What an image's detections gain from the candidates around them, beyond greedy NMS.

Greedy NMS throws away what it suppresses. Of two objects that overlap much it loses one, and each
box that it keeps is one network output, where its neighbours saw the same object.
"""

from dataclasses import dataclass

import numpy as np

from mindssd.geometry.boxes import area, pairwise_iou
from mindssd.geometry.selection import Selection
from mindssd.types import Array

VOTE_WIDTH = 0.05
"""A candidate's vote falls as exp(-(1 - IoU)² / 0.05) with its distance (arXiv:1809.08545)."""

VOTE_SHARE = 0.05
"""Candidates of less than this share of the kept one's score have no vote."""


@dataclass(frozen=True, kw_only=True)
class Refinement:
    """Both are off by default, so that detections are those of greedy NMS alone."""

    soft_sigma: float | None = None
    """Soft-NMS (arXiv:1704.04503): a better one of its class multiplies a candidate's score by
    exp(-IoU² / sigma), instead of suppressing it. A selection for people suppresses all the same:
    they want to see one thing once."""

    vote_iou: float | None = None
    """Box voting (arXiv:1505.01749): a detection's box is the mean of the candidates of its class
    with more than this IoU to it, weighted by their scores and their closeness."""

    @property
    def is_none(self) -> bool:
        return self.soft_sigma is None and self.vote_iou is None

    def select(
        self,
        selection: Selection,
        boxes: Array,
        scores: Array,
        class_ids: tuple[int, ...] | None = None,
    ) -> tuple[Array, Array, Array]:
        """Give the selected detections of boxes (A, 4) with `scores` (A, C), best first.

        Boxes (n, 4), scores (n,) and class ids (n,), of `class_ids` alone where they are given.
        Nothing found gives n = 0.
        """
        if self.soft_sigma is not None and selection.across_classes_iou is None:
            rows, found_ids, found_scores = soft_nms(
                boxes, _of_classes(scores, class_ids), self.soft_sigma, selection
            )
            if selection.class_thresholds is not None:
                passes = found_scores > np.array(selection.class_thresholds)[found_ids]
                rows, found_ids, found_scores = (
                    rows[passes],
                    found_ids[passes],
                    found_scores[passes],
                )
        else:
            rows, found_ids = selection.select(boxes, scores, selection.threshold, class_ids)
            found_scores = scores[rows, found_ids]
        found = boxes[rows]
        if self.vote_iou is None:
            return found, found_scores, found_ids
        found = voted(boxes, scores, rows, found_ids, self.vote_iou)
        if selection.across_classes_iou is None:
            return found, found_scores, found_ids
        # Votes draw two neighbours together: for people they may have become one thing.
        ranks = np.full((len(found), scores.shape[1]), -np.inf, np.float32)
        ranks[np.arange(len(found)), found_ids] = found_scores
        kept, kept_ids = selection.select(found, ranks, -np.inf)
        return found[kept], found_scores[kept], kept_ids


def soft_nms(
    boxes: Array, scores: Array, sigma: float, selection: Selection
) -> tuple[Array, Array, Array]:
    """Take the best candidate, lower the scores of its class around it, and so on.

    `boxes` (A, 4), `scores` (A, C). Returns box indices (n,), class ids (n,) and the lowered scores
    (n,) float32, best first: those above the selection's score threshold, within its limits. A box
    without area or with a coordinate that is not finite is none.
    """
    proper = np.isfinite(boxes).all(axis=1) & (boxes[:, 2:] > boxes[:, :2]).all(axis=1)
    is_candidate = (scores > selection.score_threshold) & proper[:, None]
    rows, classes = np.nonzero(is_candidate)
    ranks = scores[is_candidate].astype(np.float32)
    corners = boxes[rows]
    areas = area(corners)
    left = np.zeros(scores.shape[1], np.int64)
    left[:] = len(ranks) if selection.max_per_class is None else selection.max_per_class
    most = len(ranks) if selection.max_detections is None else selection.max_detections
    taken: list[int] = []
    taken_scores: list[float] = []
    while len(taken) < most and len(ranks):
        best = int(ranks.argmax())
        if not ranks[best] > selection.score_threshold:
            break
        taken.append(best)
        taken_scores.append(float(ranks[best]))
        left[classes[best]] -= 1
        if left[classes[best]] <= 0:
            ranks[classes == classes[best]] = -1.0
            continue
        low = np.maximum(corners[:, :2], corners[best, :2])
        sides = np.maximum(np.minimum(corners[:, 2:], corners[best, 2:]) - low, 0)
        common = sides[:, 0] * sides[:, 1]
        iou = np.where(classes == classes[best], common / (areas + areas[best] - common), 0)
        ranks *= np.exp(-np.square(iou) / sigma)
        ranks[best] = -1.0
    picked = np.array(taken, np.intp)
    return rows[picked], classes[picked], np.array(taken_scores, np.float32)


def voted(boxes: Array, scores: Array, rows: Array, class_ids: Array, iou: float) -> Array:
    """The boxes at `rows` (n,), each moved to the mean of its class's candidates around it.

    `boxes` (A, 4), `scores` (A, C), `class_ids` (n,); gives (n, 4). A candidate's weight is its
    score, of the class of the detection, and its closeness. A box that stands alone stays.
    """
    result = boxes[rows]
    finite = np.isfinite(boxes).all(axis=1)
    for class_id in np.unique(class_ids):
        kept = np.flatnonzero(class_ids == class_id)
        of_class = scores[:, class_id]
        votes = VOTE_SHARE * of_class[rows[kept]]  # (k,)
        candidates = np.flatnonzero((of_class >= votes.min()) & finite)
        overlap = pairwise_iou(result[kept], boxes[candidates])  # (k, m)
        counts = (overlap > iou) & (of_class[candidates] >= votes[:, None])
        weights = np.where(
            counts, of_class[candidates] * np.exp(-np.square(1 - overlap) / VOTE_WIDTH), 0
        )
        total = weights.sum(axis=1, keepdims=True)
        has_votes = total[:, 0] > 0
        mean = weights[has_votes] @ boxes[candidates] / total[has_votes]
        result[kept[has_votes]] = mean.astype(result.dtype)
    return np.asarray(result)


def _of_classes(scores: Array, class_ids: tuple[int, ...] | None) -> Array:
    """The same with no candidates of other classes."""
    if class_ids is None:
        return scores
    chosen = np.zeros_like(scores)
    columns = list(class_ids)
    chosen[:, columns] = scores[:, columns]
    return chosen

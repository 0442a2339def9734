"""What a model that has not seen an image says of its labels, as numbers.

A label is looked at with the detections around it. One that overlaps another label by half or more,
and more than this one, speaks for that and not for this; the others are free. Scores count as
log odds, and nothing found as a score of `NOTHING`.
"""

from dataclasses import dataclass

import numpy as np

from mindssd.geometry.boxes import pairwise_iou
from mindssd.types import Array

NOTHING = 0.005
"""Half of the lowest score that is kept: what may lie below it."""

ON = 0.5
"""IoU from which a detection is of the same object as a label, as at AP50."""

NEAR = 0.1
"""IoU from which a detection may be of an object that a badly placed label means."""

LIKE = 15
"""So many labels of the class, the nearest in size and shape, say how well their like is found."""


MOST_LIKE = 5_000
"""Of so many of a class, spread over all, the nearest are sought."""


@dataclass(frozen=True, eq=False)
class Seen:
    """An image's labels and what was found: `boxes` (T, 4), `classes` (T,), and of D detections."""

    boxes: Array
    classes: Array
    found_boxes: Array
    found_classes: Array
    scores: Array
    size: Array
    """Width and height."""


@dataclass(frozen=True, eq=False)
class Labels:
    """Labels to look at in an image, P of them, as they are or as they might be.

    `own` (P,) is the image's label that each one stands for, -1 where it is one more.
    """

    boxes: Array
    classes: Array
    own: Array


@dataclass(frozen=True, eq=False)
class Evidence:
    """Of P labels the `features` (P, F), and the detections, or -1, that each kind rests on."""

    features: Array
    other: Array
    """The best of another class on it."""
    better: Array
    """The best of its class that is free and near it."""
    support: Array
    """The best score of its class on it, (P,), 0 where there is none."""


def log_odds(scores: Array) -> Array:
    clipped = np.clip(scores, NOTHING, 1 - NOTHING)
    return np.asarray(np.log(clipped / (1 - clipped)))


def label_evidence(seen: Seen, labels: Labels) -> Evidence:
    """Look at labels; no detections at all are defined."""
    ious = pairwise_iou(labels.boxes, seen.found_boxes)  # (P, D)
    by_others = _most_by_others(seen, labels.own)
    free = (by_others < ON) | (ious > by_others)
    same = labels.classes[:, None] == seen.found_classes[None]
    scores = np.broadcast_to(seen.scores, ious.shape)
    support, _ = _best(scores, same & (ious >= ON))
    support_free, _ = _best(scores, same & (ious >= ON) & free)
    closely, _ = _best(scores, same & (ious >= 0.75))
    other_score, other = _best(scores, ~same & (ious >= ON) & free)
    near_score, better = _best(scores, same & (ious >= NEAR) & free)
    any_score, _ = _best(scores, (ious >= 0.3) & free)
    astray_score, _ = _best(scores, same & (ious >= NEAR) & (ious < ON) & free)
    agreed = np.zeros(len(better))
    agreed[better >= 0] = ious[better >= 0, better[better >= 0]]
    sure = near_score * (1 - agreed)
    columns = [
        log_odds(support_free),
        log_odds(closely),
        log_odds(other_score),
        log_odds(near_score),
        log_odds(any_score),
        log_odds(astray_score),
        agreed,
        sure,
        log_odds(other_score) - log_odds(support),
    ]
    return Evidence(np.stack(columns, axis=1), other, better, support)


def _most_by_others(seen: Seen, own: Array) -> Array:
    """The IoU of each detection with the label that it overlaps most, but the own one: (P, D)."""
    ious = pairwise_iou(seen.boxes, seen.found_boxes)  # (T, D)
    if not len(ious):
        return np.zeros((len(own), len(seen.scores)))
    order = np.sort(ious, axis=0)
    most, second = order[-1], order[-2] if len(ious) > 1 else np.zeros(ious.shape[1])
    first = ious.argmax(axis=0)
    return np.where(first[None] == own[:, None], second[None], most[None])


def _best(scores: Array, allowed: Array) -> tuple[Array, Array]:
    """Of each row the highest allowed score and its place, 0 and -1 where none is."""
    if not scores.shape[1]:
        return np.zeros(len(scores)), np.full(len(scores), -1)
    masked = np.where(allowed, scores, -1.0)
    place = masked.argmax(axis=1)
    value = masked[np.arange(len(masked)), place]
    return np.maximum(value, 0), np.where(value >= 0, place, -1)


def likes_support(boxes: Array, classes: Array, support: Array, asked: Labels) -> Array:
    """How well the like of each asked label is found, (P,): the mean support of its nearest.

    Of `boxes` (n, 4) with `classes` and `support`, those of the asked class nearest in the
    logarithms of width and height; `asked.own` (P,) is the row that does not count for itself.
    Without any of the class 0.
    """
    result = np.zeros(len(asked.boxes))
    for class_id in np.unique(asked.classes).tolist():
        rows = np.flatnonzero(classes == class_id)
        rows = rows[:: max(1, len(rows) // MOST_LIKE)]
        wanted = np.flatnonzero(asked.classes == class_id)
        if not len(rows):
            continue
        shapes, asked_shapes = _shapes(boxes[rows]), _shapes(asked.boxes[wanted])
        for start in range(0, len(wanted), 256):
            part = wanted[start : start + 256]
            away = np.square(asked_shapes[start : start + 256, None] - shapes[None]).sum(axis=2)
            away[asked.own[part][:, None] == rows[None]] = np.inf
            count = min(LIKE, len(rows))
            nearest = np.argpartition(away, count - 1, axis=1)[:, :count]
            counts = np.isfinite(np.take_along_axis(away, nearest, axis=1))
            total = (support[rows][nearest] * counts).sum(axis=1)
            result[part] = total / np.maximum(counts.sum(axis=1), 1)
    return result


def _shapes(boxes: Array) -> Array:
    return np.asarray(np.log(np.maximum(boxes[:, 2:] - boxes[:, :2], 1.0)))


@dataclass(frozen=True, eq=False)
class Unlabelled:
    """Detections without a label near them: their `rows` (C,) and `features` (C, F)."""

    rows: Array
    features: Array


NO_LABEL = 0.4
"""A detection that overlaps no label by so much may be of an object without one."""


def unlabelled(seen: Seen, without: int = -1) -> Unlabelled:
    """Detections that no label is near, the best of each place.

    As if label `without` were not there: then only the best that it kept from being one of them.
    """
    ious = pairwise_iou(seen.boxes, seen.found_boxes)
    left = np.delete(ious, without, axis=0) if without >= 0 else ious
    covered = left.max(axis=0) if len(left) else np.zeros(len(seen.scores))
    free = covered < NO_LABEL
    if without >= 0:
        free &= ious[without] >= NO_LABEL
    order = np.flatnonzero(free)
    order = order[np.argsort(-seen.scores[order], kind="stable")]
    kept: list[int] = []
    between = pairwise_iou(seen.found_boxes[order], seen.found_boxes[order])
    gone = np.zeros(len(order), np.bool_)
    for place in range(len(order)):
        if not gone[place]:
            kept.append(int(order[place]))
            gone |= between[place] >= NO_LABEL
            if without >= 0:
                break
    rows = np.array(kept, np.int64)
    features = np.zeros((len(rows), 4))
    if len(rows):
        boxes = seen.found_boxes[rows]
        inside = np.minimum(boxes[:, :2], seen.size - boxes[:, 2:]).min(axis=1) / seen.size.max()
        same = (seen.found_classes[None] != seen.found_classes[rows][:, None]) & (
            pairwise_iou(boxes, seen.found_boxes) >= ON
        )
        rival, _ = _best(np.broadcast_to(seen.scores, same.shape), same)
        features = np.stack(
            [log_odds(seen.scores[rows]), covered[rows], log_odds(rival), inside < 0.005], axis=1
        )
    return Unlabelled(rows, features)

"""Labels that look wrong to a model that has not seen them, in one list, the likeliest first.

Each label is one of four: in order, of the wrong class, badly placed, or of nothing; and each
detection without a label near it is of an unlabelled object or of nothing. What the model would
find at a mistake is learnt by making mistakes: labels are taken away, given another class, moved,
and put where nothing is, in memory alone. The detections do not depend on them, for they were made
by models that did not see these images. From both follows how likely each label is each of these
(`mindssd.review.mixture`), and so the kinds are comparable.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from mindssd.geometry.boxes import pairwise_iou
from mindssd.review.evidence import (
    Evidence,
    Labels,
    Seen,
    label_evidence,
    likes_support,
    log_odds,
    unlabelled,
)
from mindssd.review.mixture import kind_probabilities
from mindssd.types import Array

KINDS = {
    "missing": "an object without a label",
    "class": "a label of the wrong class",
    "box": "a box in the wrong place",
    "spurious": "a label of nothing",
}

LEAST = 0.05
"""What is less likely than this is not listed."""

MOST_MADE = 20_000
"""So many labels serve for made mistakes, spread over all."""

SHIFT = (0.25, 0.8)
"""A box is moved by so much of its size."""

SCALE = (0.5, 1.6)
"""And a moved box, every other time, is scaled by a factor between these on each side."""

CHANGED = 0.7
"""A made box overlaps the right one by less; nobody would look at it for less."""

VOTE = 0.6
"""Detections of the class that overlap the best by so much have a vote on the box, by score."""


@dataclass(frozen=True)
class Mistake:
    """One likely mistake.

    `label` is the place among the image's labels, -1 for a missing one. `box` and `class_id` are
    the label's, `found_box` and `found_class` what was found instead; None where there is none.
    `score` is the detection's, that of the label's class for a spurious one.
    """

    kind: str
    image: int
    label: int
    probability: float
    class_id: int | None
    box: tuple[float, ...] | None
    found_class: int | None
    found_box: tuple[float, ...] | None
    score: float
    detection: int
    """The place among the image's detections that it rests on, -1 where on none."""


def likely_mistakes(seen: Sequence[Seen], seed: int = 0, least: float = LEAST) -> list[Mistake]:
    """List the mistakes in the labels of images, the likeliest first.

    No images, no labels and no detections give none that rest on them.
    """
    truths = _Truths.of(seen)
    found = _of_labels(seen, truths, np.random.default_rng(seed), least)
    # What a label is moved to, or renamed by, is not missing besides.
    taken = {(m.image, m.detection) for m in found if m.probability >= LEAST}
    found += [m for m in _missing(seen, least) if (m.image, m.detection) not in taken]
    return sorted(found, key=lambda m: (-m.probability, m.image, m.label))


@dataclass(frozen=True, eq=False)
class _Truths:
    """All labels, n in number: image by image, with how well each is found."""

    images: Array
    places: Array
    boxes: Array
    classes: Array
    evidence: list[Evidence]
    """Of each image."""
    support: Array

    @classmethod
    def of(cls, seen: Sequence[Seen]) -> "_Truths":
        counts = [len(one.boxes) for one in seen]
        evidence = [
            label_evidence(one, Labels(one.boxes, one.classes, np.arange(len(one.boxes))))
            for one in seen
        ]
        return cls(
            images=np.repeat(np.arange(len(seen)), np.array(counts, np.int64)),
            places=np.concatenate([np.zeros(0, np.int64), *map(np.arange, counts)]).astype(int),
            boxes=np.concatenate([np.zeros((0, 4)), *(one.boxes for one in seen)]),
            classes=np.concatenate([np.zeros(0, np.int64), *(one.classes for one in seen)]),
            evidence=evidence,
            support=np.concatenate([np.zeros(0), *(one.support for one in evidence)]),
        )

    def features(self, evidence: Array, labels: Labels) -> Array:
        """What was found at labels, with how well their like is found."""
        likes = log_odds(likes_support(self.boxes, self.classes, self.support, labels))
        # What counts is what is lacking of that.
        lacking = likes - evidence[:, 0]
        return np.concatenate([evidence, likes[:, None], lacking[:, None]], axis=1)


def _of_labels(
    seen: Sequence[Seen], truths: _Truths, rng: np.random.Generator, least: float
) -> list[Mistake]:
    if not len(truths.boxes):
        return []
    as_is = Labels(truths.boxes, truths.classes, np.arange(len(truths.boxes)))
    features = truths.features(np.concatenate([e.features for e in truths.evidence]), as_is)
    made = [_made(seen, truths, kind, rng) for kind in ("class", "box", "spurious")]
    probabilities = kind_probabilities(features, made)
    mistakes = []
    for row in np.flatnonzero(probabilities.max(axis=1) >= least).tolist():
        image, place = int(truths.images[row]), int(truths.places[row])
        kind = ("class", "box", "spurious")[int(probabilities[row].argmax())]
        of_image = truths.evidence[image]
        rests_on = {"class": of_image.other, "box": of_image.better}.get(kind)
        found = -1 if rests_on is None else int(rests_on[place])
        if kind != "spurious" and found < 0:  # nothing to put in its place
            kind = "spurious"
        one = seen[image]
        mistakes.append(
            Mistake(
                kind=kind,
                image=image,
                label=place,
                # That it is wrong in some way; the kind is the likeliest.
                probability=float(probabilities[row].sum()),
                class_id=int(one.classes[place]),
                box=tuple(one.boxes[place].tolist()),
                found_class=int(one.found_classes[found]) if found >= 0 else None,
                found_box=_voted(one, found) if found >= 0 else None,
                score=float(one.scores[found]) if found >= 0 else float(of_image.support[place]),
                detection=found,
            )
        )
    return mistakes


def _voted(seen: Seen, found: int) -> tuple[float, ...]:
    """The mean of the boxes that agree with a detection, by their scores."""
    same = seen.found_classes == seen.found_classes[found]
    agree = same & (pairwise_iou(seen.found_boxes[found : found + 1], seen.found_boxes)[0] >= VOTE)
    weights = np.where(agree, seen.scores, 0).astype(np.float64)
    box = (weights[:, None] * seen.found_boxes).sum(axis=0) / max(float(weights.sum()), 1e-12)
    return tuple(round(value, 2) for value in box.tolist())


def _made(seen: Sequence[Seen], truths: _Truths, kind: str, rng: np.random.Generator) -> Array:
    """The features of mistakes of a kind, made of the labels as they are: (m, F)."""
    step = max(1, round(len(truths.boxes) / MOST_MADE))
    rows = np.arange(0, len(truths.boxes), step)
    classes = np.unique(truths.classes)
    if kind == "class" and len(classes) < 2:
        return np.zeros((0, 11))
    parts, boxes, kinds, own = [], [], [], []
    order = np.argsort(truths.images[rows], kind="stable")
    starts = np.searchsorted(truths.images[rows][order], np.arange(len(seen) + 1))
    for image, one in enumerate(seen):
        chosen = rows[order[starts[image] : starts[image + 1]]]
        if kind == "spurious":
            labels = _out_of_nothing(one, truths, len(chosen), rng)
        else:
            labels = _changed(one, truths.places[chosen], kind, classes, rng)
        if not len(labels.boxes):
            continue
        parts.append(label_evidence(one, labels).features)
        boxes.append(labels.boxes)
        kinds.append(labels.classes)
        first = int(np.searchsorted(truths.images, image))
        own.append(np.where(labels.own >= 0, first + labels.own, -1))
    if not parts:
        return np.zeros((0, 11))
    asked = Labels(np.concatenate(boxes), np.concatenate(kinds), np.concatenate(own))
    return truths.features(np.concatenate(parts), asked)


def _changed(
    seen: Seen, places: Array, kind: str, classes: Array, rng: np.random.Generator
) -> Labels:
    """Labels of an image with another class, or in another place."""
    boxes, labelled = seen.boxes[places], seen.classes[places]
    if kind == "class":
        others = rng.integers(1, len(classes), len(places))
        labelled = classes[(np.searchsorted(classes, labelled) + others) % len(classes)]
        return Labels(boxes, labelled, places)
    moved = _moved(boxes, seen.size, rng)
    differs = np.array(
        [pairwise_iou(a[None], b[None])[0, 0] < CHANGED for a, b in zip(boxes, moved, strict=True)],
        np.bool_,
    )
    return Labels(moved[differs], labelled[differs], places[differs])


def _moved(boxes: Array, size: Array, rng: np.random.Generator) -> Array:
    """Boxes moved in any direction, and half of them scaled, as far as their image goes."""
    count = len(boxes)
    angle, by = rng.uniform(0, 2 * np.pi, count), rng.uniform(*SHIFT, count)
    extent = boxes[:, 2:] - boxes[:, :2]
    centre = boxes[:, :2] + extent / 2
    centre = centre + extent * by[:, None] * np.stack([np.cos(angle), np.sin(angle)], axis=1)
    scale = np.exp(rng.uniform(np.log(SCALE[0]), np.log(SCALE[1]), (count, 2)))
    scale[rng.random(count) < 0.5] = 1
    moved = np.concatenate([centre - extent * scale / 2, centre + extent * scale / 2], axis=1)
    return np.asarray(np.clip(moved, 0, np.tile(size, 2)))


def _out_of_nothing(seen: Seen, truths: _Truths, count: int, rng: np.random.Generator) -> Labels:
    """Boxes as large as other labels, of their classes, where the image has no label."""
    like = rng.integers(len(truths.boxes), size=2 * count)
    extent = truths.boxes[like, 2:] - truths.boxes[like, :2]
    corner = rng.random((len(like), 2)) * (seen.size - extent)
    boxes = np.concatenate([corner, corner + extent], axis=1)
    fits = (extent < seen.size).all(axis=1)
    if len(seen.boxes):
        fits &= pairwise_iou(boxes, seen.boxes).max(axis=1) < 0.1
    kept = np.flatnonzero(fits)[:count]
    return Labels(boxes[kept], truths.classes[like[kept]], np.full(len(kept), -1))


def _missing(seen: Sequence[Seen], least: float) -> list[Mistake]:
    candidates = [unlabelled(one) for one in seen]
    labels = [(one, place) for one in seen for place in range(len(one.boxes))]
    step = max(1, round(len(labels) / MOST_MADE))
    made = [unlabelled(one, place).features for one, place in labels[::step]]
    features = np.concatenate([np.zeros((0, 4)), *(c.features for c in candidates)])
    probabilities = kind_probabilities(features, [np.concatenate([np.zeros((0, 4)), *made])])[:, 0]
    mistakes, start = [], 0
    for image, (one, candidate) in enumerate(zip(seen, candidates, strict=True)):
        for place, row in enumerate(candidate.rows.tolist(), start=start):
            if probabilities[place] >= least:
                mistakes.append(
                    Mistake(
                        kind="missing",
                        image=image,
                        label=-1,
                        probability=float(probabilities[place]),
                        class_id=None,
                        box=None,
                        found_class=int(one.found_classes[row]),
                        found_box=_voted(one, row),
                        score=float(one.scores[row]),
                        detection=row,
                    )
                )
        start += len(candidate.rows)
    return mistakes

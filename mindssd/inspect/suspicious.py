"""Boxes that look like mistakes of labelling: for a person to look at, never changed."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from mindssd.data.dataset import DetectionDataset
from mindssd.data.unit_truths import UnitTruths, unit_truths
from mindssd.geometry.boxes import area, pairwise_intersection, pairwise_iou
from mindssd.types import Array

NEARLY_IDENTICAL = 0.85
"""IoU from which two boxes are likely of one object."""

INSIDE = 0.97
"""So much of a box lies in another of its class where it counts as inside it."""

PART = 0.5
"""A box inside another is told where it has less than this of its area; else nearly identical."""

FAR = 6.0
"""Robust standard deviations from the median of the class: of the logarithm of sides' mean and
ratio."""

LEAST_SPREAD = 0.12
"""A robust deviation counts as at least so much: a class of equal boxes would call all else odd."""

ENOUGH = 20
"""Of a class with fewer boxes nobody knows what is usual."""

EDGE = 0.005
"""So near to the image's edge, as a share of it, a box is one that the edge cuts."""

TINY = 3.0
"""Pixels of the annotated image: a box with a shorter side is hardly meant."""


@dataclass(frozen=True)
class Suspect:
    """A box, and perhaps another, that look like a mistake; the more so the higher `score`.

    `boxes` are (x1, y1, x2, y2) in pixels of the annotated image, `classes` their names.
    """

    kind: str
    part: str
    file_name: str
    image: int
    boxes: tuple[tuple[float, float, float, float], ...]
    classes: tuple[str, ...]
    note: str
    score: float


KINDS = {
    "twins": "two boxes of one class nearly identical: one object labelled twice?",
    "inside": "a box inside another of its class: a part, or a box over a group?",
    "two classes": "boxes of two classes nearly identical: one object under two names?",
    "size": "a box of another size than its class: another object, or a slip of the mouse?",
    "shape": "a box of another shape than its class: two objects in one box, or a cut one?",
    "tiny": "a box of hardly any pixels: a slip of the mouse?",
}


def find_suspects(dataset: DetectionDataset, part: str) -> list[Suspect]:
    """Look at all boxes that training learns from, the oddest of each kind first."""
    truths = unit_truths(dataset)
    pixels = truths.sides((1, 1)) * dataset.sizes[truths.images, ::-1]  # (n, 2)

    def suspect(kind: str, places: list[int], note: str, score: float) -> Suspect:
        image = int(truths.images[places[0]])
        scale = np.tile(dataset.sizes[image, ::-1], 2)
        boxes = [tuple(round(float(v), 1) for v in truths.boxes[p] * scale) for p in places]
        return Suspect(
            kind=kind,
            part=part,
            file_name=dataset.file_names[image],
            image=image,
            boxes=tuple((x1, y1, x2, y2) for x1, y1, x2, y2 in boxes),
            classes=tuple(dataset.class_names[int(truths.labels[p]) - 1] for p in places),
            note=note,
            score=round(score, 4),
        )

    found = [
        *(suspect(*row) for row in _pairs(truths)),
        *(suspect(*row) for row in _outliers(truths, pixels)),
    ]
    tiny = pixels.min(axis=1, initial=np.inf) < TINY
    for place in np.flatnonzero(tiny).tolist():
        width, height = pixels[place]
        note = f"{width:.1f} by {height:.1f} pixels"
        found.append(suspect("tiny", [place], note, TINY - float(pixels[place].min())))
    order = list(KINDS)
    return sorted(found, key=lambda s: (order.index(s.kind), -s.score))


Row = tuple[str, list[int], str, float]
"""Kind, places among the truths, note and score."""


def _pairs(truths: UnitTruths) -> Iterator[Row]:
    """Pairs in one image that lie on or in each other."""
    for rows in truths.of_images():
        boxes, labels, start = truths.boxes[rows], truths.labels[rows], rows.start
        iou = np.triu(pairwise_iou(boxes, boxes), 1)
        same = labels[:, None] == labels
        for first, second in np.argwhere(iou >= NEARLY_IDENTICAL).tolist():
            kind = "twins" if same[first, second] else "two classes"
            score = float(iou[first, second])
            yield kind, [start + first, start + second], f"IoU {score:.2f}", score
        areas = area(boxes)
        inner = pairwise_intersection(boxes, boxes) >= INSIDE * areas[:, None]
        inner &= same & (areas[:, None] < PART * areas)
        for first, second in np.argwhere(inner).tolist():
            share = float(areas[first] / areas[second])
            note = f"{share:.0%} of the other's area"
            yield "inside", [start + first, start + second], note, 1 - share


def _outliers(truths: UnitTruths, pixels: Array) -> Iterator[Row]:
    """Boxes whose size or shape is far from the median of their class.

    Sizes are shares of the image, so that a set of images of many sizes has no odd ones for that.
    """
    sides = truths.sides((1, 1))
    with np.errstate(divide="ignore"):
        measures: dict[str, Array] = {
            "size": np.log(sides.prod(axis=1)) / 2,
            "shape": np.log(pixels[:, 0] / pixels[:, 1]),
        }
    words: dict[str, Callable[[float], str]] = {
        "size": lambda ratio: f"{_times(ratio)} the usual side of its class",
        "shape": lambda ratio: f"width over height {_times(ratio)} the usual of its class",
    }
    # A box that the image's edge cuts is smaller and of another shape for that reason.
    cut = (truths.boxes[:, :2] <= EDGE).any(axis=1) | (truths.boxes[:, 2:] >= 1 - EDGE).any(axis=1)
    for label in np.unique(truths.labels):
        members = np.flatnonzero((truths.labels == label) & ~cut)
        if len(members) < ENOUGH:
            continue
        for kind, measure in measures.items():
            values = measure[members]
            median = np.median(values)
            spread = max(1.4826 * float(np.median(np.abs(values - median))), LEAST_SPREAD)
            away = np.abs(values - median) / spread
            for place in np.flatnonzero(away > FAR).tolist():
                note = words[kind](float(np.exp(values[place] - median)))
                yield kind, [int(members[place])], note, float(away[place])


def _times(ratio: float) -> str:
    return f"{ratio:.1f} times" if ratio >= 1 else f"1/{1 / ratio:.1f} of"

"""Labels with known mistakes, and the detections of a simulated detector."""

from dataclasses import dataclass

import numpy as np

from mindssd.review.evidence import Seen
from mindssd.types import Array

SIZE = np.array([640, 480])


@dataclass(frozen=True)
class Wrong:
    """A mistake that was made: `label` is the place among the labels, -1 where one is missing."""

    kind: str
    image: int
    label: int


def simulate(
    num_images: int = 120, num_classes: int = 3, seed: int = 0, share: float = 0.04
) -> tuple[list[Seen], list[Wrong]]:
    """Images of some ten objects; `share` of the labels is wrong in each of the four ways."""
    rng = np.random.default_rng(seed)
    seen, wrong = [], []
    for image in range(num_images):
        cells = rng.permutation(24)[: rng.integers(4, 12)]
        centres = np.stack([cells % 6 * 105 + 55, cells // 6 * 115 + 60], axis=1) * 1.0
        extent = rng.uniform(50, 95, (len(cells), 2))
        boxes = np.concatenate([centres - extent / 2, centres + extent / 2], axis=1)
        classes = rng.integers(num_classes, size=len(cells))
        found = _detect(boxes, classes, num_classes, rng)
        labels, kinds = _spoil(boxes, classes, num_classes, share, rng)
        for place, kind in enumerate(kinds):
            if kind:
                wrong.append(Wrong(kind, image, place))
        gone = rng.random(len(cells)) < share
        gone &= np.array(kinds[: len(cells)]) == ""
        kept = np.concatenate([~gone, np.ones(len(labels[0]) - len(cells), np.bool_)])
        renumbered = np.cumsum(kept) - 1
        wrong = [
            w if w.image != image else Wrong(w.kind, image, int(renumbered[w.label])) for w in wrong
        ]
        wrong += [Wrong("missing", image, -1)] * int(gone.sum())
        seen.append(Seen(labels[0][kept], labels[1][kept], *found, SIZE))
    return seen, wrong


def _detect(
    boxes: Array, classes: Array, num_classes: int, rng: np.random.Generator
) -> tuple[Array, Array, Array]:
    """Most objects are found, some twice, some as another class, and here and there nothing is."""
    parts = []
    for box, class_id in zip(boxes, classes, strict=True):
        side = float((box[2:] - box[:2]).mean())
        score = float(rng.beta(8, 2)) if rng.random() < 0.93 else float(rng.uniform(0.01, 0.3))
        parts.append((box + rng.normal(0, 0.04 * side, 4), class_id, score))
        for _ in range(2):
            worse = box + rng.normal(0, 0.12 * side, 4)
            parts.append((worse, class_id, score * float(rng.uniform(0.1, 0.5))))
        other = (class_id + rng.integers(1, num_classes)) % num_classes if num_classes > 1 else 0
        if num_classes > 1:
            parts.append((box + rng.normal(0, 0.05 * side, 4), other, float(rng.beta(1, 12))))
    for _ in range(6):
        corner = rng.uniform(0, SIZE - 90)
        box = np.concatenate([corner, corner + rng.uniform(40, 90, 2)])
        parts.append((box, int(rng.integers(num_classes)), float(rng.beta(1, 12))))
    order = np.argsort([-score for *_, score in parts])
    return (
        np.array([parts[i][0] for i in order], np.float32),
        np.array([parts[i][1] for i in order], np.int32),
        np.array([parts[i][2] for i in order], np.float32),
    )


def _spoil(
    boxes: Array, classes: Array, num_classes: int, share: float, rng: np.random.Generator
) -> tuple[tuple[Array, Array], list[str]]:
    boxes, classes, kinds = boxes.copy(), classes.copy(), [""] * len(boxes)
    for place in range(len(boxes)):
        chance = rng.random()
        if chance < share and num_classes > 1:
            classes[place] = (classes[place] + 1) % num_classes
            kinds[place] = "class"
        elif share <= chance < 2 * share:
            across = (boxes[place, 2] - boxes[place, 0]) / 2
            boxes[place, [0, 2]] += across if boxes[place, 2] + across < SIZE[0] else -across
            kinds[place] = "box"
    if rng.random() < share * len(boxes):
        corner = rng.uniform(0, SIZE - 90)
        boxes = np.concatenate([boxes, np.concatenate([corner, corner + 80])[None]])
        classes = np.append(classes, rng.integers(num_classes))
        kinds.append("spurious")
    return (boxes, classes), kinds

"""Which images to label next: those that a model is unsure of, and that differ from each other.

How unsure a detector is of an image is the sum over its detections of (1 - margin)², the margin
that between its class and nothing (Brust, Käding and Denzler, arXiv:1809.09875: "1-vs-2", "sum").
Of the `POOL` times as many images that it is least sure of, those are taken that lie farthest from
all taken before (the core-set's greedy choice: Sener and Savarese, arXiv:1708.00489), by what the
image looks like and what was found in it where.
"""

from collections.abc import Sequence

import numpy as np

from mindssd.types import Array, Detections, ImageSize

POOL = 3
"""So many times as many images are compared as are asked for: the least sure of all."""

GRID = 3
"""Cells a side in which what was found is counted."""


def uncertainty(found: Detections) -> float:
    """How unsure a detector is of an image; 0 where it found nothing."""
    scores = found.scores.astype(np.float64)
    return float(np.square(1 - np.abs(2 * scores - 1)).sum())


def features(grey: Array, found: Sequence[Detections], sizes: Sequence[ImageSize]) -> Array:
    """What tells images apart, (N, F) float64: light and dark, classes, and where they are.

    `grey` (N, S, S) uint8 are thumbnails, S a multiple of 8; `sizes` are (height, width). Each of
    the three counts the same: they have the same mean square over the images.
    """
    num_classes = max((len(one.class_names) for one in found), default=0)
    side = grey.shape[1] // 8
    light = grey.reshape(len(grey), 8, side, 8, side).mean(axis=(2, 4)).reshape(len(grey), 64)
    classes = np.zeros((len(found), num_classes))
    places = np.zeros((len(found), GRID, GRID))
    for row, (one, (height, width)) in enumerate(zip(found, sizes, strict=True)):
        np.add.at(classes[row], one.class_ids, one.scores)
        centres = (one.boxes[:, :2] + one.boxes[:, 2:]) / 2 / np.array([width, height])
        cells = np.clip((centres * GRID).astype(np.int64), 0, GRID - 1)
        np.add.at(places[row], (cells[:, 1], cells[:, 0]), one.scores)
    blocks = [light, np.log1p(classes), np.log1p(places.reshape(len(found), -1))]
    return np.concatenate([_of_one_weight(block) for block in blocks], axis=1)


def _of_one_weight(block: Array) -> Array:
    centred = block - block.mean(axis=0) if len(block) else block
    spread = np.sqrt(np.square(centred).sum(axis=1).mean()) if len(block) else 0.0
    return np.asarray(centred / max(float(spread), 1e-9))


def choose(unsure: Array, described: Array, groups: Array, count: int) -> list[int]:
    """The places of `count` images, or fewer where there are no more, the first the most unsure.

    `unsure` (N,), `described` (N, F); of images of one group (N,), nearly the same, one at most.
    """
    order = np.argsort(-unsure, kind="stable")
    _, first = np.unique(groups[order], return_index=True)
    pool = order[np.sort(first)][: POOL * count]
    if not len(pool) or count < 1:
        return []
    chosen = [0]
    away = np.full(len(pool), np.inf)
    while len(chosen) < min(count, len(pool)):
        last = described[pool[chosen[-1]]]
        away = np.minimum(away, np.square(described[pool] - last).sum(axis=1))
        away[chosen] = -1  # even where all others are equal
        chosen.append(int(away.argmax()))
    return [int(place) for place in pool[chosen]]

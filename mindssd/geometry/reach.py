"""How well default boxes reach truths: the best IoU that each truth has with any of them."""

import numpy as np

from mindssd.geometry.boxes import area
from mindssd.geometry.default_boxes import Cells, DefaultBoxes
from mindssd.types import Array


def best_ious(boxes_unit: Array, default_boxes: DefaultBoxes) -> Array:
    """Give each truth's highest IoU with a default box: (n, 4) as fractions to (n,) float32.

    As `match` computes it, without its pass over all default boxes: of boxes of one shape on one
    level, the one on the nearest cell overlaps a truth the most. Truths without area, or not
    finite, have 0. n = 0 gives (0,).
    """
    truths = np.asarray(boxes_unit, np.float32)
    sides = truths[:, 2:] - truths[:, :2]
    proper = np.isfinite(truths).all(axis=1) & (sides > 0).all(axis=1)
    kept, sides = truths[proper], sides[proper]
    truth_areas = sides[:, 0] * sides[:, 1]
    highest = np.zeros(len(kept), np.float32)
    first = 0
    for cells, per_cell in zip(default_boxes.cells, default_boxes.num_per_cell, strict=True):
        nearest = first + per_cell * _nearest(kept, cells)
        for shape in range(per_cell):
            boxes = default_boxes.boxes[nearest + shape]
            extent = np.minimum(boxes[:, 2:], kept[:, 2:]) - np.maximum(boxes[:, :2], kept[:, :2])
            np.maximum(extent, 0, out=extent)
            intersection = extent[:, 0] * extent[:, 1]
            union = area(boxes) + truth_areas - intersection
            np.maximum(highest, intersection / union, out=highest)
        first += per_cell * len(cells.centres)
    result = np.zeros(len(truths), np.float32)
    result[proper] = highest
    return result


def _nearest(truths: Array, cells: Cells) -> Array:
    """The cell whose centre is nearest to each truth's, (n,), as a place in its level."""
    columns = int(np.count_nonzero(cells.centres[:, 1] == cells.centres[0, 1]))
    limits = np.array([columns, len(cells.centres) // columns]) - 1
    centre = (truths[:, :2].astype(np.float64) + truths[:, 2:]) / 2
    places = np.rint((centre - cells.centres[0]) / cells.step)
    column, row = np.clip(places, 0, limits).astype(np.intp).T
    return np.asarray(row * columns + column)

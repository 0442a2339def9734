"""Boxes as offsets from default boxes, and back (arXiv:1512.02325, equation 2).

Boxes are (cx, cy, w, h), but offsets are (ty, tx, th, tw): the order of the reference's published
weights, whose heads put out the vertical offset first.
"""

import math

import numpy as np

from mindssd.types import Array

Variances = tuple[float, float]
"""What offsets of the centre and of the size are divided by, so that both spread by about 1."""

MAX_LOG_SIZE_RATIO = math.log(1000.0)
"""A decoded box is at most a thousand times its default box, on each side.

The smallest default box of the recipes is 1/28 of the image; a ratio past 28 lies outside the image
whatever it is, and e^89 would overflow float32.
"""

MIN_SIZE_RATIO = 1e-6
"""A side counts as at least this much of its default box's, so that no logarithm is infinite."""


def encode(boxes_cxcywh: Array, default_boxes_cxcywh: Array, variances: Variances) -> Array:
    """Express boxes as offsets from their default boxes, (ty, tx, th, tw).

    Both (N, 4), same unit, row by row, default boxes with positive sizes. Inverse of `decode`.
    A box without width or height gives the finite offset of `MIN_SIZE_RATIO`. N = 0 gives (0, 4).
    """
    default_size = default_boxes_cxcywh[:, 2:]
    offsets = np.empty_like(boxes_cxcywh)
    centre = (boxes_cxcywh[:, :2] - default_boxes_cxcywh[:, :2]) / (default_size * variances[0])
    size = np.log(np.maximum(boxes_cxcywh[:, 2:] / default_size, MIN_SIZE_RATIO)) / variances[1]
    offsets[:, 0:2] = centre[:, ::-1]
    offsets[:, 2:4] = size[:, ::-1]
    return offsets


def decode(offsets: Array, default_boxes_cxcywh: Array, variances: Variances) -> Array:
    """Turn offsets (ty, tx, th, tw) into boxes (x1, y1, x2, y2) in the default boxes' unit.

    Both (N, 4), row by row. Inverse of `encode`, up to the form. Boxes may reach over the image:
    they are not clipped. Sizes are bounded by `MAX_LOG_SIZE_RATIO`, so that finite offsets give
    finite boxes. N = 0 gives (0, 4).
    """
    default_size = default_boxes_cxcywh[:, 2:]
    centre = offsets[:, 1::-1] * variances[0]  # (N, 2) as (x, y)
    centre *= default_size
    centre += default_boxes_cxcywh[:, :2]
    half_size = offsets[:, 3:1:-1] * variances[1]
    np.minimum(half_size, MAX_LOG_SIZE_RATIO, out=half_size)
    np.exp(half_size, out=half_size)
    half_size *= default_size / 2
    return np.concatenate([centre - half_size, centre + half_size], axis=1)

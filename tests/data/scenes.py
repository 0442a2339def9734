"""Drawn images on which a test sees where a box should be."""

import numpy as np

from mindssd.types import Array

GREY = (128.0, 128.0, 128.0)


def boxes_of(*boxes: tuple[float, float, float, float]) -> Array:
    return np.array(boxes, np.float32).reshape(-1, 4)


def scene(height: int, width: int, boxes: Array) -> Array:
    """Draw a black image with a white rectangle where each box is."""
    image = np.zeros((height, width, 3), np.uint8)
    for x1, y1, x2, y2 in boxes.astype(int):
        image[y1:y2, x1:x2] = 255
    return image


def bounds(image: Array) -> list[int]:
    """Find the box around all that is brighter than half, of all three channels."""
    rows, columns = np.nonzero((image > 160).all(axis=2))
    return [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]

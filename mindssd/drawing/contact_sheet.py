"""Contact sheets: many pictures in one."""

import math
from collections.abc import Sequence

import cv2
import numpy as np

from mindssd.images import as_rgb
from mindssd.types import Array, ImageSize

CELL_SIZE: ImageSize = (270, 360)
"""(height, width) of a sheet's cells."""

_MARGIN = 13
_GROUND = (247, 247, 245)


def contact_sheet(images: Sequence[Array]) -> Array:
    """Lay images out in a grid, row by row: (H, W, 3) uint8 RGB, somewhat wider than high.

    Each is fitted into a cell with its aspect kept. No images give a sheet of one empty cell.
    """
    height, width = CELL_SIZE
    columns = min(round(math.sqrt(1.5 * len(images) * height / width)), len(images)) or 1
    rows = math.ceil(len(images) / columns) or 1
    size = (_MARGIN + rows * (height + _MARGIN), _MARGIN + columns * (width + _MARGIN))
    sheet = np.full((*size, 3), _GROUND, np.uint8)
    for index, image in enumerate(images):
        row, column = divmod(index, columns)
        picture = fit_cell(as_rgb(image))
        picture_height, picture_width = picture.shape[:2]
        y = _MARGIN + row * (height + _MARGIN) + (height - picture_height) // 2
        x = _MARGIN + column * (width + _MARGIN) + (width - picture_width) // 2
        sheet[y : y + picture_height, x : x + picture_width] = picture
    return sheet


def fit_cell(picture: Array) -> Array:
    """Resize (H, W, 3) into a contact sheet's cell, with the aspect kept."""
    height, width = picture.shape[:2]
    scale = min(CELL_SIZE[0] / height, CELL_SIZE[1] / width)
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    # Averaging where it shrinks: bilinear would drop most of the pixels, and thin lines with them.
    method = cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC
    return np.asarray(cv2.resize(picture, size, interpolation=method))

"""What part of an image is seen: windows, and how they are shown at the network's size.

A window is (x1, y1, x2, y2) in whole pixels of the image, and may reach beyond it.
"""

from typing import NamedTuple

import numpy as np

from mindssd.images import canvas_size, resize
from mindssd.types import Array, ImageSize

Window = tuple[int, int, int, int]
Colour = tuple[float, float, float]


class Picture(NamedTuple):
    """An image (H, W, 3) uint8 and its truths: boxes (n, 4) in its pixels, labels (n,)."""

    image: Array
    boxes: Array
    labels: Array


def zoom_out(window: Window, max_ratio: float, rng: np.random.Generator) -> Window:
    """Place a window somewhere on a canvas of 1 to `max_ratio` times its sides; give the canvas."""
    return scale_window(window, 1 / rng.uniform(1, max_ratio), rng)


def scale_window(window: Window, scale: float, rng: np.random.Generator) -> Window:
    """Make what a window shows `scale` times as large, by a window of 1 / `scale` its sides.

    A smaller one lies somewhere inside the old one, a larger one somewhere around it.
    """
    x1, y1, x2, y2 = window
    width, height = round((x2 - x1) / scale), round((y2 - y1) / scale)
    width, height = max(width, 1), max(height, 1)
    left = x1 + round(rng.random() * (x2 - x1 - width))
    top = y1 + round(rng.random() * (y2 - y1 - height))
    return left, top, left + width, top + height


def widened(window: Window, size: ImageSize) -> Window:
    """The window with more at its right or lower side, so that it has the shape of `size`."""
    x1, y1, x2, y2 = window
    height, width = canvas_size((y2 - y1, x2 - x1), size)
    return x1, y1, x1 + width, y1 + height


def truths_in_window(boxes: Array, labels: Array, window: Window) -> tuple[Array, Array]:
    """Keep the truths whose centre lies within the window, clipped to it; still in image pixels."""
    kept = holds_centre(np.array([window]), boxes)[0]
    x1, y1, x2, y2 = window
    limits = np.array([[x1, y1, x1, y1], [x2, y2, x2, y2]], np.float32)
    return np.clip(boxes[kept], limits[0], limits[1]), labels[kept]


def render(
    image: Array, boxes: Array, window: Window, size: ImageSize, fill: Colour
) -> tuple[Array, Array]:
    """Show a window of an image at `size`, with `fill` where it reaches beyond the image.

    Boxes come back in pixels of the result, exactly where their pixels are.
    """
    image_height, image_width = image.shape[:2]
    x1, y1, x2, y2 = window
    inner_x1, inner_y1 = max(x1, 0), max(y1, 0)
    inner_x2, inner_y2 = min(x2, image_width), min(y2, image_height)
    height, width = size
    filled = np.array(fill).round().astype(np.uint8)
    if inner_x1 >= inner_x2 or inner_y1 >= inner_y2:  # no image there, and so no truths
        return np.tile(filled, (height, width, 1)), boxes[:0]
    scale_x, scale_y = width / (x2 - x1), height / (y2 - y1)
    # Where the part that is image goes, in whole pixels of the result and never empty.
    left = min(round((inner_x1 - x1) * scale_x), width - 1)
    top = min(round((inner_y1 - y1) * scale_y), height - 1)
    right = max(round((inner_x2 - x1) * scale_x), left + 1)
    bottom = max(round((inner_y2 - y1) * scale_y), top + 1)
    shown = resize(image[inner_y1:inner_y2, inner_x1:inner_x2], (bottom - top, right - left))
    if (bottom - top, right - left) == (height, width):
        result = shown
    else:
        result = np.tile(filled, (height, width, 1))
        result[top:bottom, left:right] = shown
    scale = [(right - left) / (inner_x2 - inner_x1), (bottom - top) / (inner_y2 - inner_y1)]
    offset = np.array([inner_x1, inner_y1] * 2, np.float32)
    boxes = (boxes - offset) * np.array(scale * 2, np.float32)
    return result, boxes + np.array([left, top] * 2, np.float32)


def holds_centre(windows: Array, boxes: Array) -> Array:
    """Tell which windows (T, 4) hold which boxes' (n, 4) centres: (T, n) bool."""
    centres = (boxes[:, :2] + boxes[:, 2:]) / 2
    after = (centres > windows[:, None, :2]).all(axis=2)
    before = (centres < windows[:, None, 2:]).all(axis=2)
    return np.asarray(after & before)

"""What is drawn beside detections on a video that counts: trails, lines and zones with numbers."""

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from mindssd.drawing.canvas import Canvas
from mindssd.drawing.colours import INK, WHITE, Colour
from mindssd.drawing.lettering import Lettering
from mindssd.types import Array

_SHIFT = 4  # binary digits behind the point, as OpenCV draws between pixels
_TINT = 0.12
_LONGEST = 1 << 14  # times a picture's side: beyond, OpenCV's whole numbers end


@dataclass(frozen=True, eq=False)
class Trail:
    """Where an object came from: `points` (n, 2) in pixels of the image, the last where it is."""

    points: Array
    colour: Colour


@dataclass(frozen=True, eq=False)
class ShownPlace:
    """A line, `points` (2, 2) in pixels of the image, or a zone with its corners (n, 2)."""

    points: Array
    is_zone: bool
    words: str


@dataclass(frozen=True, eq=False)
class Overlay:
    places: tuple[ShownPlace, ...] = ()
    trails: tuple[Trail, ...] = ()


def draw_beneath(canvas: Canvas, overlay: Overlay) -> None:
    """Draw lines, zones and trails, on which boxes and all labels lie."""
    for place in overlay.places:
        points = place.points * canvas.scale
        if place.is_zone:
            _tint(canvas, points)
        _lines(canvas, points, WHITE, place.is_zone)
        if not place.is_zone:
            _arrow(canvas, points)
    for trail in overlay.trails:
        _lines(canvas, trail.points * canvas.scale, trail.colour, False)


def place_labels(canvas: Canvas, overlay: Overlay) -> None:
    """Write each place's words at a line's first point or above a zone, none over another."""
    height, width = canvas.pixels.shape[:2]
    padding = max(2, round(0.45 * canvas.capital))
    lettering = Lettering.of(place.words for place in overlay.places)
    taken: list[tuple[int, int, int, int]] = []
    for place in overlay.places:
        words = lettering.shortened(place.words, canvas.capital, width - 2 * padding)
        mask = lettering.mask(words, canvas.capital)
        size = (min(mask.shape[0] + padding, height), min(mask.shape[1] + 2 * padding, width))
        points = place.points * canvas.scale
        x, y = points.min(axis=0) if place.is_zone else points[0]
        if place.is_zone and y >= size[0] + 2 * padding:
            y -= size[0] + 2 * padding  # above it
        left = int(np.clip(round(x + padding), 0, width - size[1]))
        top = int(np.clip(round(y + padding), 0, height - size[0]))
        top = _free(top, left, size, height, taken)
        taken.append((left, top, left + size[1], top + size[0]))
        canvas.label(mask, top, left, size, WHITE)


def _free(
    top: int, left: int, size: tuple[int, int], height: int, taken: Sequence[tuple[int, ...]]
) -> int:
    """The next row down, or else the next up, where a label of (height, width) covers no other."""

    def is_free(row: int) -> bool:
        return not any(
            left < x2 and x1 < left + size[1] and row < y2 and y1 < row + size[0]
            for x1, y1, x2, y2 in taken
        )

    rows = [*range(top, height - size[0] + 1), *range(top, -1, -1)]
    return next(filter(is_free, rows), top)


def _lines(canvas: Canvas, points: Array, colour: Colour, is_closed: bool) -> None:
    """A way through points, with ink around it so that it is seen on any ground."""
    corners = [_fixed(canvas, points)]
    line = max(1, round(0.7 * canvas.line))
    for one, thick in ((INK, line + 2 * max(1, line // 2)), (colour, line)):
        cv2.polylines(canvas.pixels, corners, is_closed, one, thick, cv2.LINE_AA, _SHIFT)


def _tint(canvas: Canvas, points: Array) -> None:
    mask = np.zeros(canvas.pixels.shape[:2], np.uint8)
    cv2.fillPoly(mask, [_fixed(canvas, points)], (1,), cv2.LINE_8, _SHIFT)
    inside = mask.astype(bool)
    lit = canvas.pixels[inside] * (1 - _TINT) + 255 * _TINT
    canvas.pixels[inside] = lit.astype(np.uint8)


def _arrow(canvas: Canvas, points: Array) -> None:
    """From the middle of a line to its left, where those go who count as in."""
    along = points[1] - points[0]
    left = np.array([along[1], -along[0]]) / max(float(np.hypot(*along)), 1e-9)
    middle, length = points.mean(axis=0), 2.2 * canvas.capital
    tip = middle + left * length
    side = np.array([-left[1], left[0]]) * 0.35 * length
    back = tip - left * 0.45 * length
    _lines(canvas, np.stack([middle, tip]), WHITE, False)
    _lines(canvas, np.stack([back + side, tip, back - side]), WHITE, False)


def _fixed(canvas: Canvas, points: Array) -> Array:
    """Points as whole numbers of OpenCV's fractions of pixels: (n, 1, 2) int32."""
    height, width = canvas.pixels.shape[:2]
    near = np.clip(points, -_LONGEST, _LONGEST + max(height, width))
    fixed: Array = np.rint(near * (1 << _SHIFT)).astype(np.int32).reshape(-1, 1, 2)
    return fixed

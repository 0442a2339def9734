"""A copy of a picture to draw on: boxes, lines and plates of letters.

Lines and letters grow with the image, so that they are as easy to read on a thumbnail as on a
photograph.
"""

import math
from dataclasses import dataclass
from functools import lru_cache

import cv2
import numpy as np

from mindssd.drawing.colours import INK, Colour, text_colour
from mindssd.drawing.lettering import OVERSAMPLING, shrunk
from mindssd.images import as_rgb
from mindssd.types import Array, ImageSize

SMALLEST_SIDE = 320
"""An image whose longer side is shorter is drawn enlarged: in 64 pixels no label can be read."""


@dataclass(frozen=True, eq=False)
class Canvas:
    """A copy of an image to draw on: `scale` times its size, and how thick to draw."""

    pixels: Array
    scale: int
    line: int
    capital: int

    @classmethod
    def of(cls, image: Array, enlarge: bool = True) -> "Canvas":
        picture = as_rgb(image)
        height, width = picture.shape[:2]
        scale = math.ceil(SMALLEST_SIDE / max(height, width)) if enlarge else 1
        if scale > 1:
            size = (width * scale, height * scale)
            picture = np.asarray(cv2.resize(picture, size, interpolation=cv2.INTER_CUBIC))
        elif picture is image or np.shares_memory(picture, image):
            picture = picture.copy()
        # Between the shorter side and the mean of both, so that a panorama is not all label.
        height, width = picture.shape[:2]
        extent = math.sqrt(min(height, width) * math.sqrt(height * width))
        return cls(picture, scale, max(2, round(0.0032 * extent)), max(9, round(0.019 * extent)))

    def corners(self, box: Array) -> tuple[int, int, int, int]:
        """Round a box in pixels of the image to one inside the canvas, of 1 pixel or more."""
        height, width = self.pixels.shape[:2]
        x1, y1, x2, y2 = (round(float(value)) for value in np.nan_to_num(box) * self.scale)
        x1, y1 = min(max(x1, 0), width - 1), min(max(y1, 0), height - 1)
        return x1, y1, min(max(x2, x1 + 1), width), min(max(y2, y1 + 1), height)

    def solid_box(self, box: Array, colour: Colour) -> None:
        """Draw a box inside its border, with a shade on both sides to set it off."""
        shade = max(1, self.line // 2)
        x1, y1, x2, y2 = self.corners(box)
        for rows, columns in _frame((x1 - shade, y1 - shade, x2 + shade, y2 + shade), shade):
            self._shade(rows, columns)
        inner = (x1 + self.line, y1 + self.line, x2 - self.line, y2 - self.line)
        if inner[2] - inner[0] > 2 * shade and inner[3] - inner[1] > 2 * shade:
            for rows, columns in _frame(inner, shade):
                self._shade(rows, columns)
        for rows, columns in _frame((x1, y1, x2, y2), self.line):
            self.pixels[rows, columns] = colour

    def dashed_box(self, box: Array, colour: Colour) -> None:
        """Draw a box in dashes of a colour, with ink between them, seen on any ground."""
        corners = self.corners(box)
        line = max(1, round(0.6 * self.line))
        for rows, columns in _frame(corners, line):
            strip = self.pixels[rows, columns]
            along = 0 if strip.shape[0] > strip.shape[1] else 1
            ink = np.arange(strip.shape[along]) % (6 * self.line) >= 4 * self.line
            strip[:] = colour
            if along == 0:
                strip[ink] = INK
            else:
                strip[:, ink] = INK

    def label(self, mask: Array, top: int, left: int, size: ImageSize, colour: Colour) -> None:
        """Write on a plate with round corners whose top left corner and size are given."""
        _blend(self.pixels, _plate_mask(size, max(2, self.capital // 4)), top, left, colour)
        text_top = top + (size[0] - mask.shape[0]) // 2
        text_left = left + (size[1] - mask.shape[1]) // 2
        _blend(self.pixels, mask, text_top, text_left, text_colour(colour))

    def _shade(self, rows: slice, columns: slice) -> None:
        strip = self.pixels[rows, columns]
        strip[:] = (strip.astype(np.uint16) * 5 // 9).astype(np.uint8)


def _frame(corners: tuple[int, int, int, int], line: int) -> list[tuple[slice, slice]]:
    """Rows and columns of a box's four sides, `line` thick, inside it; negative ones cut off."""
    x1, y1, x2, y2 = corners
    line = min(line, x2 - x1, y2 - y1)
    left, top, right, bottom = (max(0, value) for value in corners)
    inner_top, inner_bottom = max(0, y1 + line), max(0, y2 - line)
    columns = slice(left, right)
    rows = slice(inner_top, max(inner_top, inner_bottom))
    return [
        (slice(top, inner_top), columns),
        (slice(max(inner_top, inner_bottom), bottom), columns),
        (rows, slice(left, max(0, x1 + line))),
        (rows, slice(max(0, max(x1 + line, x2 - line)), right)),
    ]


@lru_cache(maxsize=1024)
def _plate_mask(size: ImageSize, radius: int) -> Array:
    """Cover a rectangle with round corners: (h, w) float32 in 0..1."""
    height, width = (side * OVERSAMPLING for side in size)
    radius = min(radius * OVERSAMPLING, (min(height, width) - 1) // 2)
    large: Array = np.zeros((height, width), np.uint8)
    large[radius : height - radius] = 255
    large[:, radius : width - radius] = 255
    for y in (radius, height - 1 - radius):
        for x in (radius, width - 1 - radius):
            cv2.circle(large, (x, y), radius, (255,), cv2.FILLED)
    return shrunk(large)


def _blend(pixels: Array, mask: Array, top: int, left: int, colour: Colour) -> None:
    """Paint a colour through a mask; what lies outside the image is cut off."""
    height, width = pixels.shape[:2]
    rows = slice(max(0, top), min(height, top + mask.shape[0]))
    columns = slice(max(0, left), min(width, left + mask.shape[1]))
    part = mask[
        rows.start - top : max(rows.start, rows.stop) - top,
        columns.start - left : max(columns.start, columns.stop) - left,
        None,
    ]
    ground = pixels[rows, columns]
    ground[:] = (ground * (1 - part) + np.array(colour, np.float32) * part + 0.5).astype(np.uint8)

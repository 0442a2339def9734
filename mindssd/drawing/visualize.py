"""Detections drawn on their image, for a person to look at.

Lines and letters grow with the image, so that they are as easy to read on a thumbnail as on a
photograph.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import cv2
import numpy as np

from mindssd.drawing.colours import INK, Colour, class_colour, text_colour
from mindssd.drawing.lettering import OVERSAMPLING, Lettering, shrunk
from mindssd.images import as_rgb
from mindssd.types import Array, Detections, ImageSize

SMALLEST_SIDE = 320
"""An image whose longer side is shorter is drawn enlarged: in 64 pixels no label can be read."""


def draw(
    image: Array, detections: Detections, score_threshold: float = 0.3, enlarge: bool = True
) -> Array:
    """Draw detections with score >= `score_threshold`: a new (H, W, 3) uint8 RGB image.

    The best lie on top, and labels keep out of each other's way where they can. An image smaller
    than SMALLEST_SIDE is enlarged by a whole number, if it may be. Nothing to draw gives the image
    alone.
    """
    canvas = _Canvas.of(image, enlarge)
    rows = _shown(detections, score_threshold)
    _draw_boxes(canvas, detections, rows)
    _draw_labels(canvas, detections, rows)
    return canvas.pixels


def draw_truths(
    image: Array, boxes: Array, class_ids: Array, class_names: tuple[str, ...], enlarge: bool = True
) -> Array:
    """Draw annotated boxes with the names of their classes, as `draw` does detections.

    `boxes` (n, 4) in pixels of the image; `class_ids` (n,) from 0, as in `Detections`.
    """
    canvas = _Canvas.of(image, enlarge)
    truths = Detections(boxes, np.ones(len(boxes), np.float32), class_ids, class_names)
    rows = _shown(truths, 0.0)
    _draw_boxes(canvas, truths, rows)
    _draw_labels(canvas, truths, rows, with_scores=False)
    return canvas.pixels


def compare(
    image: Array,
    truth_boxes: Array,
    truth_class_ids: Array,
    detections: Detections,
    score_threshold: float = 0.3,
) -> Array:
    """Draw detections as `draw` does, and over them the truths, dashed in their classes' colours.

    `truth_boxes` (n, 4) in pixels of the image; `truth_class_ids` (n,) from 0, as in `Detections`.
    A missed object shows as dashes alone, a false detection as a box without.
    """
    canvas = _Canvas.of(image)
    rows = _shown(detections, score_threshold)
    _draw_boxes(canvas, detections, rows)
    for box, class_id in zip(truth_boxes, truth_class_ids, strict=True):
        canvas.dashed_box(box, class_colour(int(class_id)))
    _draw_labels(canvas, detections, rows)
    return canvas.pixels


@dataclass(frozen=True, eq=False)
class Mark:
    """A box to draw: `box` (4,) in pixels of the image, solid or dashed, with words or "" at it."""

    box: Array
    words: str
    colour: Colour
    is_dashed: bool = False


def draw_marks(image: Array, marks: Sequence[Mark]) -> Array:
    """Draw boxes, each in its own colour and line, the first on top: a new image of the same size.

    Dashed ones lie over solid ones, so that of two equal boxes both are seen.
    """
    canvas = _Canvas.of(image, enlarge=False)
    for mark in marks[::-1]:
        if not mark.is_dashed:
            canvas.solid_box(mark.box, mark.colour)
    for mark in marks[::-1]:
        if mark.is_dashed:
            canvas.dashed_box(mark.box, mark.colour)
    lettered = [mark for mark in marks if mark.words]
    _write_labels(canvas, Lettering.of(mark.words for mark in lettered), lettered)
    return canvas.pixels


@dataclass(frozen=True, eq=False)
class _Canvas:
    """A copy of an image to draw on: `scale` times its size, and how thick to draw."""

    pixels: Array
    scale: int
    line: int
    capital: int

    @classmethod
    def of(cls, image: Array, enlarge: bool = True) -> "_Canvas":
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


def _shown(detections: Detections, score_threshold: float) -> Array:
    """Choose the detections to draw, best first."""
    rows = np.flatnonzero(detections.scores >= score_threshold)
    return rows[np.argsort(-detections.scores[rows], kind="stable")]


def _draw_boxes(canvas: _Canvas, detections: Detections, rows: Array) -> None:
    for row in rows[::-1]:
        canvas.solid_box(detections.boxes[row], class_colour(int(detections.class_ids[row])))


def _draw_labels(
    canvas: _Canvas, detections: Detections, rows: Array, with_scores: bool = True
) -> None:
    labels = []
    for row in rows:
        class_id = int(detections.class_ids[row])
        words = detections.class_names[class_id]
        if with_scores:
            words = f"{words} {detections.scores[row]:.2f}"
        labels.append(Mark(detections.boxes[row], words, class_colour(class_id)))
    _write_labels(canvas, Lettering.of(detections.class_names), labels)


def _write_labels(canvas: _Canvas, lettering: Lettering, marks: Sequence[Mark]) -> None:
    """Place labels, the first to the best places, then write them, the first on top."""
    height, width = canvas.pixels.shape[:2]
    padding = max(2, round(0.45 * canvas.capital))
    plates: list[tuple[Array, int, int, ImageSize]] = []
    for mark in marks:
        text = lettering.shortened(mark.words, canvas.capital, width - 2 * padding)
        mask = lettering.mask(text, canvas.capital)
        text_height, text_width = mask.shape
        size = (min(text_height + padding, height), min(text_width + 2 * padding, width))
        taken = [(left, top, left + w, top + h) for _, top, left, (h, w) in plates]
        top, left = _place(canvas.corners(mark.box), size, (height, width), taken)
        plates.append((mask, top, left, size))
    for mark, (mask, top, left, size) in zip(marks[::-1], plates[::-1], strict=True):
        canvas.label(mask, top, left, size, mark.colour)


def _place(
    box: tuple[int, int, int, int],
    size: ImageSize,
    canvas_size: ImageSize,
    taken: Sequence[tuple[int, int, int, int]],
) -> tuple[int, int]:
    """Choose a label's (top, left): on the canvas, and over the least of the labels there already.

    Above the box if it can be, else inside at its top, else below, and so on.
    """
    x1, y1, x2, y2 = box
    height, width = size
    candidates = [
        (y1 - height, x1),
        (y1, x1),
        (y2, x1),
        (y1 - height, x2 - width),
        (y2 - height, x1),
        (y1, x2 - width),
        (y2, x2 - width),
    ]
    best, least = (0, 0), math.inf
    for top, left in candidates:
        if not 0 <= top <= canvas_size[0] - height:
            continue
        left = min(max(left, 0), canvas_size[1] - width)
        covered = sum(
            max(0, min(left + width, right) - max(left, other_left))
            * max(0, min(top + height, bottom) - max(top, other_top))
            for other_left, other_top, right, bottom in taken
        )
        if covered < least:
            best, least = (top, left), covered
    if math.isinf(least):  # the box starts too low for a label inside, as far as the canvas goes
        best = (canvas_size[0] - height, min(max(x1, 0), canvas_size[1] - width))
    return best


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

"""Detections drawn on their image, for a person to look at."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from mindssd.drawing.canvas import Canvas
from mindssd.drawing.colours import Colour, class_colour
from mindssd.drawing.lettering import Lettering
from mindssd.drawing.overlay import Overlay, draw_beneath, place_labels
from mindssd.types import Array, Detections, ImageSize


def draw(
    image: Array,
    detections: Detections,
    score_threshold: float = 0.3,
    enlarge: bool = True,
    overlay: Overlay | None = None,
) -> Array:
    """Draw detections with score >= `score_threshold`: a new (H, W, 3) uint8 RGB image.

    The best lie on top, and labels keep out of each other's way where they can. Those with a track
    are labelled by its number instead of their scores. An image smaller than
    `canvas.SMALLEST_SIDE` is enlarged by a whole number, if it may be. Nothing to draw gives the
    image alone.
    """
    canvas = Canvas.of(image, enlarge)
    rows = _shown(detections, score_threshold)
    if overlay is not None:
        draw_beneath(canvas, overlay)
    _draw_boxes(canvas, detections, rows)
    _draw_labels(canvas, detections, rows)
    if overlay is not None:
        place_labels(canvas, overlay)
    return canvas.pixels


def draw_truths(
    image: Array, boxes: Array, class_ids: Array, class_names: tuple[str, ...], enlarge: bool = True
) -> Array:
    """Draw annotated boxes with the names of their classes, as `draw` does detections.

    `boxes` (n, 4) in pixels of the image; `class_ids` (n,) from 0, as in `Detections`.
    """
    canvas = Canvas.of(image, enlarge)
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
    canvas = Canvas.of(image)
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
    canvas = Canvas.of(image, enlarge=False)
    for mark in marks[::-1]:
        if not mark.is_dashed:
            canvas.solid_box(mark.box, mark.colour)
    for mark in marks[::-1]:
        if mark.is_dashed:
            canvas.dashed_box(mark.box, mark.colour)
    lettered = [mark for mark in marks if mark.words]
    _write_labels(canvas, Lettering.of(mark.words for mark in lettered), lettered)
    return canvas.pixels


def _shown(detections: Detections, score_threshold: float) -> Array:
    """Choose the detections to draw, best first."""
    rows = np.flatnonzero(detections.scores >= score_threshold)
    return rows[np.argsort(-detections.scores[rows], kind="stable")]


def _draw_boxes(canvas: Canvas, detections: Detections, rows: Array) -> None:
    for row in rows[::-1]:
        canvas.solid_box(detections.boxes[row], class_colour(int(detections.class_ids[row])))


def _draw_labels(
    canvas: Canvas, detections: Detections, rows: Array, with_scores: bool = True
) -> None:
    labels = []
    for row in rows:
        class_id = int(detections.class_ids[row])
        words = detections.class_names[class_id]
        if detections.track_ids is not None and detections.track_ids[row] > 0:
            words = f"{words} #{detections.track_ids[row]}"
        elif with_scores:
            words = f"{words} {detections.scores[row]:.2f}"
        labels.append(Mark(detections.boxes[row], words, class_colour(class_id)))
    _write_labels(canvas, Lettering.of(detections.class_names), labels)


def _write_labels(canvas: Canvas, lettering: Lettering, marks: Sequence[Mark]) -> None:
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

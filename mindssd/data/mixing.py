"""Training images made of several: mosaics, and objects pasted from one image into another."""

from collections.abc import Sequence

import numpy as np

from mindssd.data.windows import Colour, Picture, Window, render, truths_in_window
from mindssd.images import canvas_size
from mindssd.types import Array, ImageSize

MOSAIC_SPLIT = (0.3, 0.7)
"""Where the four images of a mosaic meet, as shares of its sides."""

PASTED_SHARE = 0.5
"""An object of the source is pasted with this probability: the paper's random subset."""

PASTE_TRIALS = 10
"""So many places are drawn for an object; where none will do it is left out."""


def mosaic(
    pictures: Sequence[Picture],
    size: ImageSize,
    fill: Colour,
    rng: np.random.Generator,
    keeps_aspect: bool = False,
) -> Picture:
    """Show parts of four pictures beside each other at `size` (arXiv:2004.10934, figure 3).

    Each shows what fits its quarter with both sides scaled alike, from so small that the longer
    share of the picture is seen whole up to as large as the picture alone would be. A picture with
    truths shows the centre of one of them at least; those whose centre is lost are dropped, the
    others clipped. Without truths any part will do. With `keeps_aspect` a picture is one that has
    the shape of `size`, for `fill` at its right or below.
    """
    height, width = size
    x, y = (round(side * rng.uniform(*MOSAIC_SPLIT)) for side in (width, height))
    quarters = ((0, 0, x, y), (x, 0, width, y), (0, y, x, height), (x, y, width, height))
    image = np.empty((height, width, 3), np.uint8)
    boxes, labels = [], []
    for picture, (x1, y1, x2, y2) in zip(pictures, quarters, strict=True):
        share = ((x2 - x1) / width, (y2 - y1) / height)
        seen = (picture.image.shape[0], picture.image.shape[1])
        window = _part(picture, canvas_size(seen, size) if keeps_aspect else seen, share, rng)
        kept, kept_labels = truths_in_window(picture.boxes, picture.labels, window)
        shown, kept = render(picture.image, kept, window, (y2 - y1, x2 - x1), fill)
        image[y1:y2, x1:x2] = shown
        boxes.append(kept + np.array([x1, y1] * 2, np.float32))
        labels.append(kept_labels)
    return Picture(image, np.concatenate(boxes), np.concatenate(labels))


def copy_paste(
    picture: Picture,
    source: Picture,
    scale: tuple[float, float],
    max_cover: float,
    rng: np.random.Generator,
) -> Picture:
    """Paste a random half of a source's objects somewhere into a picture.

    After arXiv:2012.07177, with boxes for masks: an object's whole rectangle is pasted, its height
    and width times `scale`, unless that is larger than the picture. All truths whose centre the
    rectangle holds come with it, clipped. Of no truth that was there, or was pasted before, may
    more than `max_cover` be covered; as that is a share of the truth, no IoU with it is larger. A
    source without truths gives none.
    """
    image = picture.image.copy()
    boxes, labels = picture.boxes, picture.labels
    covered = np.zeros(len(boxes))
    for index in np.flatnonzero(rng.random(len(source.boxes)) < PASTED_SHARE):
        patch = _cut_out(source, source.boxes[index], scale)
        height, width = patch.image.shape[:2]
        room = np.array([image.shape[1] - width, image.shape[0] - height])
        if room.min() < 0:
            continue
        corners = np.floor(rng.random((PASTE_TRIALS, 2)) * (room + 1)).astype(np.int64)
        shares = covered + _shares_covered(boxes, corners, (width, height))  # (T, n)
        good = (shares <= max_cover).all(axis=1)
        if not good.any():
            continue
        trial = int(good.argmax())
        x, y = corners[trial].tolist()
        image[y : y + height, x : x + width] = patch.image
        boxes = np.concatenate([boxes, patch.boxes + np.array([x, y] * 2, np.float32)])
        labels = np.concatenate([labels, patch.labels])
        covered = np.concatenate([shares[trial], np.zeros(len(patch.labels))])
    return Picture(image, boxes, labels)


def _part(
    picture: Picture, seen: ImageSize, share: tuple[float, float], rng: np.random.Generator
) -> Window:
    """Choose the window of a picture that a quarter shows, which has this `share` of both sides.

    `seen` is the size that the picture alone would be shown with, its own or one of more below or
    at the right. Where the window is larger than the picture it begins with it.
    """
    scale = rng.uniform(max(share), 1)
    sides = np.array([picture.image.shape[1], picture.image.shape[0]])  # x, y
    extent = np.maximum((np.array(seen[::-1]) * share / scale).round().astype(np.int64), 1)
    low, high = np.zeros(2, np.int64), np.maximum(sides - extent, 0)
    if len(picture.boxes):
        x1, y1, x2, y2 = picture.boxes[int(rng.integers(len(picture.boxes)))].astype(np.float64)
        centre = np.array([x1 + x2, y1 + y2]) / 2
        # Those that hold the centre within them, as `holds_centre` has it.
        low = np.clip(np.floor(centre - extent).astype(np.int64) + 1, 0, high)
        high = np.clip(np.ceil(centre).astype(np.int64) - 1, low, high)
    left, top = rng.integers(low, high, endpoint=True).tolist()
    return left, top, left + int(extent[0]), top + int(extent[1])


def _cut_out(source: Picture, box: Array, scale: tuple[float, float]) -> Picture:
    """Cut out a box with all that is in it, and scale its height and width."""
    height, width = source.image.shape[:2]
    x1, y1 = (int(value) for value in np.floor(box[:2]))
    x2, y2 = (int(value) for value in np.ceil(box[2:]))
    x1, y1 = min(max(x1, 0), width - 1), min(max(y1, 0), height - 1)
    window = (x1, y1, max(min(x2, width), x1 + 1), max(min(y2, height), y1 + 1))
    new_height = max(1, round((window[3] - y1) * scale[0]))
    new_width = max(1, round((window[2] - x1) * scale[1]))
    boxes, labels = truths_in_window(source.boxes, source.labels, window)
    black = (0.0, 0.0, 0.0)  # never seen: the window lies within the image
    image, boxes = render(source.image, boxes, window, (new_height, new_width), black)
    return Picture(image, boxes, labels)


def _shares_covered(boxes: Array, corners: Array, extent: tuple[int, int]) -> Array:
    """Tell which share of boxes (n, 4) rectangles of one extent (x, y) cover: (T, n).

    `corners` (T, 2) are their upper left ones.
    """
    inner = np.float64(1)
    for axis, side in enumerate(extent):
        low, high = corners[:, axis, None], corners[:, axis, None] + side
        inner = inner * np.clip(
            np.minimum(boxes[:, 2 + axis], high) - np.maximum(boxes[:, axis], low), 0, None
        )
    area = (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])
    return np.asarray(inner / np.maximum(area, np.finfo(np.float32).tiny))

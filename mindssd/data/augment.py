"""Random changes of a training image and its truths (arXiv:1512.02325, section 2.2 and 3.6).

Cropping, zooming out and scaling all choose a window, which may reach beyond the image. The window
is rendered at the network's size in one step, and all that remains is done on that small uint8
image. Every function is pure; randomness comes in as `rng`.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from mindssd.data.colour import blur, jitter_colour
from mindssd.data.mixing import mosaic
from mindssd.data.windows import (
    Colour,
    Picture,
    Window,
    holds_centre,
    render,
    scale_window,
    truths_in_window,
    widened,
    zoom_out,
)
from mindssd.geometry.boxes import pairwise_iou
from mindssd.types import Array, ImageSize

CROP_IOU_SLACK = 0.2
"""Of the reference: a crop that cuts a truth is refused if it shows another this much better."""


@dataclass(frozen=True)
class Augmentation:
    """What may happen to a training image; the defaults are the reference's.

    `min_iou_crop` draws one of `crop_min_ious`, then up to `crop_trials` windows with sides of
    `crop_scale` of the image's and height : width in `crop_aspect`. `zoom_out` puts the image
    somewhere on a canvas of up to `zoom_out_max` times its sides; `scale_jitter` enlarges (over 1)
    or shrinks what is seen. Rotations are by quarter turns. Colour factors are uniform in
    1 ± `brightness`, and so on; 0 leaves that colour property alone. `hue` is a share of the colour
    circle. `copy_paste` and `mosaic` need other images, which `TrainingSamples` reads; a pasted
    object covers at most `copy_paste_cover` of a truth.
    """

    crop_probability: float = 5 / 6  # the paper's sixth choice is the whole image
    crop_min_ious: tuple[float, ...] = (0.1, 0.3, 0.5, 0.7, 0.9)
    crop_trials: int = 50
    crop_scale: tuple[float, float] = (0.3, 1.0)
    crop_aspect: tuple[float, float] = (0.5, 2.0)
    zoom_out_probability: float = 0.0
    zoom_out_max: float = 4.0
    scale_jitter_probability: float = 0.0
    scale_jitter: tuple[float, float] = (0.8, 1.25)
    flip_probability: float = 0.5
    vertical_flip_probability: float = 0.0
    rotate_probability: float = 0.0
    colour_probability: float = 1.0
    brightness: float = 0.4
    contrast: float = 0.4
    saturation: float = 0.4
    hue: float = 0.0
    blur_probability: float = 0.0
    blur_sigma: tuple[float, float] = (0.1, 2.0)
    mosaic_probability: float = 0.0
    copy_paste_probability: float = 0.0
    copy_paste_cover: float = 0.3


def happens(probability: float, rng: np.random.Generator) -> bool:
    """Draw whether a thing happens; what never does draws no number.

    So what came later than MindCV's changes leaves theirs as they were, while it is off.
    """
    return probability > 0 and rng.random() < probability


def augment(
    image: Array,
    boxes: Array,
    labels: Array,
    size: ImageSize,
    augmentation: Augmentation,
    fill: Colour,
    rng: np.random.Generator,
    keeps_aspect: bool = False,
    others: Sequence[Picture] = (),
) -> Picture:
    """Change an image and its truths at random, and bring them to the network's size.

    `image` (H, W, 3) uint8, `boxes` (n, 4) in its pixels, `labels` (n,). Gives the image as
    (*size, 3) uint8, the m ≤ n truths whose centre it still shows, clipped, in its pixels, and
    their labels. `fill` is the colour around a zoomed-out image. With `keeps_aspect` more is shown
    at the right or below, until what is seen has the shape of `size`. n = 0 is background. With
    three `others` it is a mosaic of the four, in place of cropping, zooming and scaling.
    """
    window = None
    if not others:
        window = choose_window((image.shape[0], image.shape[1]), boxes, augmentation, rng)
    turns = int(rng.integers(1, 4)) if rng.random() < augmentation.rotate_probability else 0
    # A quarter turn exchanges the sides, so render those of before it.
    rendered_size = size if turns % 2 == 0 else (size[1], size[0])
    if window is None:
        pictures = [Picture(image, boxes, labels), *others]
        image, boxes, labels = mosaic(pictures, rendered_size, fill, rng, keeps_aspect)
    else:
        if keeps_aspect:
            window = widened(window, rendered_size)
        boxes, labels = truths_in_window(boxes, labels, window)
        image, boxes = render(image, boxes, window, rendered_size, fill)
    if turns:
        image, boxes = rotate(image, boxes, turns)
    if rng.random() < augmentation.flip_probability:
        image, boxes = flip(image, boxes)
    if rng.random() < augmentation.vertical_flip_probability:
        image, boxes = flip_vertically(image, boxes)
    if rng.random() < augmentation.colour_probability:
        strengths = augmentation.brightness, augmentation.contrast, augmentation.saturation
        image = jitter_colour(image, rng, *strengths, augmentation.hue)
    if happens(augmentation.blur_probability, rng):
        image = blur(image, rng.uniform(*augmentation.blur_sigma))
    return Picture(image, boxes, labels)


def choose_window(
    size: ImageSize, boxes: Array, augmentation: Augmentation, rng: np.random.Generator
) -> Window:
    """Choose the part of an image of `size` that is shown: zoom out, then crop, then scale.

    Scaling that would lose the last truth is not done.
    """
    window = (0, 0, size[1], size[0])
    if rng.random() < augmentation.zoom_out_probability:
        window = zoom_out(window, augmentation.zoom_out_max, rng)
    if rng.random() < augmentation.crop_probability:
        window = min_iou_crop(window, boxes, augmentation, rng)
    if rng.random() < augmentation.scale_jitter_probability:
        scaled = scale_window(window, rng.uniform(*augmentation.scale_jitter), rng)
        if not len(boxes) or holds_centre(np.array([scaled]), boxes).any():
            window = scaled
    return window


def min_iou_crop(
    window: Window, boxes: Array, augmentation: Augmentation, rng: np.random.Generator
) -> Window:
    """Draw parts of a window until one shows the truths well enough, and give that one.

    As in the reference: it must hold a truth's centre, and not overlap one truth with an IoU below
    the drawn minimum while it overlaps another with more than the minimum + 0.2. Without truths any
    part will do. If no trial succeeds the window comes back as it is.
    """
    minimum = augmentation.crop_min_ious[int(rng.integers(len(augmentation.crop_min_ious)))]
    # All trials at once: (T, 4), the first that succeeds counts.
    draws = rng.random((augmentation.crop_trials, 4))
    lowest_scale, highest_scale = augmentation.crop_scale
    extent = np.array([window[2] - window[0], window[3] - window[1]])
    sides = (lowest_scale + (highest_scale - lowest_scale) * draws[:, :2]) * extent
    corner = np.array(window[:2]) + draws[:, 2:] * (extent - sides)
    trials = np.concatenate([corner, corner + sides], axis=1).astype(np.int32)
    aspect = sides[:, 1] / sides[:, 0]
    good = (aspect >= augmentation.crop_aspect[0]) & (aspect <= augmentation.crop_aspect[1])
    good &= (trials[:, 2:] > trials[:, :2]).all(axis=1)
    if len(boxes):
        ious = pairwise_iou(trials.astype(np.float32), boxes)  # (T, n)
        worst = np.where(ious > 0, ious, 2).min(axis=1)
        good &= (worst >= minimum) | (ious.max(axis=1) <= minimum + CROP_IOU_SLACK)
        good &= holds_centre(trials, boxes).any(axis=1)
    if not good.any():
        return window
    x1, y1, x2, y2 = trials[int(good.argmax())].tolist()
    return x1, y1, x2, y2


def flip(image: Array, boxes: Array) -> tuple[Array, Array]:
    """Mirror an image and its boxes left to right. Its own inverse."""
    width = np.float32(image.shape[1])
    x1, y1, x2, y2 = boxes.T
    return cv2.flip(image, 1), np.stack([width - x2, y1, width - x1, y2], axis=1)


def flip_vertically(image: Array, boxes: Array) -> tuple[Array, Array]:
    """Mirror an image and its boxes top to bottom. Its own inverse."""
    height = np.float32(image.shape[0])
    x1, y1, x2, y2 = boxes.T
    return cv2.flip(image, 0), np.stack([x1, height - y2, x2, height - y1], axis=1)


def rotate(image: Array, boxes: Array, turns: int) -> tuple[Array, Array]:
    """Turn an image and its boxes clockwise by 1, 2 or 3 quarter turns."""
    codes = {1: cv2.ROTATE_90_CLOCKWISE, 2: cv2.ROTATE_180, 3: cv2.ROTATE_90_COUNTERCLOCKWISE}
    height, width = (np.float32(side) for side in image.shape[:2])
    x1, y1, x2, y2 = boxes.T
    turned = {
        1: (height - y2, x1, height - y1, x2),
        2: (width - x2, height - y2, width - x1, height - y1),
        3: (y1, width - x2, y2, width - x1),
    }[turns]
    return cv2.rotate(image, codes[turns]), np.stack(turned, axis=1)

"""Random changes of a training image and its truths (arXiv:1512.02325, section 2.2 and 3.6).

Cropping, zooming out and scaling all choose a window: (x1, y1, x2, y2) in whole pixels of the
image, which may reach beyond it. The window is rendered at the network's size in one step, and all
that remains is done on that small uint8 image. Every function is pure; randomness comes in as
`rng`.
"""

from dataclasses import dataclass

import cv2
import numpy as np

from mindssd.geometry.boxes import pairwise_iou
from mindssd.images import canvas_size, resize
from mindssd.types import Array, ImageSize

Window = tuple[int, int, int, int]
Colour = tuple[float, float, float]

CROP_IOU_SLACK = 0.2
"""Of the reference: a crop that cuts a truth is refused if it shows another this much better."""


@dataclass(frozen=True)
class Augmentation:
    """What may happen to a training image; the defaults are the reference's.

    `min_iou_crop` draws one of `crop_min_ious`, then up to `crop_trials` windows with sides of
    `crop_scale` of the image's and height : width in `crop_aspect`. `zoom_out` puts the image
    somewhere on a canvas of up to `zoom_out_max` times its sides; `scale_jitter` enlarges (over 1)
    or shrinks what is seen. Rotations are by quarter turns. Colour factors are uniform in
    1 ± `brightness`, and so on; 0 leaves that colour property alone.
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


def augment(
    image: Array,
    boxes: Array,
    labels: Array,
    size: ImageSize,
    augmentation: Augmentation,
    fill: Colour,
    rng: np.random.Generator,
    keeps_aspect: bool = False,
) -> tuple[Array, Array, Array]:
    """Change an image and its truths at random, and bring them to the network's size.

    `image` (H, W, 3) uint8, `boxes` (n, 4) in its pixels, `labels` (n,). Gives the image as
    (*size, 3) uint8, the m ≤ n truths whose centre it still shows, clipped, in its pixels, and
    their labels. `fill` is the colour around a zoomed-out image. With `keeps_aspect` more is shown
    at the right or below, until what is seen has the shape of `size`. n = 0 is background.
    """
    window = choose_window((image.shape[0], image.shape[1]), boxes, augmentation, rng)
    turns = int(rng.integers(1, 4)) if rng.random() < augmentation.rotate_probability else 0
    # A quarter turn exchanges the sides, so render those of before it.
    rendered_size = size if turns % 2 == 0 else (size[1], size[0])
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
        image = jitter_colour(image, augmentation, rng)
    return image, boxes, labels


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
        if not len(boxes) or _holds_centre(np.array([scaled]), boxes).any():
            window = scaled
    return window


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
        good &= _holds_centre(trials, boxes).any(axis=1)
    if not good.any():
        return window
    x1, y1, x2, y2 = trials[int(good.argmax())].tolist()
    return x1, y1, x2, y2


def truths_in_window(boxes: Array, labels: Array, window: Window) -> tuple[Array, Array]:
    """Keep the truths whose centre lies within the window, clipped to it; still in image pixels."""
    kept = _holds_centre(np.array([window]), boxes)[0]
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


def jitter_colour(image: Array, augmentation: Augmentation, rng: np.random.Generator) -> Array:
    """Change brightness, contrast and saturation by random factors, in a random order.

    As MindSpore's RandomColorAdjust does it for the reference: rounded and limited to 0..255 after
    each, so the order decides what a bright image loses.
    """
    changes = (
        (adjust_brightness, augmentation.brightness),
        (adjust_contrast, augmentation.contrast),
        (adjust_saturation, augmentation.saturation),
    )
    for index in rng.permutation(len(changes)):
        change, strength = changes[index]
        image = change(image, rng.uniform(max(0, 1 - strength), 1 + strength))
    return image


def adjust_brightness(image: Array, factor: float) -> Array:
    """Scale an RGB image, (H, W, 3) uint8."""
    return cv2.convertScaleAbs(image, alpha=factor)


def adjust_contrast(image: Array, factor: float) -> Array:
    """Scale an RGB image's distance from its mean grey. (H, W, 3) uint8."""
    mean = cv2.mean(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY))[0]
    levels = np.arange(256) * factor + (1 - factor) * mean
    return cv2.LUT(image, levels.round().clip(0, 255).astype(np.uint8))


def adjust_saturation(image: Array, factor: float) -> Array:
    """Scale an RGB image's distance from its grey, pixel by pixel. (H, W, 3) uint8."""
    greys = cv2.cvtColor(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY), cv2.COLOR_GRAY2RGB)
    return cv2.addWeighted(image, factor, greys, 1 - factor, 0)


def _holds_centre(windows: Array, boxes: Array) -> Array:
    """Tell which windows (T, 4) hold which boxes' (n, 4) centres: (T, n) bool."""
    centres = (boxes[:, :2] + boxes[:, 2:]) / 2
    after = (centres > windows[:, None, :2]).all(axis=2)
    before = (centres < windows[:, None, 2:]).all(axis=2)
    return np.asarray(after & before)

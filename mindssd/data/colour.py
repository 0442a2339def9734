"""Random changes of an image's colours and sharpness; each leaves its truths where they are."""

from collections.abc import Callable

import cv2
import numpy as np

from mindssd.types import Array


def jitter_colour(
    image: Array,
    rng: np.random.Generator,
    brightness: float,
    contrast: float,
    saturation: float,
    hue: float = 0.0,
) -> Array:
    """Change brightness, contrast, saturation and hue by random amounts, in a random order.

    As MindSpore's RandomColorAdjust does it for the reference, which leaves the hue: rounded and
    limited to 0..255 after each, so the order decides what a bright image loses. Factors are within
    1 ± the strength, the hue turns by up to ± `hue` of the circle. A hue of 0 draws no number.
    """
    changes: list[tuple[Callable[[Array, float], Array], float, float]] = [
        (adjust_brightness, max(0, 1 - brightness), 1 + brightness),
        (adjust_contrast, max(0, 1 - contrast), 1 + contrast),
        (adjust_saturation, max(0, 1 - saturation), 1 + saturation),
    ]
    if hue > 0:
        changes.append((adjust_hue, -hue, hue))
    for index in rng.permutation(len(changes)):
        change, low, high = changes[index]
        image = change(image, rng.uniform(low, high))
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


def adjust_hue(image: Array, turn: float) -> Array:
    """Turn an RGB image's hues by a share of the colour circle. (H, W, 3) uint8.

    Greys stay; in 8 bits others come back from a whole turn within a few levels of 255.
    """
    levels = round(turn * 256) % 256
    if levels == 0:
        return image
    hsv = cv2.cvtColor(image, cv2.COLOR_RGB2HSV_FULL)
    hsv[:, :, 0] = hsv[:, :, 0] + np.uint8(levels)  # 8 bits wrap around, as the circle does
    return cv2.cvtColor(hsv, cv2.COLOR_HSV2RGB_FULL)


def blur(image: Array, sigma: float) -> Array:
    """Smooth an image by a Gaussian of `sigma` pixels; the border mirrors. (H, W, 3) uint8."""
    return cv2.GaussianBlur(image, (0, 0), sigma)

"""A colour for each class, told apart on any picture."""

import math
from functools import lru_cache

import numpy as np

from mindssd.types import Array

Colour = tuple[int, int, int]
"""Red, green, blue in 0..255."""

WHITE: Colour = (255, 255, 255)

INK: Colour = (22, 24, 28)

_GOLDEN_ANGLE = 137.508
_LIGHTNESSES = (0.66, 0.70, 0.74, 0.78)  # seen on white and on black, under dark letters
_STRONGEST_CHROMA = 20  # in hundredths: beyond, yellow and green would outshine the rest


@lru_cache(maxsize=1024)
def class_colour(class_id: int) -> Colour:
    """Give a class its colour, always the same: hues a golden angle apart, as vivid as they can be.

    Chosen in OKLCH, where equal steps look equal (Björn Ottosson, "A perceptual color space for
    image processing", 2020). Hues come close again after eight classes; then lightness differs.
    """
    hue = math.radians((250.0 + _GOLDEN_ANGLE * class_id) % 360)  # blue, red, green, violet, amber
    chroma, lightness = max((_most_chroma(value, hue), value) for value in _LIGHTNESSES)
    lightness += (0.0, 0.07, -0.07)[class_id // 8 % 3]
    chroma = min(chroma, _most_chroma(lightness, hue))
    linear = _oklch_to_linear(lightness, chroma, hue)
    gamma = np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)
    red, green, blue = (round(255 * float(value)) for value in gamma)
    return red, green, blue


def text_colour(background: Colour) -> Colour:
    """Choose ink or white, whichever has the higher contrast (WCAG 2.1) on a background."""
    luminance = _luminance(background)
    on_white = (_luminance(WHITE) + 0.05) / (luminance + 0.05)
    on_ink = (luminance + 0.05) / (_luminance(INK) + 0.05)
    return WHITE if on_white > on_ink else INK


def _most_chroma(lightness: float, hue: float) -> float:
    """Find the strongest colour of a lightness and hue that a screen has."""
    for hundredths in range(_STRONGEST_CHROMA, 0, -1):
        linear = _oklch_to_linear(lightness, hundredths / 100, hue)
        if ((linear >= 0) & (linear <= 1)).all():
            return hundredths / 100
    return 0.0


def _oklch_to_linear(lightness: float, chroma: float, hue: float) -> Array:
    """OKLCH to linear red, green, blue; outside 0..1 where a screen has no such colour."""
    a, b = chroma * math.cos(hue), chroma * math.sin(hue)
    cubes = (
        np.array(
            [
                lightness + 0.3963377774 * a + 0.2158037573 * b,
                lightness - 0.1055613458 * a - 0.0638541728 * b,
                lightness - 0.0894841775 * a - 1.2914855480 * b,
            ]
        )
        ** 3
    )
    to_linear = np.array(
        [
            [4.0767416621, -3.3077115913, 0.2309699292],
            [-1.2684380046, 2.6097574011, -0.3413193965],
            [-0.0041960863, -0.7034186147, 1.7076147010],
        ]
    )
    return np.asarray(to_linear @ cubes)


def _luminance(colour: Colour) -> float:
    """Relative luminance, 0 of black to 1 of white (WCAG 2.1)."""
    values = np.array(colour) / 255
    linear = np.where(values <= 0.04045, values / 12.92, ((values + 0.055) / 1.055) ** 2.4)
    return float(linear @ np.array([0.2126, 0.7152, 0.0722]))

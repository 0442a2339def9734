"""The water, the light and the sea floor of the demo data set."""

from dataclasses import dataclass

import cv2
import numpy as np

from mindssd.demo.sketch import Colour, mix, noise, step, thrice
from mindssd.types import Array, ImageSize


@dataclass(frozen=True)
class Water:
    """The colours of one place's water near the surface and in the deep, and of its sand."""

    surface: Colour
    deep: Colour
    sand: Colour


WATERS: tuple[Water, ...] = (
    Water((0.36, 0.80, 0.84), (0.03, 0.27, 0.46), (0.88, 0.80, 0.62)),  # tropical
    Water((0.24, 0.62, 0.88), (0.02, 0.12, 0.36), (0.72, 0.72, 0.66)),  # blue
    Water((0.44, 0.78, 0.64), (0.04, 0.26, 0.28), (0.76, 0.74, 0.52)),  # lagoon
    Water((0.44, 0.54, 0.82), (0.09, 0.08, 0.28), (0.66, 0.60, 0.62)),  # dusk
    Water((0.50, 0.84, 0.92), (0.10, 0.42, 0.62), (0.95, 0.88, 0.74)),  # shallow
)


def draw_water(rng: np.random.Generator, size: ImageSize, water: Water) -> Array:
    """Paint open water with sunbeams and far reefs: (H, W, 3) float32."""
    height, width = size
    rows = np.linspace(0, 1, height, dtype=np.float32)[:, None]
    murk = noise(rng, size, cell=width / 2.5, octaves=4)
    image = mix(water.surface, water.deep, np.clip(rows**0.8 + 0.09 * murk, 0, 1))
    for layer in range(int(rng.integers(0, 3))):
        ridge = noise(rng, (1, width), cell=width / rng.uniform(3, 6), octaves=5)
        crest = rng.uniform(0.5, 0.68) + 0.12 * layer + 0.14 * ridge
        far = mix(water.surface, water.deep, 0.72 + 0.14 * layer) * thrice(0.94 + 0.08 * murk)
        image = mix(image, far, step(rows - crest, 0.0, 0.012) * 0.8)
    return image + mix((0, 0, 0), (0.85, 1.0, 0.95), sunbeams(rng, size))


def sunbeams(rng: np.random.Generator, size: ImageSize) -> Array:
    """Spread beams from a point above the image, fading with depth: (H, W) float32."""
    height, width = size
    sun_x, sun_y = rng.uniform(-0.2, 1.2) * width, -rng.uniform(0.4, 0.9) * height
    rows = np.arange(height, dtype=np.float32)[:, None]
    columns = np.arange(width, dtype=np.float32)
    bearing = np.arctan2(columns - np.float32(sun_x), rows - np.float32(sun_y))
    profile = noise(rng, (1, 512), cell=rng.uniform(26, 48), octaves=3)
    places = (bearing + np.float32(np.pi / 2)) * np.float32(511 / np.pi)
    beams = cv2.remap(profile, places, np.zeros_like(places), cv2.INTER_LINEAR)
    fading = np.clip(1 - rows / (height * rng.uniform(0.7, 1.1)), 0, 1)
    brightness: Array = np.maximum(beams, 0) * fading * np.float32(rng.uniform(0.12, 0.42))
    return brightness


def caustics(rng: np.random.Generator, size: ImageSize) -> Array:
    """Make the net of light that waves cast on the floor: (H, W) float32 in 0..1."""
    bends = noise(rng, size, cell=34, octaves=2, stretch=0.55)
    more = noise(rng, size, cell=22, octaves=2, stretch=0.55)
    lines: Array = np.maximum(1 - 3.2 * np.abs(bends), 0) ** 2
    lines += 0.7 * np.maximum(1 - 3.6 * np.abs(more), 0) ** 2
    brightest: Array = np.minimum(lines, 1)
    return brightest


def floor_line(rng: np.random.Generator, size: ImageSize, level: float) -> Array:
    """Give the row where the sea floor begins, about `level` of the height: (W,)."""
    height, width = size
    dunes = noise(rng, (1, width), cell=width / rng.uniform(1.2, 3.0), octaves=3)[0]
    line: Array = height * (level + 0.05 * dunes)
    return line


def lay_floor(
    rng: np.random.Generator, image: Array, line: Array, water: Water, light: Array
) -> Array:
    """Cover what lies below `line` (W,) with rippled sand and pebbles, hazy where far off."""
    height, width = image.shape[:2]
    below = np.arange(height, dtype=np.float32)[:, None] - line.astype(np.float32)
    nearness = np.clip(below / (0.42 * height), 0, 1)
    ripples = np.sin(
        np.sqrt(np.maximum(below, 0) + 4) * rng.uniform(3.0, 5.0)
        + 2.2 * noise(rng, (height, width), cell=60, octaves=2)
    )
    grain = noise(rng, (height, width), cell=5, octaves=2, stretch=0.6)
    patches = noise(rng, (height, width), cell=90, octaves=3, stretch=0.4)
    tone = (
        0.72 + 0.05 * ripples + 0.055 * grain * nearness + 0.09 * patches + 0.30 * light * nearness
    )
    sand = mix((0, 0, 0), water.sand, tone)
    haze = mix(water.surface, water.deep, 0.62)
    return mix(image, mix(haze, sand, 0.35 + 0.65 * nearness**0.7), step(below, -1.0, 1.6))

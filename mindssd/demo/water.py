"""What lies behind all else in the demo's pictures: water, far reefs, light and the sea floor."""

import numpy as np
from numpy.random import Generator

from mindssd.demo.sketch import mix, noise, step
from mindssd.types import Array, ImageSize

WATERS = (  # near the surface, in the deep, and the sand
    "5cccd6 084575 e0cc9e",  # tropical
    "3d9ee0 051f5c b8b8a8",  # blue
    "70c7a3 0a4247 c2bd85",  # lagoon
    "708ad1 171447 a8999e",  # dusk
    "80d6eb 1a6b9e f2e0bd",  # shallow
)


def draw_water(rng: Generator, size: ImageSize, surface: Array, deep: Array) -> Array:
    """Paint open water with far reefs and sunbeams: (3, H, W) float32."""
    height, width = size
    rows = np.linspace(0, 1, height, dtype=np.float32)[:, None]
    murk = noise(rng, size, height / 2, octaves=4)
    image = mix(surface, deep, np.clip(rows**0.8 + 0.09 * murk, 0, 1))
    for layer in range(rng.integers(0, 3)):
        ridge = noise(rng, (1, width), width / rng.uniform(3, 6), octaves=5)
        crest = rng.uniform(0.5, 0.68) + 0.12 * layer + 0.2 * ridge
        reef = mix(surface, deep, 0.72 + 0.14 * layer) * (0.94 + 0.08 * murk)
        image = mix(image, reef, 0.8 * step(rows - crest, 0, 0.012))
    # The beams spread from a point above the image, and fade with depth.
    columns = np.linspace(-1, 1, width) + rng.uniform(-1, 1)
    bearing = np.arctan2(columns, rows + rng.uniform(0.4, 0.9))  # -π/2..π/2
    profile = noise(rng, (1, 512), rng.uniform(26, 48), octaves=3)[0]
    beams = np.interp(bearing, np.linspace(-np.pi / 2, np.pi / 2, 512), profile)
    fading = np.maximum(1 - rows / rng.uniform(0.7, 1.1), 0) * rng.uniform(0.14, 0.48)
    return image + np.maximum(beams, 0).astype(np.float32) * fading


def lay_floor(rng: Generator, water: Array, line: Array, sand: Array, haze: Array) -> Array:
    """Cover what lies below `line` (W,) with rippled sand, hazy where far off."""
    size = height, _ = water[0].shape
    below = np.arange(height, dtype=np.float32)[:, None] - line
    near = np.clip(below / (0.42 * height), 0, 1)
    waves = np.sqrt(np.maximum(below, 0) + 4) * rng.uniform(3, 5)
    tone = 0.72 + 0.05 * np.sin(waves + 2.2 * noise(rng, size, 60, octaves=2))
    tone += 0.09 * noise(rng, size, 36, octaves=5, stretch=2.5)
    for cell in (19, 12):  # the net of light that waves cast
        net = np.maximum(1 - 3.2 * np.abs(noise(rng, size, cell, octaves=2, stretch=1.8)), 0)
        tone += 0.25 * near * net**2
    return mix(water, mix(haze, sand * tone, 0.35 + 0.65 * near**0.7), step(below, -1.0, 1.6))

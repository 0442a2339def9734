"""Composes the demo's pictures: a reef, its animals, and what is seen of each."""

from functools import cache
from typing import Any, NamedTuple

import cv2
import numpy as np
from numpy.random import Generator
from PIL import Image, ImageOps

from mindssd.demo.sketch import choose, mix, noise, to_bytes
from mindssd.demo.species import ANIMALS, PLANTS
from mindssd.demo.water import WATERS, draw_water, lay_floor
from mindssd.types import Array, ImageSize

SPLITS = ("train", "val")
LEAST_VISIBLE_SHARE = 0.35
"""An animal of which less than this is seen is left out of the picture."""

_PRESENCE = 0.3  # an animal's pixel counts where the animal covers at least this much of it
_TRANSMISSION = 0.5  # and where at least this much of it shines through what lies before it
_APART = 0.6  # of two animals' mean size, at least, horizontally or vertically
_FINENESS = 1.6  # pixels of an animal's drawing to one of the picture
_CRAWLERS = ("starfish", "crab")
_HOW_MANY = (0.16, 0.2, 0.2, 0.16, 0.12, 0.08, 0.05, 0.03)  # the probability of 1, 2, … animals
_SHADOW = ImageOps.invert(Image.radial_gradient("L")).point(lambda v: max(v - 80, 0) // 2).reduce(4)


class Truth(NamedTuple):
    """One animal of a picture: `class_name`, its visible pixels (H, W) bool, its visible share."""

    class_name: str
    visible: Array
    visible_share: float


class _Item(NamedTuple):
    """A plant or an animal in the picture, as far off as `distance` in 0..1."""

    name: str
    sprite: Image.Image
    centre: tuple[int, int]  # x, y
    distance: float


def draw_scene(split: str, index: int, seed: int, size: ImageSize) -> tuple[Array, list[Truth]]:
    """Draw picture `index` (from 0) of a split, "train" or "val", `size` as (height, width).

    Gives the picture (H, W, 3) uint8 RGB and its truths, the nearest first.
    """
    rng = np.random.default_rng((seed, index, 1 + SPLITS.index(split)))
    height, width = size
    surface, deep, sand = choose(rng, *WATERS)
    level = rng.uniform(0.58, 0.86) if rng.random() < 0.8 else 1.05  # 1.05: no floor in sight
    dunes = noise(rng, (1, width), width / rng.uniform(1.2, 3), octaves=3)[0]
    line = height * (level + 0.07 * dunes)
    water = draw_water(rng, size, surface, deep)
    floor = lay_floor(rng, water, line, sand, haze=mix(surface, deep, 0.62))
    items = _plants(rng, size, line, seed) if level < 1 else []
    if index % 16 != 15:  # each split's last of 16 pictures shows no animal
        items += _animals(rng, size, line)
    haze = mix(surface, deep, np.linspace(0.25, 0.85, height, dtype=np.float32)[:, None])
    picture, truths = _compose(items, floor, haze)
    y, x = np.ogrid[-1 : 1 : height * 1j, -1 : 1 : width * 1j]
    vignette = 1 - rng.uniform(0.05, 0.16) * (x**2 + y**2) ** 1.3
    picture *= (rng.uniform(1.0, 1.25) * vignette).astype(np.float32)
    picture += rng.normal(0, rng.uniform(0.003, 0.014), size).astype(np.float32)
    image, softness = to_bytes(picture), rng.uniform(-0.5, 0.8)
    return cv2.GaussianBlur(image, (0, 0), softness) if softness > 0.35 else image, truths


@cache
def _plant_stock(seed: int, height: int) -> dict[str, list[Image.Image]]:
    """Draw the plants that pictures of this height choose from, ten of each kind."""
    rng = np.random.default_rng((seed, 0))
    return {name: [kind.draw(rng, height / 4) for _ in range(10)] for name, kind in PLANTS.items()}


def _plants(rng: Generator, size: ImageSize, line: Array, seed: int) -> list[_Item]:
    """Set plants on the floor, a few of them near enough to hide animals."""
    items, stock = [], _plant_stock(seed, size[0])
    for distance in 0.95 * rng.random(rng.integers(4, 12)) ** 0.6:
        in_front = distance < 0.4 and rng.random() < 0.7
        name = rng.choice(("kelp", "seagrass") if in_front else tuple(PLANTS))
        scale = (0.9 - 0.5 * distance) * rng.uniform(0.8, 1.3) * (1.8 if name == "kelp" else 1)
        sprite = ImageOps.scale(stock[name][rng.integers(10)], scale, Image.Resampling.BILINEAR)
        x = rng.integers(size[1])
        foot = 1.08 * size[0] + (line[x] - size[0]) * distance**1.1
        items.append(_Item(name, sprite, (x, int(foot) - sprite.height // 2), distance))
    return items


def _animals(rng: Generator, size: ImageSize, line: Array) -> list[_Item]:
    """Place one to eight animals, no two wholly over one another."""
    height, width = size
    names = [name for name in ANIMALS if line.mean() < 0.9 * height or name not in _CRAWLERS]
    if rng.random() < 0.2:  # a shoal
        names = [rng.choice(names)]
    items: list[_Item] = []
    for _ in range(1 + rng.choice(len(_HOW_MANY), p=_HOW_MANY)):
        name, share = rng.choice(names), np.exp(rng.uniform(np.log(0.18), np.log(0.66)))
        drawing = ANIMALS[name].draw(rng, _FINENESS * share * height / 2)
        sprite = ImageOps.scale(drawing, 1 / _FINENESS, Image.Resampling.BILINEAR)
        distance = np.clip(0.75 - 0.75 * share + rng.normal(0, 0.12), 0.02, 0.9)
        for _attempt in range(12):
            x, y = rng.uniform((0.06, 0.08), (0.94, 0.9)) * (width, height)
            if name in _CRAWLERS:
                y = rng.uniform(min(line[int(x)], height), height) - 0.3 * sprite.height
            item = _Item(name, sprite, (int(x), int(y)), distance)
            if all(_apart(item, other) for other in items):
                items.append(item)
                break
    return items


def _apart(first: _Item, second: _Item) -> bool:
    """Tell whether two animals are so far apart that neither hides much of the other."""
    away = np.abs(np.subtract(first.centre, second.centre))
    return bool((away >= _APART * np.add(first.sprite.size, second.sprite.size) / 2).any())


def _compose(items: list[_Item], background: Array, haze: Array) -> tuple[Array, list[Truth]]:
    """Lay items over a background (3, H, W), hazy where far off; tell what is seen of each animal.

    From the nearest to the farthest, so that one which is hardly seen is left out before it hides
    others. Gives the picture (3, H, W) and the truths.
    """
    picture, truths = np.zeros_like(background), []
    transmission, light = np.ones((2, *background[0].shape), np.float32)
    for item in sorted(items, key=lambda item: item.distance):
        window, (*colour, alpha) = _placed(item.sprite, item.centre, transmission.shape)
        is_animal = item.name in ANIMALS
        if is_animal:
            visible = np.zeros_like(transmission, np.bool_)
            visible[window] = (alpha >= _PRESENCE) & (transmission[window] >= _TRANSMISSION)
            whole = np.asarray(item.sprite)[..., 3] >= 255 * _PRESENCE
            share = float(visible.sum() / whole.sum())
            if share < LEAST_VISIBLE_SHARE:
                continue
            truths.append(Truth(item.name, visible, share))
        (x, y), (width, height) = item.centre, item.sprite.size
        veil = (0.42 if is_animal else 0.62) * item.distance
        veiled = mix(np.array(colour), haze[:, min(y, len(haze[0]) - 1), None], veil)
        picture[window] += veiled * (alpha * transmission[window] * light[window])
        transmission[window] *= 1 - alpha
        if not is_animal or item.name in _CRAWLERS:
            shadow = _SHADOW.resize((width * 3 // 2, height // 2 + 1))
            window, (dark,) = _placed(shadow, (x, y + height // 2), transmission.shape)
            light[window] *= 1 - dark
    return picture + background * (transmission * light), truths


def _placed(sprite: Image.Image, centre: tuple[int, int], size: ImageSize) -> tuple[Any, Array]:
    """Find the window of a picture that a sprite covers, and the sprite's bands (C, h, w) in it."""
    x, y = centre[0] - sprite.width // 2, centre[1] - sprite.height // 2
    bands = np.atleast_3d(np.asarray(sprite, np.float32)).transpose(2, 0, 1) / 255
    inside = np.s_[:, max(-y, 0) : max(size[0] - y, 0), max(-x, 0) : max(size[1] - x, 0)]
    window = np.s_[..., max(y, 0) : max(y + sprite.height, 0), max(x, 0) : max(x + sprite.width, 0)]
    return window, bands[inside]

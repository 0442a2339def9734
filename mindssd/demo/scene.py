"""Composes the pictures of the demo data set: a reef, its animals, and what is seen of each."""

from dataclasses import dataclass, replace

import cv2
import numpy as np

from mindssd.demo.animals import ANIMALS
from mindssd.demo.plants import PLANTS, Stock, take_plant
from mindssd.demo.sketch import Sprite, mix, noise, step, thrice
from mindssd.demo.water import WATERS, Water, caustics, draw_water, floor_line, lay_floor
from mindssd.types import Array, ImageSize

LEAST_VISIBLE_SHARE = 0.35
"""An animal of which less than this is seen is left out of the picture."""

_PRESENCE = 0.3  # an animal's pixel counts where the animal covers at least this much of it
_TRANSMISSION = 0.5  # and where at least this much of it shines through what lies before it
_MOST_OVERLAP = 0.4  # of the smaller of two animals' boxes


@dataclass(frozen=True)
class Truth:
    """One animal of a picture: `class_name`, its visible pixels (H, W) bool, its visible share."""

    class_name: str
    visible: Array
    visible_share: float

    @property
    def box(self) -> tuple[int, int, int, int]:
        """The smallest (x1, y1, x2, y2) in pixels that holds the visible pixels."""
        columns = np.flatnonzero(self.visible.any(axis=0))
        rows = np.flatnonzero(self.visible.any(axis=1))
        return int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1


@dataclass(frozen=True)
class Scene:
    """A picture (H, W, 3) uint8 RGB and its truths, the nearest last."""

    image: Array
    truths: tuple[Truth, ...]


@dataclass(frozen=True)
class _Item:
    """A sprite in the picture, its distance in 0..1, and its class if it is an animal."""

    sprite: Sprite
    left: int
    top: int
    distance: float
    class_name: str = ""
    on_floor: bool = False

    @property
    def box(self) -> tuple[int, int, int, int]:
        height, width = self.sprite.alpha.shape
        return self.left, self.top, self.left + width, self.top + height

    def windows(self, size: ImageSize) -> tuple[tuple[slice, slice], tuple[slice, slice]]:
        """Give the part of the picture that it covers, and its own part in the picture."""
        x1, y1, x2, y2 = self.box
        rows = slice(max(y1, 0), max(min(y2, size[0]), 0))
        columns = slice(max(x1, 0), max(min(x2, size[1]), 0))
        own = (
            slice(rows.start - y1, max(rows.stop, rows.start) - y1),
            slice(columns.start - x1, max(columns.stop, columns.start) - x1),
        )
        return (rows, columns), own


def draw_scene(
    rng: np.random.Generator, size: ImageSize, stock: Stock, with_animals: bool = True
) -> Scene:
    """Draw one picture of `size` (height, width) with plants of the stock.

    The generator and the stock alone decide what it shows.
    """
    water = WATERS[int(rng.integers(len(WATERS)))]
    image = draw_water(rng, size, water)
    light = caustics(rng, size)
    level = float(rng.uniform(0.58, 0.86) if rng.random() < 0.8 else rng.uniform(1.0, 1.1))
    line = floor_line(rng, size, level)
    image = lay_floor(rng, image, line, water, light)
    items = _plants(rng, size, line, stock)
    if with_animals:
        items += _animals(rng, size, line)
    items.sort(key=lambda item: -item.distance)
    items, truths = _seen(items, size)
    for item in items:
        _lay(image, item, water)
    return Scene(_finish(rng, image, light, line), truths)


def _plants(rng: np.random.Generator, size: ImageSize, line: Array, stock: Stock) -> list[_Item]:
    """Set rocks, corals and plants on the floor, a few of them near enough to hide animals."""
    height, width = size
    items = []
    names = list(PLANTS)
    rooted = line.mean() < height
    num_far = int(rng.integers(3, 9)) if rooted else 0
    num_near = int(rng.integers(0, 4)) if rooted else int(rng.integers(0, 2))
    for k in range(num_far + num_near):
        near = k >= num_far
        distance = float(rng.uniform(0.05, 0.3) if near else rng.uniform(0.5, 0.95))
        tall = ("kelp", "seagrass")
        name = str(rng.choice(tall)) if near and rng.random() < 0.7 else str(rng.choice(names))
        extent = height * (0.2 + 0.26 * (1 - distance)) * rng.uniform(0.8, 1.3)
        if name == "kelp":
            extent *= 2.0
        sprite = take_plant(rng, stock, name, float(extent))
        sprite_height, sprite_width = sprite.alpha.shape
        centre = rng.uniform(0.0, 1.0) * width
        ground = float(line[int(np.clip(centre, 0, width - 1))])
        base = ground + (height * 1.04 - ground) * (1 - distance) ** 0.9 + 0.05 * height
        if near:
            base = height * rng.uniform(0.98, 1.12)
        left, top = int(centre - sprite_width / 2), int(base - sprite_height)
        items.append(_Item(sprite, left, top, distance, on_floor=True))
    return items


def _animals(rng: np.random.Generator, size: ImageSize, line: Array) -> list[_Item]:
    """Place one to eight animals, no two wholly over one another."""
    height, width = size
    swimmers = ("fish", "jellyfish", "turtle")
    names = list(ANIMALS) if line.mean() < 0.9 * height else list(swimmers)
    items: list[_Item] = []
    wanted = int(rng.choice(np.arange(1, 9), p=[0.16, 0.2, 0.2, 0.16, 0.12, 0.08, 0.05, 0.03]))
    shoal = str(rng.choice(names)) if rng.random() < 0.2 else ""
    crowding = 1.0 - 0.05 * max(wanted - 3, 0)
    for _ in range(wanted):
        name = shoal or str(rng.choice(names))
        crawls = name not in swimmers
        share = np.exp(rng.uniform(np.log(0.24), np.log(0.68))) * crowding
        if rng.random() < 0.06:
            share = rng.uniform(0.11, 0.16)
        sprite = ANIMALS[name](rng, float(np.clip(share * height, 26, 0.75 * height))).trimmed()
        sprite_height, sprite_width = sprite.alpha.shape
        for _attempt in range(12):
            x = rng.uniform(0.06, 0.94) * width
            ground = float(line[int(np.clip(x, 0, width - 1))])
            if crawls:
                y = rng.uniform(ground, height) - 0.3 * sprite_height
            else:
                y = rng.uniform(0.08, 0.9) * height
            left, top = int(x - sprite_width / 2), int(y - sprite_height / 2)
            distance = float(np.clip(0.75 - 0.45 * sprite_height / (0.6 * height), 0.1, 0.8))
            distance = float(np.clip(distance + rng.normal(0, 0.12), 0.02, 0.9))
            item = _Item(sprite, left, top, distance, name, on_floor=crawls)
            if all(_overlap(item.box, other.box) <= _MOST_OVERLAP for other in items):
                items.append(item)
                break
    return items


def _overlap(first: tuple[int, int, int, int], second: tuple[int, int, int, int]) -> float:
    """Say how much of the smaller box the other one covers."""
    width = min(first[2], second[2]) - max(first[0], second[0])
    height = min(first[3], second[3]) - max(first[1], second[1])
    areas = [(box[2] - box[0]) * (box[3] - box[1]) for box in (first, second)]
    return max(width, 0) * max(height, 0) / min(areas)


def _seen(items: list[_Item], size: ImageSize) -> tuple[list[_Item], tuple[Truth, ...]]:
    """Find what is seen of each animal, and leave out those that are hardly seen.

    `items` with the farthest first. Leaving one out uncovers those behind it, so that all which
    remain are judged without it.
    """
    transmission = np.ones(size, np.float32)
    kept: list[_Item] = []
    truths: list[Truth] = []
    for item in reversed(items):
        window, own = item.windows(size)
        alpha = item.sprite.alpha[own]
        if alpha.size == 0:
            continue
        if item.class_name:
            visible = np.zeros(size, np.bool_)
            visible[window] = (alpha >= _PRESENCE) & (transmission[window] >= _TRANSMISSION)
            whole = np.count_nonzero(item.sprite.alpha >= _PRESENCE)
            share = np.count_nonzero(visible) / whole
            if share < LEAST_VISIBLE_SHARE:
                continue
            truths.append(Truth(item.class_name, visible, float(share)))
        kept.append(item)
        transmission[window] *= 1 - alpha
    return kept[::-1], tuple(truths[::-1])


def _lay(image: Array, item: _Item, water: Water) -> None:
    """Lay an item over the picture in place: its shadow, then itself, hazy where far off."""
    size = (image.shape[0], image.shape[1])
    if item.on_floor:
        _cast_shadow(image, item)
    window, own = item.windows(size)
    own_alpha, colour = item.sprite.alpha[own], item.sprite.colour[own]
    alpha = thrice(own_alpha)
    depth = np.linspace(0.25, 0.85, size[0], dtype=np.float32)[window[0], None]
    haze = mix(water.surface, water.deep, np.broadcast_to(depth, own_alpha.shape))
    veil = 0.42 * item.distance if item.class_name else 0.62 * item.distance
    image[window] = image[window] * (1 - alpha) + mix(colour, haze * alpha, veil)


def _cast_shadow(image: Array, item: _Item) -> None:
    """Darken the ground beneath an item softly, in place."""
    height, width = item.sprite.alpha.shape
    margin = max(4, width // 6)
    flat = cv2.resize(item.sprite.alpha, (width, max(4, height // 3)), interpolation=cv2.INTER_AREA)
    flat = cv2.copyMakeBorder(flat, margin, margin, margin, margin, cv2.BORDER_CONSTANT, value=(0,))
    soft = cv2.GaussianBlur(flat, (0, 0), max(1.5, 0.05 * width))
    top = item.top + height - soft.shape[0] + margin + height // 12
    shadow = replace(
        item, sprite=Sprite(image, soft), left=item.left - margin + width // 20, top=top
    )
    window, own = shadow.windows((image.shape[0], image.shape[1]))
    if soft[own].size:  # else the shadow falls outside the picture
        image[window] *= thrice(1 - 0.5 * soft[own])


def _finish(rng: np.random.Generator, image: Array, light: Array, line: Array) -> Array:
    """Add drifting specks, bubbles, vignette, softness and grain: (H, W, 3) uint8."""
    height, width = image.shape[:2]
    rows = np.arange(height, dtype=np.float32)[:, None]
    deep = np.clip(rows / height, 0, 1) * np.float32(0.16)
    lit = step(rows - line.astype(np.float32), -0.25 * height, 0.0)
    image = image * thrice(1 + deep * lit * (light - 0.4))
    _add_specks(rng, image)
    _add_bubbles(rng, image)
    x, y = np.linspace(-1, 1, width, dtype=np.float32), np.linspace(-1, 1, height, dtype=np.float32)
    vignette = 1 - rng.uniform(0.1, 0.32) * ((x**2)[None, :] + (y**2)[:, None]) ** 1.3 / 2
    murk = noise(rng, (height, width), cell=width / 2, octaves=2)
    image = image * thrice(vignette.astype(np.float32) * (1 + 0.05 * murk))
    tint = rng.uniform(0.93, 1.07, 3).astype(np.float32) * np.float32(rng.uniform(0.96, 1.2))
    image = np.clip(image * tint, 0, 1)
    if rng.random() < 0.35:
        image = cv2.GaussianBlur(image, (0, 0), float(rng.uniform(0.35, 0.8)))
    grain = rng.standard_normal((height, width), np.float32)
    image = image * 255 + thrice(
        grain * np.float32(255 * rng.uniform(0.003, 0.014)) + np.float32(0.5)
    )
    finished: Array = np.clip(image, 0, 255).astype(np.uint8)
    return finished


def _add_specks(rng: np.random.Generator, image: Array) -> None:
    """Let small bright particles drift in the water, in place."""
    height, width = image.shape[:2]
    layer = np.zeros((height, width), np.float32)
    for _ in range(int(rng.integers(15, 60))):
        centre = (int(rng.integers(width)), int(rng.integers(height)))
        brightness = (float(rng.uniform(0.1, 0.5)),)
        cv2.circle(layer, centre, int(rng.integers(0, 2)), brightness, -1)
    image += thrice(cv2.GaussianBlur(layer, (0, 0), 0.9) * np.float32(0.6))


def _add_bubbles(rng: np.random.Generator, image: Array) -> None:
    """Let a few strings of bubbles rise, in place."""
    height, width = image.shape[:2]
    fine = np.zeros((2 * height, 2 * width), np.float32)
    for _ in range(int(rng.integers(0, 3))):
        x, y = rng.uniform(0, 2 * width), rng.uniform(0.5, 2) * height
        for _bubble in range(int(rng.integers(3, 9))):
            radius = int(rng.integers(3, 10))
            centre = (int(x), int(y))
            cv2.circle(fine, centre, radius, (0.08,), -1, cv2.LINE_AA)
            cv2.circle(fine, centre, radius, (0.45,), 1, cv2.LINE_AA)
            glint = (int(x - 0.35 * radius), int(y - 0.4 * radius))
            cv2.circle(fine, glint, max(1, radius // 4), (0.9,), -1, cv2.LINE_AA)
            x, y = x + rng.normal(0, 9), y - rng.uniform(14, 40)
    layer = cv2.resize(fine, (width, height), interpolation=cv2.INTER_AREA)
    image += thrice(layer) * (1 - image * np.float32(0.5))

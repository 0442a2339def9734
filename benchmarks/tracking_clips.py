"""Clips with known truth for `benchmarks/tracking.py`: ten objects that cross a picture.

The reef's are the demo's animals, drawn as for its data set, over a picture of it without animals.
Others are the objects of a data set in COCO's layout, cut out of its pictures and pasted over one
of them from which its own were taken. Half go from left to right, half the other way, at heights
between which they hide each other, as large as those that the detector was trained on.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.random import Generator
from PIL import Image, ImageOps

from mindssd.demo.generate import CLASS_NAMES
from mindssd.demo.scene import draw_scene
from mindssd.demo.species import ANIMALS
from mindssd.types import Array, ImageSize

COUNT = 10
UNTIL = 10.0
"""Seconds of a clip: by then all have crossed."""

LEAST_SHARE = 0.35
"""An object of which less is seen need not be found (as in the demo's data set)."""

_STARTS = 5.0
_REEF_SIZE = (240, 320)
_REEF_SHARES = (0.18, 0.28)  # of the height: trained with 0.18 to 0.66
_PASTED_SHARES = (0.2, 0.28)  # of the picture's mean side; the smaller half of cards and boards
_WEIGHTLESS = 0.3  # a pixel that an object covers by less is none of it
_FINENESS = 1.6
_FEATHER = 2


@dataclass(frozen=True, eq=False)
class Mover:
    """An object: `sprite` (h, w, 4) float32 RGBA in 0..1; its centre (x, y) moves evenly."""

    class_id: int
    sprite: Array
    start: float
    centre: tuple[float, float]
    velocity: tuple[float, float]

    def at(self, seconds: float) -> Array:
        """Its centre (2,), also before it came in."""
        return np.array(self.centre) + np.array(self.velocity) * (seconds - self.start)


@dataclass(frozen=True, eq=False)
class Truths:
    """What is in a frame: of n objects number, class, visible box, whole box and visible share."""

    numbers: Array
    class_ids: Array
    boxes: Array
    whole: Array
    shares: Array


@dataclass(frozen=True, eq=False)
class Clip:
    """A background (H, W, 3) float32 in 0..1 and what moves over it, the nearest first."""

    background: Array
    movers: Sequence[Mover]
    class_names: tuple[str, ...]
    grain: float = 0.01

    @property
    def size(self) -> ImageSize:
        return self.background.shape[0], self.background.shape[1]

    def frame(self, seconds: float) -> tuple[Array, Truths]:
        """The picture (H, W, 3) uint8 RGB at a time, and what is in it."""
        picture, passing = np.zeros_like(self.background), np.ones(self.size, np.float32)
        rows = []
        for number, mover in enumerate(self.movers):
            window, sprite, whole = self._placed(mover, seconds)
            if sprite.size == 0:
                continue
            alpha = sprite[..., 3]
            visible = (alpha >= _WEIGHTLESS) & (passing[window] >= 0.5)
            share = visible.sum() / max((mover.sprite[..., 3] >= _WEIGHTLESS).sum(), 1)
            x, y, width, height = cv2.boundingRect(visible.astype(np.uint8))
            x, y = x + window[1].start, y + window[0].start
            rows.append((number, mover.class_id, [x, y, x + width, y + height], whole, share))
            picture[window] += sprite[..., :3] * (alpha * passing[window])[..., None]
            passing[window] *= 1 - alpha
        picture += self.background * passing[..., None]
        grain = np.random.default_rng(round(seconds * 1000)).normal(0, self.grain, self.size)
        image = np.clip(255 * (picture + grain[..., None]) + 0.5, 0, 255).astype(np.uint8)
        numbers, class_ids, boxes, wholes, shares = zip(*rows, strict=True) if rows else [()] * 5
        return image, Truths(
            np.array(numbers, np.intp),
            np.array(class_ids, np.intp),
            np.array(boxes, np.float32).reshape(-1, 4),
            np.array(wholes, np.float32).reshape(-1, 4),
            np.array(shares, np.float32),
        )

    def _placed(self, mover: Mover, seconds: float) -> tuple[tuple[slice, slice], Array, list[int]]:
        height, width = mover.sprite.shape[:2]
        left, top = (
            int(value) for value in np.round(mover.at(seconds) - np.array([width, height]) / 2)
        )
        first_row, first_column = max(-top, 0), max(-left, 0)
        last_row, last_column = min(height, self.size[0] - top), min(width, self.size[1] - left)
        sprite = mover.sprite[first_row : max(last_row, 0), first_column : max(last_column, 0)]
        window = (
            slice(top + first_row, top + first_row + sprite.shape[0]),
            slice(left + first_column, left + first_column + sprite.shape[1]),
        )
        if seconds < mover.start:
            sprite = sprite[:0]
        return window, sprite, [left, top, left + width, top + height]


def reef_clip(seed: int) -> Clip:
    """The demo's own animals over a reef without any, which is every 16th picture."""
    rng = np.random.default_rng((seed, 1))
    background = draw_scene("val", 15 + 16 * int(rng.integers(1000)), 0, _REEF_SIZE)[0]
    sprites = []
    for name in rng.choice(CLASS_NAMES, COUNT):
        share = rng.uniform(*_REEF_SHARES)
        drawing = ANIMALS[str(name)].draw(rng, _FINENESS * share * _REEF_SIZE[0] / 2)
        sprite = ImageOps.scale(drawing, 1 / _FINENESS, Image.Resampling.BILINEAR)
        pixels = np.asarray(sprite, np.float32) / 255
        sprites.append((CLASS_NAMES.index(str(name)), pixels))
    return _crossing(rng, background, sprites, CLASS_NAMES)


def pasted_clip(data_dir: Path, seed: int, split: str = "val") -> Clip:
    """Objects of a data set's pictures over one of them."""
    rng = np.random.default_rng((seed, 2))
    content = json.loads((data_dir / f"annotations/instances_{split}2017.json").read_text())
    categories = sorted(content["categories"], key=lambda one: int(one["id"]))
    places = {one["id"]: index for index, one in enumerate(categories)}
    pictures = {one["id"]: one for one in content["images"]}

    def read(image_id: int) -> Array:
        path = data_dir / f"{split}2017" / pictures[image_id]["file_name"]
        return np.asarray(cv2.imread(str(path))[..., ::-1], np.float32) / 255

    of_image: dict[int, list[list[float]]] = {}
    for one in content["annotations"]:
        of_image.setdefault(one["image_id"], []).append(one["bbox"])
    lone = [key for key, boxes in of_image.items() if len(boxes) == 1]
    chosen = int(rng.choice(lone))
    background = _without(read(chosen), of_image[chosen][0])
    side = float(np.sqrt(background.shape[0] * background.shape[1]))
    whole = [
        one
        for one in content["annotations"]
        if one["image_id"] in lone
        and (one["bbox"][2] * one["bbox"][3]) ** 0.5 > 0.8 * _PASTED_SHARES[0] * side
    ]
    sprites = []
    for index in rng.permutation(len(whole))[:COUNT]:
        x, y, width, height = (round(value) for value in whole[index]["bbox"])
        crop = read(whole[index]["image_id"])[max(y, 0) : y + height, max(x, 0) : x + width]
        scale = rng.uniform(*_PASTED_SHARES) * side / (width * height) ** 0.5
        crop = cv2.resize(crop, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
        edge = np.zeros(crop.shape[:2], np.float32)
        edge[_FEATHER:-_FEATHER, _FEATHER:-_FEATHER] = 1
        alpha = cv2.GaussianBlur(edge, (0, 0), _FEATHER / 2)
        sprite = np.dstack([crop, alpha]).astype(np.float32)
        sprites.append((places[whole[index]["category_id"]], sprite))
    names = tuple(str(one["name"]) for one in categories)
    return _crossing(rng, background, sprites, names)


def _without(picture: Array, box: Sequence[float]) -> Array:
    """A picture whose object is covered by what is beside it, or mirrored there."""
    x, y, width, height = (round(value) for value in box)
    margin = 8
    x1, y1 = max(x - margin, 0), max(y - margin, 0)
    x2, y2 = min(x + width + margin, picture.shape[1]), min(y + height + margin, picture.shape[0])
    spaces = {
        "left": x1,
        "right": picture.shape[1] - x2,
        "above": y1,
        "below": picture.shape[0] - y2,
    }
    beside = max(spaces, key=lambda one: spaces[one])
    free = {
        "left": picture[y1:y2, :x1],
        "right": picture[y1:y2, x2:],
        "above": picture[:y1, x1:x2],
        "below": picture[y2:, x1:x2],
    }[beside]
    rows = np.pad(np.arange(free.shape[0]), (0, y2 - y1), mode="symmetric")[: y2 - y1]
    columns = np.pad(np.arange(free.shape[1]), (0, x2 - x1), mode="symmetric")[: x2 - x1]
    covered = picture.copy()
    covered[y1:y2, x1:x2] = free[rows][:, columns]
    return covered


def _crossing(
    rng: Generator, background: Array, sprites: Sequence[tuple[int, Array]], names: tuple[str, ...]
) -> Clip:
    scaled = background.astype(np.float32) / (255 if background.dtype == np.uint8 else 1)
    height, width = scaled.shape[:2]
    lanes = rng.permutation(COUNT)
    movers = []
    for number, (class_id, sprite) in enumerate(sprites):
        from_left = lanes[number] % 2 == 0
        rows, columns = sprite.shape[:2]
        y = rows / 2 + (lanes[number] + 0.5) / COUNT * (height - rows)
        x = -columns / 2 if from_left else width + columns / 2
        speed = (width + columns) / rng.uniform(3.5, 5.5) * (1 if from_left else -1)
        drift = rng.uniform(-0.03, 0.03) * height
        start = number / COUNT * _STARTS
        movers.append(Mover(class_id, sprite, start, (x, y), (speed, drift)))
    return Clip(scaled, movers, names)

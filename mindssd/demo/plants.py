"""The rocks, corals and plants of the demo data set: drawn once into a stock, then used again."""

from collections.abc import Callable

import cv2
import numpy as np

from mindssd.demo.sketch import (
    Colour,
    Sketch,
    Sprite,
    curve,
    ellipse,
    mix,
    noise,
    ribbon,
    shaded,
    step,
    thrice,
)
from mindssd.types import Array


def _shades(colours: list[Colour], rng: np.random.Generator) -> Colour:
    """Choose one of the colours and vary it."""
    red, green, blue = np.array(colours[int(rng.integers(len(colours)))]) * rng.uniform(
        0.85, 1.1, 3
    )
    return float(red), float(green), float(blue)


def draw_rock(rng: np.random.Generator, size: float) -> Sprite:
    """Draw a rough boulder, overgrown in places."""
    sketch = Sketch(size / 2, reach=(1.25, 1.1))
    _, y = sketch.coordinates()
    turn = np.linspace(0, 2 * np.pi, 60, endpoint=False)
    uneven = 0.85 + sum(
        rng.normal(0, 0.13 / k) * np.cos(k * turn + rng.uniform(0, 6.28)) for k in range(1, 7)
    )
    outline = np.stack([uneven * np.cos(turn), 0.72 * uneven * np.sin(turn)], 1)
    stone = _shades([(0.42, 0.40, 0.42), (0.46, 0.38, 0.34), (0.34, 0.38, 0.42)], rng)
    moss = _shades([(0.36, 0.46, 0.24), (0.52, 0.30, 0.44), (0.62, 0.42, 0.30)], rng)
    rough = noise(rng, sketch.shape, cell=0.45 * sketch.scale, octaves=5)
    field = mix(stone, moss, step(rough - 0.5 * y, 0.15, 0.6))
    field = field * thrice(1 + 0.30 * rough)
    sketch.paint(sketch.outline(outline), field, roundness=0.5)
    return sketch.sprite()


def draw_brain_coral(rng: np.random.Generator, size: float) -> Sprite:
    """Draw a dome of brain coral with its winding grooves."""
    sketch = Sketch(size / 2, reach=(1.15, 0.95))
    colour = _shades([(0.78, 0.62, 0.38), (0.46, 0.62, 0.44), (0.74, 0.50, 0.56)], rng)
    winding = noise(rng, sketch.shape, cell=max(0.24 * sketch.scale, 3), octaves=2)
    grooves = step(np.abs(winding), 0.16, 0.03)
    field = mix(colour, shaded(colour, 0.5), grooves * 0.8)
    turn = np.linspace(0, 2 * np.pi, 50, endpoint=False)
    dome = np.stack([np.cos(turn), 0.1 + 0.7 * np.sin(turn)], 1)
    sketch.paint(sketch.outline(dome), field, roundness=0.75, gloss=0.1)
    return sketch.sprite()


def draw_branching_coral(rng: np.random.Generator, size: float) -> Sprite:
    """Draw a coral that forks again and again, its tips pale."""
    sketch = Sketch(size / 2, reach=(1.2, 1.15))
    x, y = sketch.coordinates()
    colour = _shades(
        [(0.90, 0.42, 0.46), (0.86, 0.66, 0.34), (0.60, 0.46, 0.78), (0.42, 0.64, 0.66)], rng
    )
    branches: list[Array] = []
    spread = rng.uniform(0.32, 0.5)

    def grow(start: Array, bearing: float, length: float, width: float, forks: int) -> None:
        end = start + length * np.array([np.sin(bearing), -np.cos(bearing)])
        branches.append(ribbon(np.linspace(start, end, 4), np.linspace(width, 0.8 * width, 4)))
        branches.append(
            ellipse((float(end[0]), float(end[1])), 0.4 * width, 0.4 * width, points=12)
        )
        if forks:
            for side in (-1, 1):
                turn = side * spread * rng.uniform(0.6, 1.35)
                grow(end, bearing + turn, length * rng.uniform(0.7, 0.92), 0.78 * width, forks - 1)

    for trunk in np.linspace(-0.7, 0.7, 3):
        grow(np.array([0.3 * trunk, 1.0]), float(trunk + rng.normal(0, 0.1)), 0.55, 0.17, 3)
    field = mix(colour, (1.0, 0.95, 0.88), step(np.hypot(x, y - 1.0), 1.0, 1.9) * 0.75)
    sketch.paint(sketch.outline(*branches), field, roundness=0.07, gloss=0.15)
    return sketch.sprite()


def draw_tube_sponge(rng: np.random.Generator, size: float) -> Sprite:
    """Draw a cluster of open tubes."""
    sketch = Sketch(size / 2, reach=(1.0, 1.15))
    colour = _shades([(0.90, 0.74, 0.28), (0.66, 0.42, 0.76), (0.88, 0.50, 0.30)], rng)
    for lean in rng.permutation(np.linspace(-0.45, 0.45, int(rng.integers(3, 6)))):
        top, width = rng.uniform(-0.9, -0.1), rng.uniform(0.26, 0.36)
        line = curve(np.array([[0.4 * lean, 1.0], [lean, 0.4], [1.3 * lean, top]]), 14)
        tube = sketch.outline(ribbon(line, np.linspace(0.75 * width, width, 14)))
        sketch.paint(tube, colour, roundness=0.17)
        lip = ellipse((1.3 * lean, top), 0.52 * width, 0.2 * width)
        sketch.paint(sketch.outline(lip), mix(colour, (1, 1, 0.9), 0.35))
        throat = ellipse((1.3 * lean, top), 0.36 * width, 0.12 * width)
        sketch.paint(sketch.outline(throat), shaded(colour, 0.25))
    return sketch.sprite()


def draw_anemone(rng: np.random.Generator, size: float) -> Sprite:
    """Draw a tuft of soft arms with bright tips."""
    sketch = Sketch(size / 2, reach=(1.15, 1.1))
    x, y = sketch.coordinates()
    colour = _shades([(0.56, 0.66, 0.40), (0.70, 0.44, 0.60), (0.36, 0.60, 0.62)], rng)
    field = mix(shaded(colour, 0.6), colour, step(np.hypot(x, y - 1), 0.4, 1.4))
    for row in range(3):
        arms, tips = [], []
        for lean in np.linspace(-1, 1, 11) + rng.normal(0, 0.06, 11):
            length = (1.5 - 0.35 * row) * rng.uniform(0.75, 1.05)
            end = (0.2 * lean + 0.75 * lean * length * 0.72, 1 - length * (1.15 - 0.4 * abs(lean)))
            middle = (0.3 * lean + rng.normal(0, 0.12), 1 - 0.55 * length)
            line = curve(np.array([[0.28 * lean, 1.0], middle, end]), 12)
            arms.append(ribbon(line, np.linspace(0.11, 0.07, 12)))
            tips.append(ellipse(end, 0.06, 0.06, points=12))
        sketch.paint(sketch.outline(*arms), field * (0.75 + 0.12 * row), roundness=0.05)
        sketch.paint(sketch.outline(*tips), mix(colour, (1, 0.9, 1), 0.6), roundness=0.04)
    return sketch.sprite()


def draw_kelp(rng: np.random.Generator, size: float) -> Sprite:
    """Draw a tall swaying stem with leaves to both sides."""
    sketch = Sketch(size / 2, reach=(0.5, 1.1))
    _, y = sketch.coordinates()
    green = _shades([(0.30, 0.46, 0.16), (0.46, 0.44, 0.14), (0.16, 0.42, 0.26)], rng)
    field = mix(green, shaded(green, 1.5), step(-y, -0.6, 1.0))
    sway, phase = rng.uniform(0.06, 0.18), rng.uniform(0, 6.28)
    up = np.linspace(0, 1, 30)
    stem = np.stack([sway * np.sin(4 * up + phase) * (0.3 + up), 1 - 1.95 * up], 1)
    leaves = []
    for k in range(3, 29, 2):
        side = 1 if k % 4 == 1 else -1
        length = rng.uniform(0.2, 0.34) * (1.1 - 0.5 * up[k])
        droop = rng.uniform(-0.16, 0.04)
        bends = np.array([[0.0, 0.0], [side * 0.6 * length, -0.14], [side * length, droop]])
        blade = stem[k] + curve(bends, 10)
        leaves.append(ribbon(blade, 0.13 * np.sin(np.linspace(0.3, np.pi - 0.05, 10))))
    sketch.paint(sketch.strokes(stem, width=0.035), field * 0.8)
    for leaf in leaves:
        sketch.paint(sketch.outline(leaf), field * rng.uniform(0.85, 1.15), roundness=0.06)
    return sketch.sprite()


def draw_seagrass(rng: np.random.Generator, size: float) -> Sprite:
    """Draw a tuft of long thin blades."""
    sketch = Sketch(size / 2, reach=(0.85, 1.1))
    _, y = sketch.coordinates()
    green = _shades([(0.26, 0.56, 0.22), (0.38, 0.58, 0.18), (0.16, 0.46, 0.36)], rng)
    field = mix(shaded(green, 0.55), shaded(green, 1.3), step(-y, -1, 0.7))
    for _ in range(int(rng.integers(8, 15))):
        foot, lean = rng.uniform(-0.3, 0.3), rng.normal(0, 0.28)
        height = rng.uniform(0.9, 1.95)
        line = curve(
            np.array(
                [
                    [foot, 1.0],
                    [foot + rng.normal(0, 0.12), 1 - 0.5 * height],
                    [np.clip(foot + lean, -0.75, 0.75), 1 - height],
                ]
            )
        )
        blade = sketch.outline(ribbon(line, 0.085 * np.linspace(1, 0.05, 16) ** 0.5))
        sketch.paint(blade, field * rng.uniform(0.8, 1.2), roundness=0.04)
    return sketch.sprite()


PLANTS: dict[str, Callable[[np.random.Generator, float], Sprite]] = {
    "rock": draw_rock,
    "brain coral": draw_brain_coral,
    "branching coral": draw_branching_coral,
    "tube sponge": draw_tube_sponge,
    "anemone": draw_anemone,
    "kelp": draw_kelp,
    "seagrass": draw_seagrass,
}
"""What stands on the sea floor and is not labelled."""

_STOCK_SIZE = 0.55  # of the picture's height, a little more than most plants measure in it
_STOCK_VARIETY = 10

Stock = dict[str, tuple[Sprite, ...]]


def grow_stock(rng: np.random.Generator, image_height: int) -> Stock:
    """Draw the plants that a data set's pictures choose from, several of each kind."""
    size = _STOCK_SIZE * image_height
    return {
        name: tuple(
            draw(rng, size * (2.0 if name == "kelp" else 1.0)).trimmed()
            for _ in range(_STOCK_VARIETY)
        )
        for name, draw in PLANTS.items()
    }


def take_plant(rng: np.random.Generator, stock: Stock, name: str, extent: float) -> Sprite:
    """Take a plant of the stock, `extent` pixels across, mirrored and tinted at random."""
    plant = stock[name][int(rng.integers(len(stock[name])))]
    scale = extent / max(plant.alpha.shape)
    height, width = plant.alpha.shape
    size = (max(2, round(width * scale * rng.uniform(0.85, 1.15))), max(2, round(height * scale)))
    method = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
    tint = rng.uniform(0.82, 1.12, 3).astype(np.float32)
    colour = cv2.resize(plant.colour, size, interpolation=method) * tint
    alpha = cv2.resize(plant.alpha, size, interpolation=method)
    turn = slice(None, None, -1 if rng.random() < 0.5 else 1)
    return Sprite(colour[:, turn], alpha[:, turn])

"""The animals and plants of the demo, no two alike, up to about two units long.

Animals face right; what crab and jellyfish have above is there, and they are turned up afterwards.
Plants, which are not labelled, have their feet at y = 1.
"""

from collections.abc import Callable, Iterable
from functools import partial
from itertools import product
from typing import NamedTuple

import numpy as np
from numpy.random import Generator
from PIL import Image, ImageOps

from mindssd.demo.shapes import Limb, curve, ellipse, heading, ribbon
from mindssd.demo.sketch import BLACK, WHITE, Sketch, choose, mix, noise, step
from mindssd.types import Array

FISH = (  # base, pattern and fins
    "fa7514 f7f7f2 f26610",  # clownfish
    "1f47eb 0d0f38 fad11a",  # blue tang
    "ffd61a 1a1a24 ffe659",  # butterfly fish
    "fad929 edf2ff f2b314",  # yellow tang
    "7338db ffcc1f ffc724",  # royal gramma
    "1aadb8 fa739e fa8099",  # parrot fish
    "ebedf7 1f2133 fad133",  # Moorish idol
    "3385fa fadb40 408cff",  # angelfish
)
FISH_FINS: tuple[Limb, ...] = (
    ((0.08, 0.5, 0.03), (-0.45, 0), (-0.75, 0), (-0.95, 0.5)),
    ((0.1, 0.6, 0.8, 0.4, 0), (0.5, 0.38), (0.1, 0.72), (-0.6, 0.15)),
)
TURTLE_LIMBS: tuple[Limb, ...] = (
    ((0.14, 0.01), (-0.6, 0), (-0.82, 0)),
    ((0.12, 0.3, 0.05), (-0.42, 0.26), (-0.66, 0.42), (-0.86, 0.5)),
    ((0.1, 0.42, 0.3, 0.04), (0.34, 0.28), (0.66, 0.64), (0.0, 1.0)),
)
CRAB_LIMBS: tuple[Limb, ...] = (
    ((0.12, 0.13, 0.01), (-0.12, 0.34), (0.12, 0.74), (-0.5, 0.98)),
    ((0.12, 0.13, 0.01), (-0.16, 0.34), (-0.03, 0.69), (-0.59, 0.85)),
    ((0.12, 0.13, 0.01), (-0.2, 0.34), (-0.18, 0.64), (-0.68, 0.72)),
    ((0.12, 0.13, 0.01), (-0.24, 0.34), (-0.33, 0.59), (-0.77, 0.59)),
    ((0.13,), (-0.05, 0.36), (0.1, 0.85), (0.5, 0.64)),  # the claw's arm
    ((0.06,), (0.1, 0.15), (0.36, 0.2)),  # the eye's stalk
)
CRAB_CLAW: tuple[Limb, ...] = (  # the palm and two fingers
    ((0.2, 0.36, 0.2), (0.42, 0.64), (0.62, 0.64)),
    ((0.2, 0.15, 0.02), (0.55, 0.7), (0.9, 0.85), (0.95, 0.6)),
    ((0.2, 0.15, 0.02), (0.55, 0.6), (0.75, 0.35), (0.9, 0.48)),
)


class Tuft(NamedTuple):
    """Stems of one foot, which lean apart by about `lean` units, with leaves to both sides in turn.

    The tip at a stem's end is an ellipse: its radii, and how bright it is.
    """

    colours: str
    num_stems: int
    lean: float
    height: float
    widths: tuple[float, ...]
    num_leaves: int = 0
    tip: tuple[float, float, float] = (0, 0, 1)


TUFTS = {
    "rock": Tuft("827c82 8c7668 6a7682 6e8a4a", 3, 0.6, 0.5, (0.9, 1.2, 0.6)),
    "kelp": Tuft("4d7529 757024 296b42", 1, 0.1, 1.95, (0.035,), num_leaves=11),
    "seagrass": Tuft("428f38 61942e 29755c", 11, 0.5, 1.95, (0.1, 0.08, 0.01)),
    "anemone": Tuft("8fa866 b37099 5c999e", 24, 1.1, 1.8, (0.14, 0.09), tip=(0.06, 0.06, 1.7)),
    "tube sponge": Tuft("e6bd47 a86bc2 e0804d", 4, 0.5, 1.8, (0.22, 0.32), tip=(0.14, 0.06, 0.3)),
}


def paint_fish(sketch: Sketch, rng: Generator) -> None:
    """Paint a reef fish from its side: barred, two-coloured, banded or spotted."""
    x, y = sketch.x, sketch.y
    base, second, fin = choose(rng, *FISH)
    rays = mix(fin, 0.62 * fin, 0.3 + 0.3 * np.cos(40 * y + 24 * x))
    sketch.paint(rays, *_both_sides(rng, FISH_FINS, 0.05), rim=0.08)
    bars = np.sin((x + 0.25 * y**2) * rng.uniform(6.5, 9.0) + rng.uniform(0, 6.28))
    pattern = (
        step(bars, 0.35, 0.5),
        step(x + 0.35 * y, 0.05, -0.12),  # the back half
        step(np.abs(y + 0.1 + 0.1 * bars), 0.17, 0.09),  # a lengthwise band
        step(noise(rng, sketch.size, 0.16 * sketch.unit), 0.18, 0.4),  # spots
    )[rng.integers(4)]
    skin = mix(mix(base, second, pattern), BLACK, 3 * pattern * (1 - pattern))
    scales = 1 + 0.06 * np.cos(34 * x + 8 * y) * np.cos(34 * y)
    skin = mix(skin, WHITE, 0.42 * step(y, 0.02, 0.55)) * scales
    body = ribbon([(0.85, 0), (-0.55, 0)], 0.2, 1.1, 1.5, 1.2, 0.2, 0.2)
    sketch.paint(skin, body, rim=0.34, gloss=0.5)
    sketch.paint(rays, ribbon([(0.24, 0.04), (0.14, 0.1), (-0.03, 0.2)], 0.04, 0.25, 0.1), rim=0.05)
    gill = ribbon([(0.42, -0.25), (0.28, 0), (0.42, 0.24)], 0.03)
    mouth = ribbon([(0.84, 0.03), (0.7, 0.08)], 0.025)
    sketch.paint(BLACK, gill, mouth, opacity=0.4)
    _paint_eyes(sketch, 0.085, (0.58, -0.13))


def paint_jellyfish(sketch: Sketch, rng: Generator) -> None:
    """Paint a translucent jellyfish that trails its tentacles."""
    (colour,) = choose(rng, "ff75cc", "c285ff", "f2ebff", "ff9e94")
    pale, clear = mix(colour, WHITE, 0.65), 0.8 - 0.36 * step(sketch.x, -0.1, -1.2)
    width, height = rng.uniform(0.5, 0.66), rng.uniform(0.55, 0.75)
    starts = np.linspace(0.07, 0.75 * width, rng.integers(5, 8))
    tentacles = [((0.045, 0.03), (0.3, y), (-0.3, y), (-0.7, y), (-0.95, y)) for y in starts]
    arms = [((0.18, 0.14, 0.02), (0.3, y), (-0.1, y), (-0.5, y), (-0.6, y)) for y in (0.07, 0.2)]
    sketch.paint(pale, *_both_sides(rng, tentacles, 0.08), opacity=clear)
    sketch.paint(colour, *_both_sides(rng, arms, 0.1), rim=0.06, opacity=clear)
    turn = np.linspace(-np.pi, np.pi, 90)
    skirt = 0.09 * np.cos(turn) - 0.07 * np.abs(np.sin(4.5 * turn))
    dome = np.where(np.abs(turn) > np.pi / 2, skirt, height * np.cos(turn))
    bell = np.stack([0.2 + dome, width * np.sin(turn)], axis=1)
    glow = step(np.hypot((sketch.x - 0.2) / height, sketch.y / width), 0.45, 1.02)
    skin = 1.12 * mix(colour, pale, glow)
    sketch.paint(skin, bell, rim=0.4, gloss=0.7, opacity=0.58 + 0.34 * glow)
    rings = [ellipse((0.2 + 0.4 * height, y * width), 0.07) for y in (-0.45, -0.15, 0.15, 0.45)]
    sketch.paint(0.75 * colour, *rings, rim=0.04, opacity=0.55)


def paint_starfish(sketch: Sketch, rng: Generator) -> None:
    """Paint a five-armed starfish from above, its arms curled a little."""
    skin, bead = choose(rng, "f78529 ffe08c", "9e38a8 fab8e0", "f2bd38 c74d1a", "ed6180 ffdbbd")
    thick = rng.uniform(0.5, 0.68)
    body, beads = [ellipse((0, 0), 0.62 * thick)], []
    for bearing in rng.normal(np.arange(5) * 0.4 * np.pi, 0.07):
        arm = rng.normal(np.outer((0, 0.3, 0.7, 0.95), heading(bearing)), 0.06)
        body.append(ribbon(arm, thick, 0.22 * thick))
        beads += [ellipse(place, 0.045) for place in curve(arm)[2:17:2]]
        beads += [ellipse(place, 0.03) for place in ribbon(arm, 0.5 * thick, 0.02)[5:48:2]]
    grain = noise(rng, sketch.size, 0.1 * sketch.unit, octaves=2)
    worn = 1 - 0.22 * step(np.hypot(sketch.x, sketch.y), 0.3, 1.0) + 0.16 * grain
    sketch.paint(skin * worn, *body, rim=0.42 * thick, gloss=0.25)
    sketch.paint(bead, *beads, rim=0.03, opacity=0.9)


def paint_turtle(sketch: Sketch, rng: Generator) -> None:
    """Paint a sea turtle from above."""
    shell, seam = choose(rng, "6b6629 ccb85c", "4d7033 b8cc6b", "7a4d24 e0a857")
    mottle = noise(rng, sketch.size, 0.09 * sketch.unit)
    leather = choose(rng, "668f4d")[0] * (1 + 0.5 * step(np.abs(mottle), 0.10, 0.0))
    sketch.paint(leather, *_both_sides(rng, TURTLE_LIMBS, 0.1), rim=0.1, gloss=0.2)
    sketch.paint(leather, ribbon([(0.5, 0), (0.9, 0)], 0.26, 0.2, 0.4, 0.2), rim=0.13, gloss=0.2)
    _paint_eyes(sketch, 0.04, (0.91, -0.1), (0.91, 0.1))
    egg = ellipse((0, 0), (0.68, 0.52))
    sketch.paint(mix(shell, seam, 0.55), egg, rim=0.16, gloss=0.2)
    thirds = heading(np.array([0, 2, 4]) * np.pi / 3)
    honeycomb = sum(np.cos(21 * (sketch.x * a + sketch.y * b)) for a, b in thirds)  # -1.5..3
    plates = shell * (1 + 0.12 * honeycomb + 0.15 * mottle)
    sketch.paint(mix(seam, plates, step(honeycomb, -1.1, -0.75)), 0.9 * egg, rim=0.42, gloss=0.4)


def paint_crab(sketch: Sketch, rng: Generator) -> None:
    """Paint a red crab from the front, claws raised."""
    red, pale = choose(rng, "e6331f ffc794", "cc1f29 ffc794", "f0521f ffc794")
    sketch.paint(0.85 * red, *_both_sides(rng, CRAB_LIMBS, 0.025), rim=0.05, gloss=0.2)
    worn = mix(red, pale, 0.75 * step(sketch.x, 0.6, 0.9))
    sketch.paint(worn, *_both_sides(rng, CRAB_CLAW, 0.03), rim=0.1, gloss=0.5)
    speckles = step(noise(rng, sketch.size, 0.13 * sketch.unit, octaves=2), 0.3, 0.7)
    field = mix(red, pale, 0.6 * np.maximum(speckles, step(sketch.x, -0.2, -0.5)))
    shell = ribbon([(-0.06, -0.42), (-0.16, 0), (-0.06, 0.42)], 0.2, 0.9, 0.9, 0.2)
    sketch.paint(field, shell, rim=0.3, gloss=0.6)
    sketch.paint(BLACK, ribbon([(-0.2, -0.14), (-0.3, 0), (-0.2, 0.14)], 0.03), opacity=0.6)
    _paint_eyes(sketch, 0.08, (0.38, -0.2), (0.38, 0.2))


def _both_sides(rng: Generator, limbs: Iterable[Limb], sway: float) -> list[Array]:
    """Outline limbs and their mirror images, each control point moved by about `sway`."""
    pairs = product(limbs, (-1, 1))
    return [ribbon(rng.normal(line, sway) * (1, side), *widths) for (widths, *line), side in pairs]


def _paint_eyes(sketch: Sketch, radius: float, *centres: tuple[float, float]) -> None:
    for colour, share in ((WHITE, 1.0), (BLACK, 0.62)):
        sketch.paint(colour, *(ellipse(centre, share * radius) for centre in centres), rim=0.03)


def paint_tuft(tuft: Tuft, sketch: Sketch, rng: Generator) -> None:
    """Paint a tuft, its foot dark."""
    (colour,) = choose(rng, *tuft.colours.split())
    rough = noise(rng, sketch.size, 0.3 * sketch.unit, octaves=4)
    field = colour * (0.6 + 0.6 * step(sketch.y, 1.0, -0.8)) * (1 + 0.25 * rough)
    for _ in range(tuft.num_stems):
        foot, lean = np.array([rng.uniform(-0.2, 0.2), 1]), tuft.lean * rng.uniform(-1, 1)
        grown, tone = rng.uniform(0.55, 1), rng.uniform(0.8, 1.15)
        top = foot + grown * np.array([lean, -tuft.height * np.cos(lean)])
        stem = rng.normal(np.linspace(foot, top, 4), 0.03 * tuft.height)
        sketch.paint(field * tone, ribbon(stem, *tuft.widths), rim=tuft.widths[0] / 2)
        for k, place in enumerate(curve(stem)[3::2][: tuft.num_leaves]):
            reach, droop = (-1) ** k * rng.uniform(0.2, 0.34), rng.uniform(-0.16, 0.04)
            blade = ribbon([(0, 0), (0.6 * reach, -0.14), (reach, droop)], 0.03, 0.2, 0.15, 0)
            sketch.paint(field * rng.uniform(0.8, 1.15), place + grown * blade, rim=0.06)
        *radii, brightness = tuft.tip
        sketch.paint(colour * tone * brightness, ellipse(stem[-1], radii))


def paint_coral(sketch: Sketch, rng: Generator) -> None:
    """Paint a coral that forks again and again, its tips pale."""
    (colour,) = choose(rng, "e66b75", "dba857", "9975c7", "6ba3a8")
    branches: list[Array] = []

    def grow(start: Array, bearing: float, length: float, width: float) -> None:
        end = start + length * heading(bearing)
        branches.append(ribbon([start, end], width, 0.8 * width))
        for side in (-1, 1) if width > 0.09 else ():
            turned = bearing + side * rng.uniform(0.25, 0.55)
            grow(end, turned, length * rng.uniform(0.7, 0.92), 0.78 * width)

    for lean in (-0.7, 0, 0.7):
        grow(np.array([0.3 * lean, 1]), lean - np.pi / 2, length=0.55, width=0.17)
    pale = 1 + 0.7 * step(np.hypot(sketch.x, sketch.y - 1), 1.0, 1.9)
    sketch.paint(colour * pale, *branches, rim=0.07, gloss=0.15)


class Species(NamedTuple):
    """How to draw one of a kind, which `paint` makes to face right; `upward` turns it up.

    It may be turned further by `turn` radians, flattened down to `tilt`, and mirrored.
    """

    paint: Callable[[Sketch, Generator], None]
    upward: bool = False
    turn: float = 0
    tilt: float = 1

    def draw(self, rng: Generator, unit: float) -> Image.Image:
        """Draw one, whose unit is so many pixels long."""
        angle = rng.uniform(-self.turn, self.turn) - self.upward * np.pi / 2
        sketch = Sketch(unit, angle, rng.uniform(self.tilt, 1))
        self.paint(sketch, rng)
        return ImageOps.mirror(sketch.sprite()) if rng.random() < 0.5 else sketch.sprite()


ANIMALS = {
    "fish": Species(paint_fish, turn=0.4, tilt=0.75),
    "jellyfish": Species(paint_jellyfish, upward=True, turn=0.6),
    "starfish": Species(paint_starfish, turn=np.pi, tilt=0.62),
    "turtle": Species(paint_turtle, turn=np.pi, tilt=0.72),
    "crab": Species(paint_crab, upward=True, turn=0.2, tilt=0.85),
}
"""In the order of the category ids."""

PLANTS = {name: Species(partial(paint_tuft, tuft)) for name, tuft in TUFTS.items()}
PLANTS["coral"] = Species(paint_coral)

"""The fish of the demo data set."""

import numpy as np

from mindssd.demo.sketch import (
    BLACK,
    WHITE,
    Colour,
    Sketch,
    Sprite,
    curve,
    ellipse,
    mix,
    noise,
    paint_eye,
    shaded,
    step,
    thrice,
)
from mindssd.types import Array


def draw_fish(rng: np.random.Generator, size: float) -> Sprite:
    """Draw a reef fish from its side: striped, two-coloured or spotted."""
    sketch = Sketch(
        size / 2,
        reach=(1.25, 1.25),
        angle=float(rng.normal(0, 0.22)),
        flipped=bool(rng.random() < 0.5),
    )
    x, y = sketch.coordinates()
    bend = rng.uniform(-0.35, 0.35)
    depth = rng.uniform(0.36, 0.56)
    base, second, fin = _fish_colours(rng)

    def bent(points: Array) -> Array:
        """Curve the fish sideways, the more the nearer to its tail."""
        offset = 0.3 * bend * (0.7 - points[:, 0]) ** 2
        curved: Array = points + np.stack([np.zeros_like(offset), offset], 1)
        return curved

    def flank(at: Array) -> Array:
        """Half the body's height at x."""
        share = np.clip((0.85 - at) / 1.4, 0, 1)
        height: Array = depth * np.sin(np.pi * share**0.78) ** 0.75 + 0.09 * share**2
        return height

    spine = np.linspace(0.85, -0.55, 40)
    body = np.concatenate(
        [np.stack([spine, -flank(spine)], 1), np.stack([spine, 0.92 * flank(spine)], 1)[::-1]]
    )
    spread, notch = rng.uniform(0.3, 0.5), rng.uniform(-0.85, -0.62)
    tail = np.concatenate(
        [
            curve(np.array([[-0.46, -0.06], [-0.7, -0.12], [-0.98, -spread]])),
            curve(np.array([[-0.98, -spread], [notch, 0.0], [-0.98, spread]])),
            curve(np.array([[-0.98, spread], [-0.7, 0.12], [-0.46, 0.06]])),
        ]
    )
    inward = np.array([0.0, 0.06])
    crest = rng.uniform(0.14, 0.34)
    along = np.linspace(0.45, -0.42, 24)
    rise = np.sin(np.linspace(0.25, np.pi, 24)) ** 0.6 * crest
    back = np.stack([along, -flank(along)], 1)
    dorsal = np.concatenate([back - np.stack([0.35 * rise, rise], 1), back[::-1] + inward])
    along = np.linspace(0.05, -0.44, 18)
    rise = np.sin(np.linspace(0.3, np.pi, 18)) ** 0.6 * crest * 0.8
    belly = np.stack([along, 0.92 * flank(along)], 1)
    anal = np.concatenate([belly + np.stack([-0.4 * rise, rise], 1), belly[::-1] - inward])

    rays = 0.5 + 0.5 * np.cos(46 * (y - bend * (0.7 - x) ** 2 * 0.3) + 12 * x)
    fin_field = mix(fin, shaded(fin, 0.62), rays * 0.6)
    sketch.paint(sketch.outline(bent(tail)), fin_field, roundness=0.08, opacity=0.94)
    rays = 0.5 + 0.5 * np.cos(42 * x + 18 * y)
    fin_field = mix(fin, shaded(fin, 0.62), rays * 0.6)
    fins = sketch.outline(bent(dorsal), bent(anal))
    sketch.paint(fins, fin_field, roundness=0.08, opacity=0.94)

    pattern = _fish_pattern(rng, sketch, x, y, base, second)
    scales = np.cos(34 * x + 8 * y) * np.cos(34 * y)
    skin = mix(pattern, WHITE, step(y, 0.02, 0.55) * 0.42) * thrice(1 + 0.06 * scales)
    sketch.paint(sketch.outline(bent(body)), skin, roundness=0.34, gloss=0.5)

    gill = curve(np.array([[0.42, -0.24], [0.28, 0.0], [0.42, 0.22]])) * (1, depth / 0.46)
    sketch.paint(sketch.strokes(bent(gill), width=0.03), BLACK, opacity=0.35)
    paddle = ellipse((0.12, 0.1), 0.17, 0.09, angle=rng.uniform(0.3, 1.0))
    sketch.paint(sketch.outline(bent(paddle)), fin_field, roundness=0.05, opacity=0.9)
    mouth = np.array([[0.84, 0.03], [0.77, 0.075], [0.7, 0.075]])
    sketch.paint(sketch.strokes(bent(mouth), width=0.025), BLACK, opacity=0.5)
    eye = bent(np.array([[0.58, -0.12 * depth / 0.46]]))[0]
    paint_eye(sketch, float(eye[0]), float(eye[1]), 0.085)
    return sketch.sprite()


def _fish_colours(rng: np.random.Generator) -> tuple[Colour, Colour, Colour]:
    """Choose base, pattern and fin colours that go together."""
    palettes: list[tuple[Colour, Colour, Colour]] = [
        ((0.98, 0.46, 0.08), WHITE, (0.95, 0.40, 0.06)),  # clownfish
        ((0.12, 0.28, 0.92), (0.05, 0.06, 0.22), (0.98, 0.82, 0.10)),  # blue tang
        ((1.00, 0.84, 0.10), (0.10, 0.10, 0.14), (1.00, 0.90, 0.35)),  # butterfly fish
        ((0.98, 0.85, 0.16), (0.93, 0.95, 1.00), (0.95, 0.70, 0.08)),  # yellow tang
        ((0.45, 0.22, 0.86), (1.00, 0.80, 0.12), (1.00, 0.78, 0.14)),  # royal gramma
        ((0.10, 0.68, 0.72), (0.98, 0.45, 0.62), (0.98, 0.50, 0.60)),  # parrot fish
        ((0.92, 0.93, 0.97), (0.12, 0.13, 0.20), (0.98, 0.82, 0.20)),  # Moorish idol
        ((0.20, 0.52, 0.98), (0.98, 0.86, 0.25), (0.25, 0.55, 1.00)),  # angelfish
    ]
    base, second, fin = palettes[int(rng.integers(len(palettes)))]
    jitter = rng.uniform(0.88, 1.1, 3)

    def varied(colour: Colour) -> Colour:
        red, green, blue = np.clip(np.array(colour) * jitter, 0, 1)
        return float(red), float(green), float(blue)

    return varied(base), varied(second), varied(fin)


def _fish_pattern(
    rng: np.random.Generator, sketch: Sketch, x: Array, y: Array, base: Colour, second: Colour
) -> Array:
    """Colour the flank (H, W, 3) with bars, a saddle or spots."""
    kind = int(rng.integers(4))
    if kind == 0:  # upright bars with dark edges
        wave = np.sin((x + 0.25 * y**2) * rng.uniform(6.5, 9.0) + rng.uniform(0, 6.28))
        edged = mix(base, BLACK, step(wave, 0.2, 0.38) * 0.8)
        return mix(edged, second, step(wave, 0.42, 0.55))
    if kind == 1:  # front and back of two colours
        border = x + 0.35 * y + rng.uniform(-0.15, 0.25)
        return mix(base, second, step(-border, -0.05, 0.12))
    if kind == 2:  # lengthwise band
        band = np.abs(y + 0.1 + 0.12 * np.sin(3 * x + rng.uniform(0, 6.28)))
        return mix(base, second, 1 - step(band, 0.09, 0.17))
    spots = noise(rng, sketch.shape, cell=max(0.16 * sketch.scale, 2))
    return mix(base, second, step(spots, 0.18, 0.4) * 0.85)

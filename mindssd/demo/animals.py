"""The animals of the demo data set: one function a class, no two drawings alike.

Each draws an animal about one unit from its centre to its end, `size` pixels long, in a pose and
colours of its own.
"""

from collections.abc import Callable

import cv2
import numpy as np

from mindssd.demo.fish import draw_fish
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
    ribbon,
    shaded,
    step,
    thrice,
)


def draw_jellyfish(rng: np.random.Generator, size: float) -> Sprite:
    """Draw a translucent jellyfish that trails its tentacles."""
    sketch = Sketch(size / 2, reach=(1.25, 1.3), angle=float(rng.normal(0, 0.35)))
    x, y = sketch.coordinates()
    hues: list[Colour] = [
        (1.00, 0.46, 0.80),
        (0.76, 0.52, 1.00),
        (0.95, 0.92, 1.00),
        (1.00, 0.62, 0.58),
    ]
    colour = hues[int(rng.integers(len(hues)))]
    pale = mix(colour, WHITE, 0.65)
    width, height = rng.uniform(0.52, 0.68), rng.uniform(0.55, 0.75)
    rim = -0.1

    tentacles = []
    for start in np.linspace(-0.82, 0.82, int(rng.integers(9, 14))) * width:
        length, sway = rng.uniform(0.55, 1.05), rng.uniform(-0.2, 0.2)
        down = np.linspace(0, 1, 20)
        wobble = 0.05 * np.sin(down * rng.uniform(6, 11) + rng.uniform(0, 6.28)) * down
        tentacles.append(
            np.stack([start * (1 - 0.25 * down) + sway * down**2 + wobble, rim + length * down], 1)
        )
    fade = 1 - 0.45 * step(y, 0.1, 1.0)
    sketch.paint(sketch.strokes(*tentacles, width=0.035), pale, opacity=0.75 * fade)
    arms = []
    for start in (-0.2, -0.05, 0.08, 0.2):
        down = np.linspace(0, 1, 24)
        sway = rng.uniform(-0.15, 0.15)
        frill = 0.05 * np.sin(down * 22 + rng.uniform(0, 6.28))
        line = np.stack([start + sway * down**2 + frill, rim + 0.8 * down], 1)
        arms.append(ribbon(line, 0.17 * (1 - down) ** 0.6 + 0.02))
    sketch.paint(sketch.outline(*arms), colour, roundness=0.06, opacity=0.8 * fade)

    turn = np.linspace(np.pi, 2 * np.pi, 40)
    dome = np.stack([width * np.cos(turn), rim + height * np.sin(turn)], 1)
    edge = np.linspace(1, -1, 50)
    scallop = np.abs(np.sin(edge * np.pi * 4.5)) * 0.07
    skirt = np.stack([width * edge, rim + 0.09 * (1 - edge**2) + scallop], 1)
    bell = sketch.outline(np.concatenate([dome, skirt]))
    radius = np.hypot(x / width, (y - rim) / height)
    glow = step(radius, 0.45, 1.02)
    ribs = 0.5 + 0.5 * np.cos(x / np.maximum(0.25, np.sqrt(np.abs(1.02 - radius))) * 13)
    skin = mix(mix(colour, WHITE, 0.15), pale, np.maximum(glow, 0.4 * ribs))
    sketch.paint(bell, skin * 1.12, roundness=0.4, gloss=0.7, opacity=0.58 + 0.34 * glow)
    deep = shaded(colour, 0.75)
    for place in (-0.5, -0.17, 0.17, 0.5):
        ring = ellipse((place * width, rim - 0.42 * height + 0.12 * abs(place)), 0.09, 0.07)
        sketch.paint(sketch.outline(ring), deep, roundness=0.04, opacity=0.55)
    if rng.random() < 0.5:
        spots = [
            ellipse((float(px) * width, rim - float(py) * height), 0.035, 0.028, points=12)
            for px, py in zip(rng.uniform(-0.6, 0.6, 9), rng.uniform(0.3, 0.75, 9), strict=True)
        ]
        sketch.paint(sketch.outline(*spots), WHITE, opacity=0.6)
    return sketch.sprite()


def draw_starfish(rng: np.random.Generator, size: float) -> Sprite:
    """Draw a five-armed starfish from above, its arms curled a little."""
    sketch = Sketch(
        size / 2,
        reach=(1.15, 1.15),
        angle=float(rng.uniform(0, 2 * np.pi)),
        tilt=float(rng.uniform(0.62, 1.0)),
    )
    x, y = sketch.coordinates()
    hues: list[tuple[Colour, Colour]] = [
        ((0.97, 0.52, 0.16), (1.00, 0.88, 0.55)),
        ((0.62, 0.22, 0.66), (0.98, 0.72, 0.88)),
        ((0.95, 0.74, 0.22), (0.78, 0.30, 0.10)),
        ((0.93, 0.38, 0.50), (1.00, 0.86, 0.74)),
    ]
    skin, bead = hues[int(rng.integers(len(hues)))]
    thick = rng.uniform(0.24, 0.34)
    arms = []
    for arm in range(5):
        direction = arm * 2 * np.pi / 5 + rng.normal(0, 0.07)
        curl, length = rng.normal(0, 0.22), rng.uniform(0.88, 1.05)
        reach = np.linspace(0, length, 20)
        bearing = direction + curl * (reach / length) ** 2
        arms.append(np.stack([reach * np.cos(bearing), reach * np.sin(bearing)], 1))
    taper = np.linspace(1, 0, 20)
    widths = 2 * thick * (0.22 + 0.78 * taper**0.9)
    pieces = [ribbon(arm, widths) for arm in arms]
    tips = [ellipse(arm[-1], 0.22 * thick, 0.22 * thick, points=14) for arm in arms]
    radius = np.hypot(x, y)
    grain = noise(rng, sketch.shape, cell=max(0.1 * sketch.scale, 2), octaves=2)
    field = mix(skin, shaded(skin, 0.72), step(radius, 0.3, 1.0) * 0.8)
    field = field * thrice(1 + 0.16 * grain)
    body = sketch.outline(*pieces, *tips, ellipse((0, 0), 1.25 * thick, 1.25 * thick))
    sketch.paint(body, field, roundness=0.85 * thick, gloss=0.25)
    beads = [ellipse((0, 0), 0.05, 0.05, points=12)]
    for arm in arms:
        beads += [
            ellipse(arm[k], 0.05 - 0.0017 * k, 0.05 - 0.0017 * k, 0, 12) for k in range(3, 19, 2)
        ]
        for side in (-1, 1):
            step_away = side * 0.5 * thick * np.stack([-arm[:, 1], arm[:, 0]], 1)
            edge = arm + step_away / np.maximum(np.hypot(*arm.T)[:, None], 0.2) * taper[:, None]
            beads += [ellipse(edge[k], 0.028, 0.028, 0, 10) for k in range(5, 16, 2)]
    sketch.paint(sketch.outline(*beads), bead, roundness=0.03, opacity=0.9)
    return sketch.sprite()


def draw_turtle(rng: np.random.Generator, size: float) -> Sprite:
    """Draw a sea turtle from above, swimming in any direction."""
    sketch = Sketch(
        size / 2,
        reach=(1.2, 1.2),
        angle=float(rng.uniform(0, 2 * np.pi)),
        flipped=bool(rng.random() < 0.5),
        tilt=float(rng.uniform(0.72, 1.0)),
    )
    x, y = sketch.coordinates()
    shells: list[tuple[Colour, Colour]] = [
        ((0.42, 0.40, 0.16), (0.80, 0.72, 0.36)),
        ((0.30, 0.44, 0.20), (0.72, 0.80, 0.42)),
        ((0.48, 0.30, 0.14), (0.88, 0.66, 0.34)),
    ]
    shell, seam = shells[int(rng.integers(len(shells)))]
    skin: Colour = (0.40, 0.56, 0.30)
    plates = noise(rng, sketch.shape, cell=max(0.09 * sketch.scale, 2))
    skin_field = mix(skin, (0.84, 0.88, 0.60), step(np.abs(plates), 0.10, 0.0) * 0.75)

    sweep = rng.uniform(-0.35, 0.45)
    limbs = []
    for side, stroke in ((-1, sweep), (1, sweep + rng.normal(0, 0.15))):
        tip = np.array([0.05 - stroke * 0.7, side * (0.95 - 0.12 * abs(stroke))])
        line = curve(np.array([[0.34, side * 0.28], [0.62, side * 0.62], tip]), 18)
        limbs.append(ribbon(line, 0.27 * np.sin(np.linspace(0.75, np.pi - 0.12, 18)) ** 0.8))
        kick = rng.uniform(-0.12, 0.12)
        line = curve(
            np.array([[-0.42, side * 0.26], [-0.66, side * 0.42], [-0.84 + kick, side * 0.5]])
        )
        limbs.append(ribbon(line, 0.2 * np.sin(np.linspace(0.9, np.pi - 0.2, 16)) ** 0.8))
    tail = np.array([[-0.6, -0.07], [-0.82, 0.0], [-0.6, 0.07]])
    sketch.paint(sketch.outline(*limbs, tail), skin_field, roundness=0.1, gloss=0.2)
    nod = rng.normal(0, 0.06)
    neck = ellipse((0.66, 0.5 * nod), 0.2, 0.13)
    head = ellipse((0.84, nod), 0.19, 0.145)
    sketch.paint(sketch.outline(neck, head), skin_field, roundness=0.13, gloss=0.2)
    for side in (-1, 1):
        paint_eye(sketch, 0.91, nod + side * 0.095, 0.035)

    turn = np.linspace(0, 2 * np.pi, 60, endpoint=False)
    egg = 0.5 * (1 + 0.12 * np.cos(turn))
    carapace = np.stack([0.68 * np.cos(turn), egg * np.sin(turn)], 1)
    sketch.paint(sketch.outline(carapace), mix(shell, seam, 0.55), roundness=0.16, gloss=0.2)
    seeds = [(at, 0.0) for at in (0.46, 0.22, -0.04, -0.3, -0.52)]
    seeds += [(at, side * 0.3) for at in (0.36, 0.1, -0.17, -0.42) for side in (-1, 1)]
    # The seam of two plates runs where their seeds are equally far.
    nearest, next_nearest = np.full((2, *sketch.shape), np.inf, np.float32)
    owner = np.zeros(sketch.shape, np.intp)
    for index, (seed_x, seed_y) in enumerate(seeds):
        distance = cv2.magnitude(
            x - np.float32(seed_x), (y - np.float32(seed_y)) * np.float32(0.85)
        )
        np.minimum(next_nearest, np.maximum(nearest, distance), out=next_nearest)
        owner[distance < nearest] = index
        np.minimum(nearest, distance, out=nearest)
    tone = rng.uniform(0.82, 1.18, len(seeds)).astype(np.float32)[owner]
    field = mix(shell, shaded(shell, 1.35), step(nearest, 0.16, 0.0))
    field = field * thrice(tone + 0.12 * plates)
    field = mix(seam, field, step(next_nearest - nearest, 0.015, 0.055))
    sketch.paint(sketch.outline(carapace * 0.9), field, roundness=0.42, gloss=0.4)
    return sketch.sprite()


def draw_crab(rng: np.random.Generator, size: float) -> Sprite:
    """Draw a red crab from the front, claws raised."""
    sketch = Sketch(
        size / 2,
        reach=(1.25, 1.05),
        angle=float(rng.normal(0, 0.12)),
        flipped=bool(rng.random() < 0.5),
        tilt=float(rng.uniform(0.85, 1.0)),
    )
    _, y = sketch.coordinates()
    reds: list[Colour] = [(0.90, 0.20, 0.12), (0.80, 0.12, 0.16), (0.94, 0.32, 0.12)]
    red = reds[int(rng.integers(len(reds)))]
    dark = shaded(red, 0.7)
    pale: Colour = (1.0, 0.78, 0.58)

    for side in (-1, 1):
        for leg in range(4):
            knee_x, lift = 0.74 - 0.05 * leg + rng.normal(0, 0.025), -0.12 + 0.15 * leg
            hip = np.array([side * 0.34, 0.12 + 0.04 * leg])
            knee = np.array([side * knee_x, lift + rng.normal(0, 0.03)])
            foot = np.array([side * (0.98 - 0.13 * leg), 0.5 + 0.09 * leg])
            sketch.paint(
                sketch.outline(
                    ribbon(np.linspace(hip, knee, 5), np.linspace(0.12, 0.1, 5)),
                    ellipse(knee, 0.05, 0.05, points=12),
                    ribbon(np.linspace(knee, foot, 6), np.linspace(0.1, 0.015, 6)),
                ),
                mix(dark, red, 0.25 * leg),
                roundness=0.05,
                gloss=0.2,
            )
    for side in (-1, 1):
        raised, grown = rng.uniform(-0.66, -0.38), rng.uniform(0.9, 1.2)
        elbow = np.array([side * 0.66, -0.12])
        wrist = np.array([side * rng.uniform(0.56, 0.7), raised])
        arm = np.concatenate(
            [np.linspace((side * 0.36, 0.05), elbow, 5), np.linspace(elbow, wrist, 5)]
        )
        sketch.paint(sketch.outline(ribbon(arm, 0.13)), red, roundness=0.06, gloss=0.2)
        opening = rng.uniform(0.15, 0.45)
        for finger, length in ((-1, 0.36), (1, 0.3)):
            bearing = -np.pi / 2 - side * 0.35 + finger * opening
            tip = wrist + length * grown * np.array([np.cos(bearing), np.sin(bearing)])
            bulge = wrist + 0.3 * grown * np.array(
                [np.cos(bearing + finger * 0.55), np.sin(bearing + finger * 0.55)]
            )
            line = curve(np.stack([wrist, bulge, tip]), 12)
            pincer = ribbon(line, 0.19 * grown * np.linspace(1, 0.12, 12))
            sketch.paint(
                sketch.outline(pincer),
                mix(red, pale, 0.75 * step(-y, 0.1 - wrist[1], 0.35 - wrist[1])),
                roundness=0.08,
                gloss=0.5,
            )
        palm = ellipse((float(wrist[0]), float(wrist[1]) - 0.04), 0.13 * grown, 0.15 * grown)
        sketch.paint(sketch.outline(palm), red, roundness=0.12, gloss=0.5)
    turn = np.linspace(0, 2 * np.pi, 48, endpoint=False)
    width = 0.52 * (1 - 0.16 * np.sin(turn)) * np.sign(np.cos(turn)) * np.abs(np.cos(turn)) ** 0.8
    shell = np.stack([width, 0.12 + 0.34 * np.sin(turn)], 1)
    for side in (-1, 1):
        stalk = np.array([[side * 0.15, -0.12], [side * 0.2, -0.36]])
        sketch.paint(sketch.strokes(stalk, width=0.06), red)
    spots = noise(rng, sketch.shape, cell=max(0.13 * sketch.scale, 2), octaves=2)
    field = mix(red, pale, step(spots, 0.3, 0.7) * 0.6)
    field = mix(field, pale, step(y, 0.2, 0.5) * 0.6)
    sketch.paint(sketch.outline(shell), field, roundness=0.3, gloss=0.6)
    for side in (-1, 1):
        paint_eye(sketch, side * 0.2, -0.38, 0.08)
    mouth = curve(np.array([[-0.14, 0.2], [0.0, 0.3], [0.14, 0.2]]))
    sketch.paint(sketch.strokes(mouth, width=0.03), BLACK, opacity=0.6)
    return sketch.sprite()


ANIMALS: dict[str, Callable[[np.random.Generator, float], Sprite]] = {
    "fish": draw_fish,
    "jellyfish": draw_jellyfish,
    "starfish": draw_starfish,
    "turtle": draw_turtle,
    "crab": draw_crab,
}
"""Each class's drawing function, in the order of the category ids."""

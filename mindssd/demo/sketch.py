"""Drawing for the demo: colours, noise, and a canvas of soft, lit shapes.

A colour is RGB in 0..1, (3, 1, 1) float32: by a field of numbers (H, W) it becomes (3, H, W).
"""

import cv2
import numpy as np
from numpy.random import Generator
from PIL import Image

from mindssd.types import Array, ImageSize

Field = float | Array

_REACH = 1.3  # units from a canvas's centre to its edges


def rgb(digits: str) -> Array:
    """Give the colour (3, 1, 1) of six hexadecimal digits."""
    return np.array([*bytes.fromhex(digits)], np.float32)[:, None, None] / 255


BLACK, WHITE, _SHADED, _LIT = rgb("0d0d14"), rgb("f7f7f2"), rgb("4a5b74"), rgb("fffdf5")


def choose(rng: Generator, *palettes: str) -> list[Array]:
    """Choose a row of colours, such as "f97514 ffffff", and vary each of them a little."""
    row = palettes[rng.integers(len(palettes))].split()
    return [rgb(digits) * rng.uniform(0.87, 1.1, (3, 1, 1)).astype(np.float32) for digits in row]


def mix(first: Array, second: Array, share: Field) -> Array:
    """Blend two colours or fields of them: `share` 0 gives the first, 1 the second."""
    return np.add(first, (second - first) * share)


def step(values: Array, low: float, high: float) -> Array:
    """Go smoothly from 0 at `low` to 1 at `high`, which may be the lower."""
    share = np.clip((values - low) / (high - low), 0, 1)
    return np.asarray(share * share * (3 - 2 * share))


def noise(
    rng: Generator, size: ImageSize, cell: float, octaves: int = 1, stretch: float = 1
) -> Array:
    """Make smooth noise (H, W) float32, about -1..1, of spots `cell` high and `stretch` as wide.

    Each further octave is half as large, though two pixels at least, and half as strong.
    """
    height, width = size
    total = np.zeros(size, np.float32)
    for octave in range(octaves):
        spot = max(cell / 2**octave, 2.0)
        grid = rng.random((2 + int(height / spot), 2 + int(width / (spot * stretch))), np.float32)
        smooth = cv2.resize(2 * grid - 1, (width, height), interpolation=cv2.INTER_CUBIC)
        total += smooth * np.float32(0.5**octave)
    return total


def relief(mask: Array, radius: float) -> Array:
    """Light a mask (H, W) uint8 as a body whose rim is rounded over `radius` pixels: in 0..1."""
    inside = (np.pad(mask, 1) > 127).astype(np.uint8)
    depth = np.minimum(cv2.distanceTransform(inside, cv2.DIST_L2, 3) / np.float32(radius), 1)
    height = np.sqrt(depth * (2 - depth)) * np.float32(radius)  # a quarter circle
    body = cv2.GaussianBlur(height, (0, 0), max(0.8, 0.22 * radius))
    slope_y, slope_x = (slope[1:-1, 1:-1] for slope in np.gradient(body))
    # The light comes from above, a little from the left and from the viewer.
    facing = 0.628 + 0.34 * slope_x + 0.70 * slope_y
    return np.asarray(np.maximum(facing / np.sqrt(1 + slope_x**2 + slope_y**2), 0))


class Sketch:
    """A canvas on which a drawing is built up from its parts, back to front.

    A unit is `unit` pixels. The drawing is turned by `angle` (radians, clockwise), then flattened
    by `tilt`, as if seen at a slant; light comes from above however it is turned. `x` and `y`, each
    (H, W), say where in the drawing a pixel is.
    """

    def __init__(self, unit: float, angle: float = 0, tilt: float = 1) -> None:
        side = 2 * round(_REACH * unit)
        self.unit, self.size = unit, (side, side)
        cosine, sine = np.float32(np.cos(angle)), np.float32(np.sin(angle))
        self._matrix = unit * np.array([[cosine, -sine], [tilt * sine, tilt * cosine]])
        self._layers = np.zeros((4, side, side), np.float32)  # colour by alpha, and alpha
        right = (np.arange(side, dtype=np.float32) - np.float32(side / 2 - 0.5)) / np.float32(unit)
        down = right[:, None] / np.float32(tilt)
        self.x, self.y = cosine * right + sine * down, cosine * down - sine * right

    def paint(
        self, colour: Array, *outlines: Array, rim: float = 0, gloss: float = 0, opacity: Field = 1
    ) -> None:
        """Lay one part, the union of its outlines, over the drawing.

        `colour` and `opacity` are single values or fields. `rim` is how broad in units the part's
        rounded rim is, 0 for a flat part; `gloss` is the strength of its highlight. Outlines beyond
        the canvas, or none, paint nothing.
        """
        mask = np.zeros(self.size, np.uint8)
        for outline in outlines:
            pixels = outline @ self._matrix.T + (self.size[0] - 1) / 2
            cv2.fillPoly(mask, [np.round(16 * pixels).astype(np.int32)], (255,), cv2.LINE_AA, 4)
        x, y, width, height = cv2.boundingRect(mask)
        if width == 0:
            return
        window = np.s_[..., y : y + height, x : x + width]
        part, canvas = mask[window], self._layers[window]
        colour = np.broadcast_to(colour, (3, *self.size))[window]
        if rim:
            light = relief(part, max(rim * self.unit, 1.0))
            colour = colour * mix(_SHADED, _LIT, light) + gloss * np.maximum(10 * light - 9, 0) ** 2
        alpha = part * (np.broadcast_to(opacity, self.size)[window] * np.float32(1 / 255))
        canvas *= 1 - alpha
        canvas[:3] += colour * alpha
        canvas[3] += alpha

    def sprite(self) -> Image.Image:
        """Give the drawing (RGBA) without its empty margins."""
        self._layers[:3] /= np.maximum(self._layers[3], 1e-3)
        image = Image.fromarray(to_bytes(self._layers))
        return image.crop(image.getbbox())


def to_bytes(field: Array) -> Array:
    """Turn a field (3 or 4, H, W) in 0..1 into an image (H, W, 3 or 4) uint8."""
    return np.clip(255 * field.transpose(1, 2, 0) + np.float32(0.5), 0, 255).astype(np.uint8, "C")

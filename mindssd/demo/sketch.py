"""Drawing for the demo data set: a canvas of soft, lit shapes with transparency, and noise.

Colours are RGB float32 in 0..1. Shapes are given in the drawing's own units (x to the right, y
down, the drawing within about -1..1) and drawn finer than the final resolution, so that
`Sketch.sprite` has smooth edges.
"""

from dataclasses import dataclass

import cv2
import numpy as np

from mindssd.types import Array, ImageSize

Colour = tuple[float, float, float]
Point = tuple[float, float] | Array

BLACK: Colour = (0.05, 0.05, 0.08)
WHITE: Colour = (0.97, 0.97, 0.95)

_SUBPIXEL_BITS = 4
# Sunlight from above, a little from the left and from the viewer; unit length.
_LIGHT = np.array([-0.34, -0.70, 0.63], np.float32)
_LIT: Colour = (1.06, 1.03, 0.98)
_SHADED: Colour = (0.20, 0.27, 0.38)


@dataclass(frozen=True)
class Sprite:
    """A drawing: `colour` (h, w, 3) float32 multiplied by its `alpha` (h, w) float32 in 0..1."""

    colour: Array
    alpha: Array

    def trimmed(self) -> "Sprite":
        """Cut off the empty margins."""
        x, y, width, height = cv2.boundingRect((self.alpha > 0.02).astype(np.uint8))
        window = np.s_[y : y + height, x : x + width]
        return Sprite(self.colour[window], self.alpha[window])


class Sketch:
    """A canvas on which a drawing is built up from its parts, back to front.

    One unit is `unit` pixels of the final sprite; the canvas covers `reach` units to each side. The
    drawing is mirrored where `flipped`, turned by `angle` (radians, clockwise) and then flattened
    vertically by `tilt`, as if seen at a slant. Light comes from above however it is turned.
    """

    def __init__(
        self,
        unit: float,
        reach: tuple[float, float] = (1.2, 1.2),
        angle: float = 0.0,
        flipped: bool = False,
        tilt: float = 1.0,
    ) -> None:
        oversampling = 2.0 if unit < 40 else 1.5  # a large drawing's details are large
        scale = unit * oversampling
        cosine, sine = np.cos(angle), np.sin(angle)
        mirror = -1.0 if flipped else 1.0
        turn = np.array([[cosine * mirror, -sine], [sine * mirror, cosine]])
        self._matrix = np.diag([1.0, tilt]) @ turn * scale  # (2, 2)
        self._size = (2 * int(np.ceil(unit * reach[0])), 2 * int(np.ceil(unit * reach[1])))
        width, height = (round(side * oversampling) for side in self._size)
        self._centre = np.array([width / 2, height / 2])
        self._colour = np.zeros((height, width, 3), np.float32)
        self._alpha = np.zeros((height, width), np.float32)
        self.scale = float(scale)
        self.shape: ImageSize = (height, width)

    def pixels(self, points: Array) -> Array:
        """Map points (n, 2) of the drawing to pixels of the canvas."""
        mapped: Array = np.asarray(points, np.float64) @ self._matrix.T + self._centre
        return mapped

    def coordinates(self) -> tuple[Array, Array]:
        """Give each canvas pixel's place in the drawing: x and y, each (H, W) float32."""
        height, width = self._alpha.shape
        inverse = np.linalg.inv(self._matrix).astype(np.float32)
        columns = np.arange(width, dtype=np.float32) - np.float32(self._centre[0])
        rows = (np.arange(height, dtype=np.float32) - np.float32(self._centre[1]))[:, None]
        x = columns * inverse[0, 0] + rows * inverse[0, 1]
        y = columns * inverse[1, 0] + rows * inverse[1, 1]
        return x, y

    def outline(self, *polygons: Array) -> Array:
        """Fill polygons, each (n, 2), together: a mask (H, W) uint8 with smooth edges."""
        mask = np.zeros(self._alpha.shape, np.uint8)
        for polygon in polygons:
            fixed = np.round(self.pixels(polygon) * 2**_SUBPIXEL_BITS).astype(np.int32)
            cv2.fillPoly(mask, [fixed], (255,), cv2.LINE_AA, _SUBPIXEL_BITS)
        return mask

    def strokes(self, *lines: Array, width: float) -> Array:
        """Draw polylines, each (n, 2), `width` units thick: a mask as of `outline`."""
        mask = np.zeros(self._alpha.shape, np.uint8)
        thickness = max(1, round(width * self.scale))
        for line in lines:
            fixed = np.round(self.pixels(line) * 2**_SUBPIXEL_BITS).astype(np.int32)
            cv2.polylines(mask, [fixed], False, (255,), thickness, cv2.LINE_AA, _SUBPIXEL_BITS)
        return mask

    def paint(
        self,
        mask: Array,
        colour: Colour | Array,
        roundness: float = 0.0,
        gloss: float = 0.0,
        opacity: float | Array = 1.0,
    ) -> None:
        """Lay one part over the drawing.

        `colour` is one colour or a field (H, W, 3), `opacity` a number or a field (H, W).
        `roundness` is the width in units of the part's rounded rim, 0 for a flat part; `gloss` is
        the strength of its highlight. An empty mask paints nothing.
        """
        x, y, width, height = cv2.boundingRect(mask)
        if width == 0:
            return
        window = np.s_[y : y + height, x : x + width]
        part = mask[window]
        field = np.asarray(colour, np.float32)
        if field.ndim == 3:
            field = field[window]
        if roundness > 0:
            light, highlight = relief(part, roundness * self.scale)
            field = field * mix(_SHADED, _LIT, light)
            if gloss > 0:
                field += thrice(gloss * highlight)
        opacity = opacity[window] if isinstance(opacity, np.ndarray) else opacity
        alpha = part.astype(np.float32) * (np.float32(1 / 255) * opacity)
        rest = 1 - alpha
        canvas = self._colour[window]
        canvas *= thrice(rest)
        canvas += mix((0, 0, 0), field, alpha) if field.ndim == 1 else field * thrice(alpha)
        self._alpha[window] = self._alpha[window] * rest + alpha

    def sprite(self) -> Sprite:
        """Bring the drawing to its final resolution."""
        return Sprite(
            colour=cv2.resize(self._colour, self._size, interpolation=cv2.INTER_AREA),
            alpha=cv2.resize(self._alpha, self._size, interpolation=cv2.INTER_AREA),
        )


def relief(mask: Array, radius: float) -> tuple[Array, Array]:
    """Light a mask as a body whose rim is rounded over `radius` pixels.

    Returns the light (H, W) in 0..1 and the highlight (H, W) in 0..1.
    """
    padded = cv2.copyMakeBorder(mask, 1, 1, 1, 1, cv2.BORDER_CONSTANT, value=(0,))
    inside = np.where(padded > 127, np.uint8(255), np.uint8(0))
    depth = cv2.distanceTransform(inside, cv2.DIST_L2, 3)
    depth = np.minimum(depth * np.float32(1 / max(radius, 1.0)), 1)
    height = np.sqrt(depth * (2 - depth)) * np.float32(max(radius, 1.0))  # a quarter circle
    body: Array = cv2.GaussianBlur(height, (0, 0), max(0.8, 0.22 * radius))
    slope_x = cv2.Sobel(body, cv2.CV_32F, 1, 0, ksize=3, scale=1 / 8)[1:-1, 1:-1]
    slope_y = cv2.Sobel(body, cv2.CV_32F, 0, 1, ksize=3, scale=1 / 8)[1:-1, 1:-1]
    toward = _LIGHT[2] - slope_x * _LIGHT[0] - slope_y * _LIGHT[1]
    light = np.maximum(toward / np.sqrt(1 + slope_x**2 + slope_y**2), 0)
    highlight = np.clip(light * 10 - 9, 0, 1)
    return 0.12 + 0.88 * light, highlight * highlight


def noise(
    rng: np.random.Generator, size: ImageSize, cell: float, octaves: int = 1, stretch: float = 1.0
) -> Array:
    """Make smooth random fractal noise (H, W) float32, about -1..1.

    Its coarsest spots are `cell` pixels wide and `stretch` times as high; each further octave is
    half as large and half as strong.
    """
    height, width = size
    cell = max(cell, 2.0)
    octaves = max(1, min(octaves, 1 + int(np.log2(cell))))  # none finer than a pixel
    rows, columns = int(height / (cell * stretch)) + 3, int(width / cell) + 3
    grid: Array = rng.random((rows, columns), np.float32) * 2 - 1
    for octave in range(1, octaves):  # each finer one on the enlarged sum of the coarser ones
        finer = (columns * 2**octave, rows * 2**octave)
        grid = cv2.resize(grid, finer, interpolation=cv2.INTER_CUBIC)
        grid = grid + (rng.random(grid.shape, np.float32) * 2 - 1) * np.float32(0.5**octave)
    full = (round(columns * cell), max(height, round(rows * cell * stretch)))
    if height == 1:
        grid = grid[:1]
        full = (full[0], 1)
    smooth: Array = cv2.resize(grid, full, interpolation=cv2.INTER_CUBIC)[:height, :width]
    return smooth


def mix(first: Colour | Array, second: Colour | Array, share: float | Array) -> Array:
    """Blend two colours or fields: `share` 0 gives the first, 1 the second.

    The result is a colour (3,) where all three are single values, and else a field (H, W, 3).
    """
    amount = np.asarray(share, np.float32)
    start, end = np.asarray(first, np.float32), np.asarray(second, np.float32)
    if amount.ndim == 2:
        if start.ndim == end.ndim == 1:
            gradient: Array = cv2.merge([amount * (end[c] - start[c]) + start[c] for c in range(3)])
            return gradient
        amount = thrice(amount)
    blended: Array = start + (end - start) * amount
    return blended


def thrice(field: Array) -> Array:
    """Repeat a field (H, W) for the three colours: (H, W, 3).

    Products of such arrays take a third of the time of NumPy's broadcasting over a last axis of 3.
    """
    repeated: Array = cv2.merge([field, field, field])
    return repeated


def step(values: Array, low: float, high: float) -> Array:
    """Rise smoothly from 0 at `low` to 1 at `high`."""
    share = np.clip((values - low) / (high - low), 0, 1)
    smooth: Array = (share * share * (3 - 2 * share)).astype(np.float32)
    return smooth


def ellipse(
    centre: Point, radius_x: float, radius_y: float, angle: float = 0.0, points: int = 28
) -> Array:
    """List the outline (points, 2) of an ellipse turned by `angle` (radians)."""
    turn = np.linspace(0, 2 * np.pi, points, endpoint=False)
    local = np.stack([radius_x * np.cos(turn), radius_y * np.sin(turn)], axis=1)
    cosine, sine = np.cos(angle), np.sin(angle)
    outline: Array = local @ np.array([[cosine, sine], [-sine, cosine]]) + np.asarray(centre)
    return outline


def ribbon(line: Array, widths: Array | float) -> Array:
    """Give a polyline (n, 2) a width at each point: the outline (2n, 2), round where it bends."""
    along = np.gradient(line, axis=0)
    along /= np.maximum(np.hypot(along[:, 0], along[:, 1])[:, None], 1e-9)
    across = np.stack([-along[:, 1], along[:, 0]], axis=1)
    half = np.broadcast_to(np.asarray(widths) / 2, len(line))[:, None]
    return np.concatenate([line + across * half, (line - across * half)[::-1]])


def curve(points: Array, num: int = 16) -> Array:
    """Draw a smooth Bézier curve of the given control points (k, 2): (num, 2)."""
    controls = np.asarray(points, np.float64)
    share = np.linspace(0, 1, num)[:, None, None]
    level: Array = np.broadcast_to(controls, (num, *controls.shape))
    while level.shape[1] > 1:  # de Casteljau
        level = level[:, :-1] * (1 - share) + level[:, 1:] * share
    result: Array = level[:, 0]
    return result


def paint_eye(sketch: Sketch, x: float, y: float, radius: float) -> None:
    """Paint an eye that looks to the right."""
    sketch.paint(sketch.outline(ellipse((x, y), radius, radius)), WHITE, roundness=0.04)
    pupil = ellipse((x + 0.01, y), 0.62 * radius, 0.62 * radius)
    sketch.paint(sketch.outline(pupil), BLACK)
    glint = ellipse((x + 0.3 * radius, y - 0.35 * radius), 0.25 * radius, 0.25 * radius, points=10)
    sketch.paint(sketch.outline(glint), WHITE)


def shaded(colour: Colour, strength: float) -> Colour:
    """Multiply a colour: darker below 1, brighter above."""
    red, green, blue = colour
    return strength * red, strength * green, strength * blue

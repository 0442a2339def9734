"""Default boxes: what the network's outputs are offsets from (arXiv:1512.02325, section 2.2).

Two schemes. Both know how many boxes stand at a cell before any grid is known, so that a head can
be built, and both lay their boxes level by level, row by row, column by column, shape by shape: the
order of the head's outputs.

The shape of a box is one of pixels: ratio 2 is twice as wide as high on the (resized) image, square
or not.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from mindssd.geometry.boxes import area, cxcywh_to_xyxy, pixels_to_unit
from mindssd.types import Array, ImageSize

Grid = tuple[int, int]
"""(rows, columns) of a level's feature map."""

MAX_OVERHANG = 0.1
"""By how much of the image a level may reach over it, before its step is no longer a power of 2."""

BLOCK_SIZE = 64
"""How many default boxes matching passes over together when a truth touches none of them."""


@dataclass(frozen=True, eq=False)
class Cells:
    """The cells of a level: `centres` (n, 2) and `step` (2,), x and y as fractions of the image.

    In order, row by row. Neighbours lie a step apart. float64.
    """

    centres: Array
    step: Array


@dataclass(frozen=True, eq=False)
class DefaultBoxes:
    """The default boxes of a network, A of them, in the order of its outputs.

    `boxes` and `boxes_cxcywh` (A, 4) float32 as fractions of the image. Boxes at the border reach
    over it and are not clipped. `cells` are each level's, and `num_per_cell` the boxes at each of
    them.
    """

    boxes: Array
    boxes_cxcywh: Array
    num_per_cell: tuple[int, ...]
    cells: tuple[Cells, ...]

    def __len__(self) -> int:
        return len(self.boxes)

    @cached_property
    def blocks(self) -> Array:
        """x1, y1, x2, y2 and area of the boxes, in K blocks of neighbours: (5, K, BLOCK_SIZE).

        In order; copies of the last box fill the last block.
        """
        num_blocks = -(-len(self) // BLOCK_SIZE)
        indices = np.minimum(np.arange(num_blocks * BLOCK_SIZE), len(self) - 1)
        rows = np.concatenate([self.boxes.T, area(self.boxes)[None]])  # (5, A)
        return np.ascontiguousarray(rows[:, indices].reshape(5, num_blocks, BLOCK_SIZE))

    @cached_property
    def block_extents(self) -> Array:
        """The box around each block: x1, y1, x2 and y2, (4, K)."""
        x1, y1, x2, y2, _ = self.blocks
        return np.stack([x1.min(axis=1), y1.min(axis=1), x2.max(axis=1), y2.max(axis=1)])


def level_step(image_length: int, grid_length: int) -> float:
    """How many pixels of the image lie between neighbouring cells of a level, along one axis.

    The next power of 2 over image / grid, as strided convolutions make it (a map of 19 cells over
    300 pixels has stride 16 and reaches 4 pixels over the edge). Where that would reach over the
    image by more than a tenth (3 cells of 128 over 300), the cells divide the image evenly instead.
    """
    if image_length < 1 or grid_length < 1:
        raise ValueError(f"{grid_length} cells over {image_length} pixels; both must be positive")
    nominal = 2.0 ** math.ceil(math.log2(image_length / grid_length))
    if grid_length * nominal > (1 + MAX_OVERHANG) * image_length:
        return image_length / grid_length
    return nominal


@dataclass(frozen=True)
class PaperDefaultBoxes:
    """The paper's boxes, with the three of the first map that the reference uses.

    Scales rise evenly from `min_scale` at the first level to `max_scale` at the last. The first
    level has a square of `first_level_scale`, then each of `first_level_aspect_ratios` and its
    inverse at its scale. Every other has a square, each of `aspect_ratios` and its inverse at its
    scale, then a square at the geometric mean of its scale and the next level's (of 1 after the
    last).

    A box of scale s covers s² of the image's area: on a square image s is its side as a fraction of
    the image's; on any other, a fraction of the geometric mean of height and width.
    """

    min_scale: float = 0.2
    max_scale: float = 0.95
    aspect_ratios: tuple[float, ...] = (2.0, 3.0)
    first_level_scale: float = 0.1
    first_level_aspect_ratios: tuple[float, ...] = (2.0,)

    def __post_init__(self) -> None:
        if not 0 < self.min_scale <= self.max_scale:
            raise ValueError(
                f"scales {self.min_scale} to {self.max_scale}; expected 0 < min <= max"
            )
        if not self.first_level_scale > 0:
            raise ValueError(f"first_level_scale is {self.first_level_scale}; expected > 0")
        _check_aspect_ratios((*self.aspect_ratios, *self.first_level_aspect_ratios))

    def boxes_per_location(self, num_levels: int) -> tuple[int, ...]:
        """3 at the first level and 6 at every other, with the ratios of the paper."""
        _check_num_levels(num_levels)
        others = 2 + 2 * len(self.aspect_ratios)
        return (1 + 2 * len(self.first_level_aspect_ratios), *([others] * (num_levels - 1)))

    def scales(self, num_levels: int) -> tuple[float, ...]:
        """One for each level, and 1 as the scale after the last. A single level has `min_scale`."""
        _check_num_levels(num_levels)
        rise = (self.max_scale - self.min_scale) / max(num_levels - 1, 1)
        return (*(self.min_scale + rise * level for level in range(num_levels)), 1.0)

    def generate(self, image_size: ImageSize, grids: Sequence[Grid]) -> DefaultBoxes:
        """The boxes of all levels, finest first. A grid without cells is a ValueError."""
        scales = self.scales(len(grids))
        side = math.sqrt(image_size[0] * image_size[1])
        shapes: list[Array] = []
        for level, scale in enumerate(scales[:-1]):
            if level == 0:
                first = (self.first_level_scale, 1.0)
                relative = [first, *_with_inverses(scale, self.first_level_aspect_ratios)]
            else:
                last = (math.sqrt(scale * scales[level + 1]), 1.0)
                relative = [(scale, 1.0), *_with_inverses(scale, self.aspect_ratios), last]
            sizes = [_width_height(size * side, ratio) for size, ratio in relative]
            shapes.append(np.asarray(sizes))  # (K, 2) float64
        return _lay(image_size, grids, shapes)


@dataclass(frozen=True)
class GridDefaultBoxes:
    """Boxes sized by their level's step, as for a feature pyramid (arXiv:1708.02002, section 4).

    Each aspect ratio (width over height) in turn, at `scales_per_octave` sizes from `scale` steps
    upwards, each 2^(1 / scales_per_octave) times the last. Where a level's step differs along the
    two axes, their geometric mean counts.
    """

    scale: float = 4.0
    scales_per_octave: int = 2
    aspect_ratios: tuple[float, ...] = (1.0, 2.0, 0.5)

    def __post_init__(self) -> None:
        if not self.scale > 0 or self.scales_per_octave < 1:
            raise ValueError(
                f"scale {self.scale} with {self.scales_per_octave} scales an octave; "
                "expected a positive scale and at least one"
            )
        if not self.aspect_ratios:
            raise ValueError("no aspect ratios; expected at least one")
        _check_aspect_ratios(self.aspect_ratios)

    def boxes_per_location(self, num_levels: int) -> tuple[int, ...]:
        """The same at every level: ratios times scales an octave."""
        _check_num_levels(num_levels)
        return (len(self.aspect_ratios) * self.scales_per_octave,) * num_levels

    def generate(self, image_size: ImageSize, grids: Sequence[Grid]) -> DefaultBoxes:
        """The boxes of all levels, finest first. A grid without cells is a ValueError.

        In float32 throughout, in the reference's order of operations: a truth that encloses several
        default boxes ties between them, and matching can only fall the same way on the same bits.
        """
        _check_num_levels(len(grids))
        exponents = np.arange(self.scales_per_octave) / self.scales_per_octave
        root = np.sqrt(np.asarray(self.aspect_ratios, np.float32))[:, None]
        octave = np.exp2(exponents).astype(np.float32)
        widths, heights = octave * root, octave / root  # (ratios, scales an octave)
        relative = np.stack([widths.ravel(), heights.ravel()], axis=1)  # (K, 2)
        shapes = []
        for rows, columns in grids:
            step_y, step_x = level_step(image_size[0], rows), level_step(image_size[1], columns)
            shapes.append(relative * np.float32(self.scale * math.sqrt(step_y * step_x)))
        return _lay(image_size, grids, shapes)


def _lay(image_size: ImageSize, grids: Sequence[Grid], shapes: Sequence[Array]) -> DefaultBoxes:
    """Put each level's shapes on the centre of each of its cells.

    Shapes are (K, 2) for each level, width and height in pixels. In the precision of the shapes,
    rounded to float32 at the end.
    """
    image_height, image_width = image_size
    precision = shapes[0].dtype
    levels, cells = [], []
    for (rows, columns), level_shapes in zip(grids, shapes, strict=True):
        step = level_step(image_width, columns), level_step(image_height, rows)
        level = np.empty((rows, columns, len(level_shapes), 4), precision)
        level[..., 0] = ((np.arange(columns) + 0.5) * step[0])[:, None]
        level[..., 1] = ((np.arange(rows) + 0.5) * step[1])[:, None, None]
        level[..., 2:] = level_shapes
        levels.append(level.reshape(-1, 4))
        sides = np.array((image_width, image_height), np.float64)
        centres = level[:, :, 0, :2].reshape(-1, 2) / sides
        cells.append(Cells(centres, step / sides))
    boxes_cxcywh = np.concatenate(levels)  # (A, 4) pixels
    return DefaultBoxes(
        boxes=pixels_to_unit(cxcywh_to_xyxy(boxes_cxcywh), image_size).astype(np.float32),
        boxes_cxcywh=pixels_to_unit(boxes_cxcywh, image_size).astype(np.float32),
        num_per_cell=tuple(map(len, shapes)),
        cells=tuple(cells),
    )


def _width_height(side: float, aspect_ratio: float) -> tuple[float, float]:
    """The box as large as a square of this side, `aspect_ratio` times as wide as high."""
    return side * math.sqrt(aspect_ratio), side / math.sqrt(aspect_ratio)


def _with_inverses(scale: float, aspect_ratios: tuple[float, ...]) -> list[tuple[float, float]]:
    return [(scale, value) for ratio in aspect_ratios for value in (ratio, 1 / ratio)]


def _check_aspect_ratios(aspect_ratios: tuple[float, ...]) -> None:
    for ratio in aspect_ratios:
        if not ratio > 0:
            raise ValueError(f"aspect ratio {ratio}; expected > 0")


def _check_num_levels(num_levels: int) -> None:
    if num_levels < 1:
        raise ValueError(f"{num_levels} levels; expected at least one")

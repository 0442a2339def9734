"""What is wrong with a data set's annotations: found once at loading, counted, and reported.

Little here stops a run. A box that cannot be a truth is dropped, one that reaches over its image is
clipped in training, and the report says how many of each and gives one example. Boxes that are in
another unit or form than COCO's altogether are an error: nothing could be learned from them.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, replace
from typing import Self

import numpy as np

from mindssd.errors import DatasetError, printable
from mindssd.types import Array

ROUNDING_PIXELS = 0.01
"""A box may reach this far over its image before its clipping is worth a report."""

_SHARE_LIMIT = 1.01
"""Shares of the image are at most 1, give or take rounding."""
_SMALLEST_SIDE = 8
"""In a smaller image a box of a pixel at its corner may be one."""
_ENOUGH_BOXES = 10
"""Fewer may look like corners by chance."""


@dataclass(frozen=True)
class Finding:
    """One kind of fault: how often, what was done, and one example; all within `every_example`."""

    count: int
    what: str
    example: str
    examples: tuple[str, ...] = ()

    def __str__(self) -> str:
        return f"{self.count} {self.what} (such as {printable(self.example)})"


@dataclass(frozen=True)
class CheckReport:
    """What was found in a data set and what became of it."""

    annotation_file: str
    num_images: int
    num_boxes: int
    num_crowds: int
    num_empty_images: int
    findings: tuple[Finding, ...] = ()

    def lines(self) -> list[str]:
        """Say it in a few lines, for printing once."""
        summary = (
            f"{self.annotation_file}: {self.num_images} images, {self.num_boxes} boxes, "
            f"{self.num_crowds} crowds, {self.num_empty_images} images without boxes"
        )
        empty = [] if self.num_boxes else ["  no boxes: nothing to learn, and no AP"]
        return [summary, *empty, *(f"  {finding}" for finding in self.findings)]

    def with_findings(self, *findings: Finding) -> Self:
        return replace(self, findings=(*self.findings, *findings))


_EVERY = ContextVar("every example is kept", default=False)


@contextmanager
def every_example() -> Iterator[None]:
    """Keep all examples of what is found meanwhile: for a list of changes."""
    token = _EVERY.set(True)
    try:
        yield
    finally:
        _EVERY.reset(token)


def finding_of(what: str, examples: Sequence[str]) -> Finding:
    """Make a finding of its examples, one or more."""
    return Finding(len(examples), what, examples[0], tuple(examples) if _EVERY.get() else ())


def count_where(faults: Array, what: str, example: Callable[[int], str]) -> list[Finding]:
    """Make a finding of a mask of faults, with the first one as example; none where all is well."""
    rows = np.flatnonzero(faults)
    if not len(rows):
        return []
    examples = tuple(map(example, rows.tolist())) if _EVERY.get() else ()
    return [Finding(len(rows), what, example(int(rows[0])), examples)]


@dataclass(frozen=True)
class Boxes:
    """n boxes as annotated, for their check.

    `xywh` (n, 4) float64 in pixels, `sizes` (n, 2) the (height, width) of each one's image, 0 where
    not known; `image_names(i)` names box i's image in an example.
    """

    xywh: Array
    sizes: Array
    image_names: Callable[[int], str]

    def corners(self) -> Array:
        return np.concatenate([self.xywh[:, :2], self.xywh[:, :2] + self.xywh[:, 2:]], axis=1)

    def example(self, index: int) -> str:
        """Show a box by its corners."""
        x, y, width, height = self.xywh[index]
        return f"({_values(x, y, x + width, y + height)}) in {self.image_names(index)}"

    def raw_example(self, index: int) -> str:
        """Show a box as annotated."""
        return f"bbox [{_values(*self.xywh[index])}] in {self.image_names(index)}"


def check_boxes(boxes: Boxes) -> tuple[Array, list[Finding]]:
    """Tell which boxes can be truths, (n,) bool, and what is wrong with the others.

    n = 0 gives no findings. DatasetError as in `_require_pixels` and `_require_sides`.
    """
    # Columns are long: with a box each in a row of memory, all this takes a third of the time.
    corners = np.ascontiguousarray(boxes.corners().T)  # (4, n)
    finite = np.isfinite(corners).all(axis=0)
    safe = np.where(finite, corners, 0)
    sides = np.where(finite, boxes.xywh[:, 2:].T, 0)
    inverted = finite & (sides < 0).any(axis=0)
    # A side that is lost in the rounding of its corners is none.
    without_area = finite & ~inverted & (safe[2:] <= safe[:2]).any(axis=0)
    limits = np.where(boxes.sizes > 0, boxes.sizes, np.inf).T[::-1]  # (2, n), of x and y
    clipped = np.clip(safe, 0, np.concatenate([limits, limits])).astype(np.float32)
    sound = finite & ~inverted & ~without_area
    outside = sound & (clipped[2:] <= clipped[:2]).any(axis=0)
    keep = sound & ~outside
    over = keep & (safe[2:] > limits + 1).any(axis=0)
    _require_sides(boxes, over, limits, keep)
    in_shares = keep & _in_shares(boxes)
    if in_shares.any():
        _require_pixels(boxes, in_shares, keep)
    keep &= ~in_shares
    reaching_over = keep & (np.abs(safe - clipped) > ROUNDING_PIXELS).any(axis=0)
    return keep, [
        *count_where(~finite, "boxes that are not finite: dropped", boxes.example),
        *count_where(inverted, "inverted boxes: dropped", boxes.example),
        *count_where(without_area, "boxes without area: dropped", boxes.example),
        *count_where(outside, "boxes wholly outside their image: dropped", boxes.example),
        *count_where(in_shares, "boxes within 0..1, no pixels: dropped", boxes.example),
        *count_where(reaching_over, "boxes partly outside their image: clipped", boxes.example),
    ]


def first_of_twins(*columns: Array) -> Array:
    """Tell the rows that are no repetition of an earlier one: (n,) bool.

    Columns are (n,) or (n, k), of integers, booleans or float64.
    """
    if not len(columns[0]):
        return np.ones(0, np.bool_)
    parts = [column.reshape(len(column), -1) for column in columns]
    bits = np.concatenate(
        [
            (part + 0.0).view(np.uint64)  # + 0.0 makes one zero of the two
            if part.dtype == np.float64
            else part.astype(np.int64).view(np.uint64)
            for part in parts
        ],
        axis=1,
    )
    mixed = np.zeros(len(bits), np.uint64)
    for column in bits.T:
        mixed = (mixed ^ column) * np.uint64(0x9E3779B97F4A7C15)
        mixed ^= mixed >> np.uint64(29)
    ordered = np.sort(mixed)
    again = ordered[1:] == ordered[:-1]
    first = np.ones(len(bits), np.bool_)
    if again.any():
        rows = np.flatnonzero(np.isin(mixed, ordered[1:][again]))
        rows = rows[np.argsort(mixed[rows], kind="stable")]  # twins side by side, the first first
        first[rows[1:]] = (bits[rows[1:]] != bits[rows[:-1]]).any(axis=1)
    return first


def _in_shares(boxes: Boxes) -> Array:
    """Tell boxes of numbers within 0..1, of images that have more pixels: (n,) bool.

    Not by their corners: those of YOLO's, of a centre and sides, end above 1 if read as COCO's.
    """
    tiny: Array = (np.abs(boxes.xywh - 0.5) <= _SHARE_LIMIT - 0.5).all(axis=1)
    larger: Array = ((boxes.sizes == 0) | (boxes.sizes >= _SMALLEST_SIDE)).all(axis=1)
    return tiny & larger


def _require_pixels(boxes: Boxes, in_shares: Array, keep: Array) -> None:
    """Raise DatasetError where all boxes that are left are shares of their images."""
    if not in_shares[keep].all():
        return
    way_out = "multiply x and width by the image's width, y and height by its height"
    over = in_shares & (boxes.corners()[:, 2:] > _SHARE_LIMIT).any(axis=1)
    if over.any():
        way_out += "; x and y are those of centres, as YOLO's: subtract half the width and height"
    raise DatasetError(
        f"its {np.count_nonzero(in_shares)} boxes lie within 0..1, such as "
        f"{boxes.raw_example(int(np.argmax(over if over.any() else in_shares)))}: they seem to be "
        f"shares of the image, where COCO has pixels; {way_out}"
    )


def _require_sides(boxes: Boxes, over: Array, limits: Array, keep: Array) -> None:
    """Raise DatasetError where boxes are (x1, y1, x2, y2), though COCO's are (x, y, width, height).

    So they are taken to be where every one makes a box as corners within its image, and a fifth of
    them reaches over it as sides: `over` (n,). `limits` (2, n) are the images' width and height.
    """
    num_boxes, num_over = np.count_nonzero(keep), np.count_nonzero(over)
    if num_boxes < _ENOUGH_BOXES or num_over < 0.2 * num_boxes:
        return
    first, second = boxes.xywh[keep, :2], boxes.xywh[keep, 2:]
    if (second > first).all() and (second <= limits.T[keep] + 1).all():
        raise DatasetError(
            f"its boxes seem to be corners (x1, y1, x2, y2), such as "
            f"{boxes.raw_example(int(np.argmax(over)))}, where COCO has (x, y, width, height): "
            f"{num_over} of {num_boxes} reach over their image, and none does as corners; "
            "subtract x1 from x2 and y1 from y2"
        )


def _values(*numbers: float) -> str:
    return ", ".join(f"{value:g}" for value in numbers)

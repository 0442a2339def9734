"""The rows of class layers, moved from one detector to another by the classes' names.

A class layer that predicts for k default boxes of a cell has k · (C + 1) rows: for each box the
background's, then each class's, in the order of the class names.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from mindssd.errors import WeightsError
from mindssd.types import Array

CLASS_PREDICTION = re.compile(r"head\.classes\.(?:\d+\.)?predict\.(?:weight|bias)")
_NUM_EXAMPLES = 3


@dataclass(frozen=True)
class ClassRows:
    """Which classes keep the rows that a checkpoint has for them, which start fresh, and which of
    the checkpoint's have no place."""

    kept: tuple[str, ...]
    fresh: tuple[str, ...]
    left_out: tuple[str, ...]

    @classmethod
    def of(cls, theirs: Sequence[str], ours: Sequence[str]) -> "ClassRows":
        return cls(
            kept=tuple(name for name in ours if name in theirs),
            fresh=tuple(name for name in ours if name not in theirs),
            left_out=tuple(name for name in theirs if name not in ours),
        )

    def summary(self) -> str:
        """Part of a line for the log."""
        parts = [
            f"{len(names)} {what}: {some(names)}"
            for what, names in (
                ("classes taken from it", self.kept),
                ("start fresh", self.fresh),
                ("left out", self.left_out),
            )
            if names
        ]
        return ", ".join(parts)


def move_rows(
    parameters: Mapping[str, Array],
    initial: Mapping[str, Array],
    theirs: Sequence[str],
    ours: Sequence[str],
) -> dict[str, Array]:
    """The class layers of `initial` with a checkpoint's rows for background and shared classes.

    `theirs` and `ours` are the class names of the checkpoint and of the network. Names of layers
    are on both sides. WeightsError where a layer has not as many rows as classes and boxes need.
    """
    rows = [0, *(1 + ours.index(name) for name in ours if name in theirs)]
    sources = [0, *(1 + theirs.index(name) for name in ours if name in theirs)]
    moved = {}
    for name, fresh in initial.items():
        if not CLASS_PREDICTION.fullmatch(name):
            continue
        found = parameters[name]
        by_box = _by_box(found, len(theirs)), _by_box(fresh, len(ours))
        if by_box[0] is None or by_box[1] is None or by_box[0].shape[::2] != by_box[1].shape[::2]:
            raise WeightsError(
                f"{name} {found.shape} of {len(theirs)} classes does not fit {fresh.shape} of "
                f"{len(ours)}; is it of another recipe, backbone or image size?"
            )
        result = by_box[1].copy()  # (boxes, classes + 1, values of a row)
        result[:, rows] = by_box[0][:, sources]
        moved[name] = result.reshape(fresh.shape)
    return moved


def some(names: Sequence[str]) -> str:
    """The first few names."""
    more = ", …" if len(names) > _NUM_EXAMPLES else ""
    return ", ".join(names[:_NUM_EXAMPLES]) + more


def _by_box(rows: Array, num_classes: int) -> Array | None:
    """A layer's rows as (boxes, classes + 1, values of a row); None where they do not divide."""
    if len(rows) % (num_classes + 1):
        return None
    return rows.reshape(len(rows) // (num_classes + 1), num_classes + 1, -1)

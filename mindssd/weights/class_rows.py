"""The rows of class layers, moved from one detector to another by the classes' names.

A class layer that predicts for k default boxes of a cell has k · (C + 1) rows: for each box the
background's, then each class's, in the order of the class names.
"""

import difflib
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np

from mindssd.errors import ConfigError, WeightsError
from mindssd.platform import as_typed
from mindssd.types import Array

CLASS_PREDICTION = re.compile(r"head\.classes\.(?:\d+\.)?predict\.(?:weight|bias)")
NO_MAP: Mapping[str, str] = MappingProxyType({})
_NUM_EXAMPLES = 3
_NUM_OWN = 12
"""A data set's own classes, which are few as a rule, are named up to so many."""
_NUM_THERE = 100
"""All of COCO's, for who looks for a name among them."""
_NO_TEXT = ("yes", "no", "on", "off", "true", "false", "null")
"""Words that YAML takes for values."""


@dataclass(frozen=True)
class ClassRows:
    """Which classes take which rows of a checkpoint, which start fresh, and which of the
    checkpoint's have no place."""

    taken: Mapping[str, str]
    """Of the network's classes, in their order, the checkpoint's class whose rows they take."""
    fresh: tuple[str, ...]
    left_out: tuple[str, ...]

    def summary(self) -> str:
        """Part of a line for the log."""
        taken = [o if o == theirs else f"{o} from {theirs}" for o, theirs in self.taken.items()]
        parts = [
            f"{len(names)} {what}: {some(names, limit)}"
            for what, names, limit in (
                ("classes taken from it", taken, _NUM_OWN),
                ("start fresh", self.fresh, _NUM_OWN),
                ("left out", self.left_out, _NUM_EXAMPLES),
            )
            if names
        ]
        respelled = self._respelled()
        if respelled:
            pairs = ", ".join(f"{_yaml(o)}: {_yaml(theirs)}" for o, theirs in respelled.items())
            parts.append(f"{as_typed(f'class_map={{{pairs}}}')} would take these too")
        return ", ".join(parts)

    def _respelled(self) -> dict[str, str]:
        """Fresh classes that are left out under another spelling."""
        plain = {_plain(name): name for name in self.left_out}
        return {name: plain[_plain(name)] for name in self.fresh if _plain(name) in plain}


def class_rows(
    theirs: Sequence[str], ours: Sequence[str], class_map: Mapping[str, str], source: str
) -> ClassRows:
    """Find for each of our classes the checkpoint's of the same name, or of the one mapped to it.

    `class_map` has the checkpoint's class by ours. ConfigError where it names a class that is not
    there, or gives one that the checkpoint has by its own name the rows of another; `source` is the
    checkpoint, for that.
    """
    for own, other in class_map.items():
        if own not in ours:
            raise _unknown(own, "the data set", ours)
        if other not in theirs:
            raise _unknown(other, source, theirs)
        if own in theirs and other != own:
            raise ConfigError(
                f"class_map: {own} is a class of {source} too and keeps its rows, so that {other} "
                "cannot give it others; leave it out"
            )
    sources = {name: name if name in theirs else class_map.get(name) for name in ours}
    taken = {name: other for name, other in sources.items() if other is not None}
    return ClassRows(
        taken=taken,
        fresh=tuple(name for name in ours if name not in taken),
        left_out=tuple(name for name in theirs if name not in taken.values()),
    )


def _unknown(name: str, owner: str, known: Sequence[str]) -> ConfigError:
    near = difflib.get_close_matches(name, known, n=1)
    hint = f"; did you mean {near[0]}?" if near else ""
    return ConfigError(f"class_map: {owner} has no class {name!r}: {some(known, _NUM_THERE)}{hint}")


def _yaml(name: str) -> str:
    """A class's name as a value of `class_map`: in quotes where YAML takes it for something else.

    As `no`, `1` and what holds marks.
    """
    is_plain = re.fullmatch(r"[^\W\d][\w -]*\w", name) and name.casefold() not in _NO_TEXT
    return name if is_plain else json.dumps(name, ensure_ascii=False)


def _plain(name: str) -> str:
    return " ".join(re.sub(r"[_-]", " ", name.casefold()).split())


def move_rows(
    parameters: Mapping[str, Array],
    initial: Mapping[str, Array],
    theirs: Sequence[str],
    ours: Sequence[str],
    taken: Mapping[str, str],
) -> dict[str, Array]:
    """The class layers of `initial` with a checkpoint's rows for background and `taken` classes.

    `theirs` and `ours` are the class names of the checkpoint and of the network, `taken` has the
    checkpoint's class by ours. Names of layers are on both sides. WeightsError where a layer has
    not as many rows as classes and boxes need.
    """
    rows = [0, *(1 + ours.index(name) for name in taken)]
    sources = [0, *(1 + theirs.index(name) for name in taken.values())]
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


def divide_logits(parameters: Mapping[str, Array], temperature: float) -> dict[str, Array]:
    """The parameters of a network whose logits are those of this one, divided by `temperature`.

    Its class layers are linear, so that whatever runs them, an export too, gives these logits.
    """
    return {
        name: value / np.float32(temperature) if CLASS_PREDICTION.fullmatch(name) else value
        for name, value in parameters.items()
    }


def some(names: Sequence[str], limit: int = _NUM_EXAMPLES) -> str:
    """The first few names."""
    more = ", …" if len(names) > limit else ""
    return ", ".join(names[:limit]) + more


def _by_box(rows: Array, num_classes: int) -> Array | None:
    """A layer's rows as (boxes, classes + 1, values of a row); None where they do not divide."""
    if len(rows) % (num_classes + 1):
        return None
    return rows.reshape(len(rows) // (num_classes + 1), num_classes + 1, -1)

"""What an annotation file calls its images and categories: numbers, numbers as text, or names."""

import itertools
import math
import re
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from typing import Any

import numpy as np

from mindssd.types import Array

_WHOLE_NUMBER = re.compile(r"[+-]?\d{1,99}(\.0+)?")
_INT64 = range(-(2**63) + 1, 2**63)

Key = int | str
UNKNOWN, NO_REFERENCE = -1, -2


def key_of(value: Any) -> Key | None:
    """What an id is told by: 7, 7.0, "7" and "007" are one; other text is itself.

    None for what is no id: null, true, lists, empty text.
    """
    if type(value) is int:
        return value
    if isinstance(value, float) and math.isfinite(value):
        return int(value) if value.is_integer() else repr(value)
    if isinstance(value, str):
        text = value.strip()
        if text.isascii() and _WHOLE_NUMBER.fullmatch(text):
            return int(text.partition(".")[0])
        return text or None
    return None


def as_numbers(keys: Sequence[Key]) -> Array:
    """Whole numbers (n,) int64 for keys that differ: themselves, or 1, 2, … where one is text."""
    if all(isinstance(key, int) and key in _INT64 for key in keys):
        return np.array(keys, np.int64)
    return np.arange(1, len(keys) + 1)


def positions(
    values: Sequence[Any], keys: Sequence[Key], names: Callable[[], Mapping[str, int]]
) -> Array:
    """Find the things that values refer to among those of different `keys`: (n,) int64 positions.

    What is no key may be a name, in any case: `names()` gives its position. What refers to nothing
    is UNKNOWN, what is no reference at all NO_REFERENCE.
    """
    places = {key: place for place, key in enumerate(keys)}
    if set(map(type, values)) <= {int}:
        found = map(places.get, values, itertools.repeat(UNKNOWN))
        return np.fromiter(found, np.int64, len(values))
    by_name = cache(names)

    def position(value: Any) -> int:
        key = key_of(value)
        if key is None:
            return NO_REFERENCE
        if key in places or not isinstance(value, str):
            return places.get(key, UNKNOWN)
        return by_name().get(value, by_name().get(value.strip().casefold(), UNKNOWN))

    return np.fromiter(map(position, values), np.int64, len(values))

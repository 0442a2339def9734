"""Lines and zones at which objects are counted, as they are written: words and JSON files."""

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np

from mindssd.errors import ConfigError, printable
from mindssd.geometry.crossing import Point, self_crossing
from mindssd.types import Array, ImageSize

Kind = Literal["line", "zone"]

LINE_WORDS = "x1,y1,x2,y2, or NAME=x1,y1,x2,y2"
ZONE_SHAPE = '[[x, y], [x, y], [x, y], …] or {"zones": [{"name": …, "polygon": [[x, y], …]}, …]}'

_MOST_BYTES = 1 << 20
_MOST_CORNERS = 1000
_FARTHEST = 1e6
_DOUBTFUL = 2.0
"""Where no number is so large, pixels are hardly meant."""


@dataclass(frozen=True)
class Place:
    """A line from its first to its second point, or a zone with its corners.

    In pixels, x to the right and y down; or where no number exceeds 1, in fractions of the
    picture's width and height.
    """

    name: str
    kind: Kind
    points: tuple[Point, ...]

    @property
    def is_in_fractions(self) -> bool:
        return all(0 <= value <= 1 for point in self.points for value in point)

    def on(self, size: ImageSize) -> Array:
        """The points (n, 2) float64 in pixels of a picture; ConfigError where it has none of it."""
        height, width = size
        points = np.array(self.points, np.float64)
        if self.is_in_fractions:
            return points * (width, height)
        low, high = points.min(axis=0), points.max(axis=0)
        if (high < 0).any() or low[0] > width or low[1] > height:
            raise ConfigError(
                f"the {self.kind} {self.name!r} lies outside of the picture, {width} × {height} "
                "pixels; give it in these, or in fractions from 0 to 1"
            )
        return points


def find_places(lines: Sequence[str], zones: Sequence[str]) -> tuple[Place, ...]:
    """The places of `--count-line` and `--count-zone`; ConfigError for what is none of these.

    Those without a name are called `line 1`, `zone 1` and on, each by its number.
    """
    found = [_line(word) for word in lines]
    for word in zones:
        found += _of_file(word)
    numbers: Counter[str] = Counter()
    named = []
    for place in found:
        numbers[place.kind] += 1
        named.append(place if place.name else replace(place, name=_numbered(place, numbers)))
    doubled = [name for name, count in Counter(place.name for place in named).items() if count > 1]
    if doubled:
        raise ConfigError(f"two lines or zones are called {doubled[0]}; give each its own name")
    return tuple(named)


def _numbered(place: Place, numbers: Counter[str]) -> str:
    return f"{place.kind} {numbers[place.kind]}"


def _line(word: str) -> Place:
    name, mark, text = word.rpartition("=")
    where = f"--count-line {word}"
    if mark and not name.strip():
        raise ConfigError(f"{where}: has no name before the =; expected {LINE_WORDS}")
    parts = text.split(",")
    try:
        values = [float(part) for part in parts]
    except ValueError as error:
        raise ConfigError(f"{where}: expected {LINE_WORDS}, as in 0,240,640,240") from error
    if len(values) != 4:
        raise ConfigError(f"{where}: has {len(values)} numbers; expected {LINE_WORDS}")
    return _checked(where, name.strip(), "line", [values[:2], values[2:]])


def _of_file(word: str) -> list[Place]:
    path = Path(word).expanduser()
    where = f"--count-zone {word}"
    try:
        with path.open("rb") as file:
            data = file.read(_MOST_BYTES + 1)
    except OSError as error:
        raise ConfigError(f"{where}: cannot be read: {error.strerror}") from error
    except ValueError as error:  # no file system takes a null byte in a name
        raise ConfigError(f"--count-zone {word!r}: cannot be read: {error}") from error
    if len(data) > _MOST_BYTES:
        raise ConfigError(f"{where}: is larger than {_MOST_BYTES >> 20} MiB: no polygon is")
    try:
        content = json.loads(data.decode("utf-8-sig"))
    except (ValueError, RecursionError) as error:
        raise ConfigError(f"{where}: is no JSON ({error}); expected {ZONE_SHAPE}") from error
    if isinstance(content, list) and content and isinstance(content[0], list):
        return [_checked(where, "", "zone", content)]
    if isinstance(content, dict) and "polygon" in content:
        return [_entry(where, "zone", content)]
    if isinstance(content, dict) and ("zones" in content or "lines" in content):
        found = []
        for key, kind in (("lines", "line"), ("zones", "zone")):
            entries = content.get(key, [])
            if not isinstance(entries, list):
                raise ConfigError(f"{where}: {key} is no list; expected {ZONE_SHAPE}")
            found += [_entry(where, "line" if kind == "line" else "zone", one) for one in entries]
        if found:
            return found
    raise ConfigError(f"{where}: holds no zone; expected {ZONE_SHAPE}")


def _entry(where: str, kind: Kind, entry: Any) -> Place:
    key = "polygon" if kind == "zone" else "line"
    if not isinstance(entry, dict) or key not in entry:
        raise ConfigError(f'{where}: a {kind} is not {{"name": …, "{key}": [[x, y], …]}}')
    name = entry.get("name", "")
    if not isinstance(name, str):
        raise ConfigError(f"{where}: the name {name!r} of a {kind} is no text")
    return _checked(where, name.strip(), kind, entry[key])


def _checked(where: str, name: str, kind: Kind, points: Any) -> Place:
    called = f"{where}: {kind} {name}" if name else where
    if name != printable(name) or len(name) > 100:
        raise ConfigError(f"{where}: the name of a {kind} is one line of at most 100 letters")
    corners = [_point(called, one) for one in points] if isinstance(points, list) else []
    if kind == "line":
        if len(corners) != 2 or corners[0] == corners[1]:
            raise ConfigError(f"{called}: expected two points that differ")
        return _in_units(called, Place(name, kind, tuple(corners)))
    if len(corners) > 1 and corners[0] == corners[-1]:
        corners.pop()  # closed, as GeoJSON has it
    if len(corners) > _MOST_CORNERS:
        raise ConfigError(f"{called}: has {len(corners)} corners; at most {_MOST_CORNERS}")
    if len(set(corners)) < 3:
        raise ConfigError(f"{called}: expected three corners or more; expected {ZONE_SHAPE}")
    corners = [corner for k, corner in enumerate(corners) if corner != corners[k - 1]]
    if np.linalg.matrix_rank(np.array(corners) - np.array(corners[0])) < 2:
        raise ConfigError(f"{called}: its corners lie on one line")
    if (pair := self_crossing(corners)) is not None:
        raise ConfigError(
            f"{called}: its sides {pair[0]} and {pair[1]} cross; give the corners in their order "
            "around the zone, or two zones"
        )
    return _in_units(called, Place(name, kind, tuple(corners)))


def _in_units(called: str, place: Place) -> Place:
    """The same; ConfigError where its numbers are fractions that lie beside the picture."""
    largest = max(abs(value) for point in place.points for value in point)
    if largest < _DOUBTFUL and not place.is_in_fractions:
        raise ConfigError(
            f"{called}: its numbers are too small for pixels, and fractions of the picture are "
            "from 0 to 1"
        )
    return place


def _point(called: str, point: Any) -> Point:
    is_pair = isinstance(point, list) and len(point) == 2
    if not is_pair or not all(type(value) in (int, float) for value in point):
        raise ConfigError(f"{called}: {json.dumps(point)[:60]} is no point; expected [x, y]")
    # A whole number of JSON may be larger than any float; no comparison with NaN holds.
    if not all(abs(value) <= _FARTHEST for value in point):
        raise ConfigError(f"{called}: {json.dumps(point)[:60]} is no point of a picture")
    x, y = (float(value) for value in point)
    return x, y

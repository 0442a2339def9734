"""Objects counted as they cross lines and the borders of zones."""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np

from mindssd.geometry.crossing import beyond_line, crosses, inside_polygon, polygon_area
from mindssd.inference.tracking import Sighting
from mindssd.predict.places import Kind, Place
from mindssd.types import Array, ImageSize

Anchor = Literal["centre", "bottom"]
"""The point of a box that counts: its middle, or the middle of its lower side."""

Direction = Literal["in", "out", "appeared"]
"""Over a line to its left (in) or right (out), into a zone or out of it; or first seen within."""

DIRECTIONS: tuple[Direction, ...] = ("in", "out", "appeared")

_MARGIN = 0.1
"""A point is beyond a border once it is so far: in parts of the box's and the zone's size."""

_LEAST_MARGIN = 1.0

_APPEARED_S = 0.5
"""What is first seen within a zone appeared once it was seen for so long: errors are shorter."""


@dataclass(frozen=True)
class Crossing:
    """An object has crossed, in the first frame that saw it beyond, or has appeared."""

    place: str
    kind: Kind
    direction: Direction
    class_id: int
    track: int
    frame: int
    seconds: float


@dataclass
class _State:
    """Where an object is, as one place sees it: on side 1 (left or inside), -1, or 0: not yet."""

    point: tuple[float, float]
    sign: int
    side: int = 0
    since: tuple[int, float] = (0, 0.0)
    """Frame and time of its last change of sign."""
    has_crossed: bool = True
    """Whether that was over the line itself, not beside its ends."""
    appearing: tuple[int, float] | None = None
    """Frame and time since when it is first seen within a zone, and not yet counted."""


class Counting:
    """Counts at one place of one video, on pictures of `size`.

    A box at the border, however it trembles there, counts once it is beyond by a tenth of its own
    size. What is first seen at the border comes from no side: at a line it is not counted, in a
    zone it appeared. That counts once it was seen for half a second, or leaves. ConfigError
    where the place lies outside of the picture.
    """

    def __init__(self, place: Place, size: ImageSize, anchor: Anchor) -> None:
        self.place = place
        self.points: Array = place.on(size)
        self.counts: Counter[tuple[int, Direction]] = Counter()
        """By class and direction."""
        self._anchor = anchor
        self._ends = tuple((float(x), float(y)) for x, y in self.points)
        self._limit = (
            _MARGIN * float(np.sqrt(polygon_area(self.points))) if place.kind == "zone" else np.inf
        )
        self._states: dict[int, _State] = {}

    @property
    def num_inside(self) -> int:
        """How many objects are in a zone now, those that are out of sight for a moment too."""
        return sum(state.side > 0 and state.appearing is None for state in self._states.values())

    def total(self, direction: Direction) -> int:
        return sum(count for (_, one), count in self.counts.items() if one == direction)

    def see(self, sightings: Iterable[Sighting]) -> list[Crossing]:
        """Take an object's sightings, each later than its last; return what came of them."""
        return [found for one in sightings for found in self._see(one)]

    def forget_all_but(self, alive: set[int]) -> None:
        """Let go of objects that will not be seen again."""
        for track in self._states.keys() - alive:
            del self._states[track]

    def _see(self, seen: Sighting) -> Iterator[Crossing]:
        point, margin = _anchor_of(seen.box, self._anchor), self._margin(seen.box)
        distance = self._distance(point)
        sign = int(np.sign(distance))
        state = self._states.get(seen.track)
        is_first = state is None
        if state is None:
            state = _State(point, sign, since=(seen.frame, seen.seconds))
            self._states[seen.track] = state
        elif sign not in (0, state.sign):
            state.since = (seen.frame, seen.seconds)
            state.has_crossed = self._crosses(state.point, point)
            state.sign = sign
        if sign != 0 or is_first:
            state.point = point
        is_beyond = abs(distance) > margin and sign != state.side
        if state.appearing is not None:
            frame, since = state.appearing
            if is_beyond or seen.seconds - since >= _APPEARED_S:
                state.appearing = None
                yield self._count(seen, "appeared", (frame, since))
        if not is_beyond:
            return
        before, state.side = state.side, sign
        if before == 0:
            if self.place.kind == "zone" and sign > 0:
                state.appearing = state.since
        elif state.has_crossed:
            yield self._count(seen, "in" if sign > 0 else "out", state.since)

    def _count(self, seen: Sighting, direction: Direction, since: tuple[int, float]) -> Crossing:
        self.counts[seen.class_id, direction] += 1
        frame, seconds = since
        return Crossing(
            self.place.name, self.place.kind, direction, seen.class_id, seen.track, frame, seconds
        )

    def _distance(self, point: tuple[float, float]) -> float:
        if self.place.kind == "zone":
            return inside_polygon(self.points, point)
        return beyond_line(self._ends[0], self._ends[1], point)

    def _crosses(self, before: tuple[float, float], after: tuple[float, float]) -> bool:
        if self.place.kind == "zone":
            return True
        return crosses(self._ends[0], self._ends[1], before, after)

    def _margin(self, box: Array) -> float:
        width, height = (float(side) for side in box[2:] - box[:2])
        own = _MARGIN * float(np.sqrt(max(width * height, 0.0)))
        return min(max(own, _LEAST_MARGIN), self._limit)


def _anchor_of(box: Array, anchor: Anchor) -> tuple[float, float]:
    x1, y1, x2, y2 = (float(value) for value in box)
    return (x1 + x2) / 2, y2 if anchor == "bottom" else (y1 + y2) / 2


CountRow = tuple[tuple[str, str, Kind, str], Counter[Direction]]
"""Source, place, its kind and a class, "" for none; how many in each direction."""


@dataclass
class Totals:
    """All counts of a job: by source, place, kind and class, in the order of their sources."""

    counts: dict[tuple[str, str, Kind, str], Counter[Direction]] = field(default_factory=dict)

    def rows(self) -> list[CountRow]:
        """A row for each class that was counted at a place, or one without a class for none."""
        counted = {key[:2] for key in self.counts if key[3]}
        rows = [row for row in self.counts.items() if row[0][3] or row[0][:2] not in counted]
        order = {key[:2]: None for key in self.counts}
        place = {key: number for number, key in enumerate(order)}
        return sorted(rows, key=lambda row: (place[row[0][:2]], row[0][3]))

    def expect(self, source: str, places: Sequence[Place]) -> None:
        """Have a row for each place, which counts nothing yet."""
        for place in places:
            self.counts.setdefault((source, place.name, place.kind, ""), Counter())

    def add(self, source: str, crossing: Crossing, class_name: str) -> None:
        key = (source, crossing.place, crossing.kind, class_name)
        self.counts.setdefault(key, Counter())[crossing.direction] += 1

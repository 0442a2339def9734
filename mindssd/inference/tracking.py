"""Which detections of a video are one object: tracks, by ByteTrack (arXiv:2110.06864).

ByteTrack links detections of high score first, and then those of low score to what is left over.
Its implementation is EdgeFirst's (Apache-2.0, no dependency but NumPy). That predicts one step a
call and lets tracks lapse by time stamps; here each gap between frames is as many steps as it is
long, so that frames of any rate, and lost ones, are followed alike. What was hidden, and came out
where no box was expected, is known again by the straight way that it went before.
"""

from collections import deque
from dataclasses import dataclass, field
from statistics import median
from types import ModuleType
from typing import Any

import numpy as np

from mindssd.errors import MindSSDError
from mindssd.types import Array

LOST_S = 2.0
"""An object that is not seen for so long is another one when it comes back."""

WEAKEST_SCORE = 0.1
"""Detections above it can go on with a track, whatever score it takes to begin one (the paper)."""

_LOST_FRAMES = 5
"""And no object is another one before so many frames, where these come seldom."""

_MOST_STEPS = 500
_GAPS = 15

_HIGH = 0.5  # of the scores as `_rescaled` has them
_MATCH_IOU = 0.1  # a fast object's boxes overlap little
_LIFE_NS = 10**9

_PATH_S = 1.5
"""An object's way is straight for so long, when it is hidden and looked for again."""

_NEAR = 0.7
"""And it is taken up again where it is so near to that way, in parts of its size."""

_NONE: Array = np.zeros((0, 4), np.float32)


def import_edgefirst() -> ModuleType:
    """EdgeFirst's tracker; MindSSDError where it is not installed."""
    try:
        import edgefirst.tracker as tracker
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] != "edgefirst":
            raise
        raise MindSSDError(
            "--track needs edgefirst-tracker; pip install 'mindssd[track]'"
        ) from error
    return tracker


@dataclass(frozen=True)
class Sighting:
    """An object in one frame: `track` counts from 1, `box` (4,) in pixels.

    `class_id` is what the object was most often until then, weighted by the scores.
    """

    track: int
    class_id: int
    box: Array
    frame: int
    seconds: float


@dataclass(frozen=True, eq=False)
class Tracked:
    """Of n detections: `track_ids` (n,) int32, 0 without a track, and which are worth showing.

    `is_shown` (n,) bool: those that are strong enough by themselves, or go on with a track.
    `sightings` are of the objects, oldest first: one that is seen for the second time comes with
    its first sighting, which might have been an error and had no track.
    """

    track_ids: Array
    is_shown: Array
    sightings: list[Sighting]


@dataclass
class _Track:
    """What is known of one of the library's tracks."""

    first: tuple[Array, int, float]
    seen: float
    number: int | None = None
    classes: dict[int, float] = field(default_factory=dict)
    """Of each class the sum of its scores."""
    path: deque[tuple[float, float, float, float]] = field(default_factory=deque)
    """Time without breaks, centre and size of its last sightings."""

    @property
    def class_id(self) -> int:
        return min(self.classes, key=lambda one: (-self.classes[one], one))

    def see(self, box: Array, class_id: int, score: float, clock: float) -> None:
        self.classes[class_id] = self.classes.get(class_id, 0.0) + score
        x1, y1, x2, y2 = (float(value) for value in box)
        size = max((x2 - x1) * (y2 - y1), 0.0) ** 0.5
        self.path.append((clock, (x1 + x2) / 2, (y1 + y2) / 2, size))
        while self.path[0][0] < clock - _PATH_S:
            self.path.popleft()

    def off(self, other: "_Track") -> float:
        """How far from this one's way another one begins, in parts of this one's size.

        By medians, for the box of what is about to be hidden shrinks and seems to move otherwise.
        """
        path = np.array(self.path)
        if len(path) < 3:
            return np.inf
        steps = np.diff(path, axis=0)
        steps = steps[steps[:, 0] > 0]
        if not len(steps):
            return np.inf
        velocity = np.median(steps[:, 1:3] / steps[:, :1], axis=0)
        at = np.median(path[:, 1:3] - velocity * path[:, :1], axis=0)
        clock, *begin = other.path[0][:3]
        distance = np.hypot(*(at + velocity * clock - begin))
        return float(distance / max(np.median(path[:, 3]), 1.0))


class Tracker:
    """Gives the objects of one video numbers from 1 on, in the order in which they are confirmed.

    A detection with a score above its class's in `thresholds` (C,) can begin a track; a weaker one
    only goes on with it. `rate` is the frames a second that the video is said to have. MindSSDError
    where the library is not installed.
    """

    def __init__(self, thresholds: Array, rate: float) -> None:
        self._thresholds = np.asarray(thresholds, np.float64)
        self._step = 1 / rate
        # `update`: where one object hides a part of another, boxes jump; half of each correction
        # follows neither too late nor too readily. Measured on drawn clips, with 0.25 and 1.
        self._tracks = import_edgefirst().ByteTrack(
            high_conf=_HIGH, iou=_MATCH_IOU, update=0.5, lifespan_ns=_LIFE_NS
        )
        self._known: dict[str, _Track] = {}
        self._count = 0
        self._gaps: deque[float] = deque(maxlen=_GAPS)
        self._last: float | None = None
        self._clock = self._life = 0.0
        """The tracker's own time: 1 is as long as an object may be lost."""

    @property
    def alive(self) -> set[int]:
        """The numbers of those that may be seen again."""
        return {track.number for track in self._known.values() if track.number is not None}

    def update(
        self,
        boxes: Array,
        scores: Array,
        class_ids: Array,
        frame: int,
        seconds: float,
        after_break: bool = False,
    ) -> Tracked:
        """Take one frame's n detections: boxes (n, 4) in pixels of the same size for all frames.

        Frames come in the order of their `seconds`. The time of a break, in which a stream was
        gone, counts for nothing: who is still there goes on. n = 0 is a frame without detections.
        """
        self._pass_time(seconds, after_break)
        is_strong = scores > self._thresholds[class_ids]
        found = self._feed(boxes, _rescaled(scores, self._thresholds[class_ids]), class_ids)
        numbers = np.zeros(len(scores), np.int32)
        sightings: list[Sighting] = []
        for row, info in enumerate(found):
            if info is None:
                continue
            track = self._known.get(info.uuid)
            is_new = track is None
            if track is None:
                track = _Track((boxes[row].copy(), frame, seconds), self._life)
                self._known[info.uuid] = track
            track.seen = self._life
            track.see(boxes[row], int(class_ids[row]), float(scores[row]), self._clock)
            if is_new:
                continue
            if track.number is None:
                track.number = self._number(track)
                first_box, first_frame, first_seconds = track.first
                sightings.append(
                    Sighting(track.number, track.class_id, first_box, first_frame, first_seconds)
                )
            numbers[row] = track.number
            sightings.append(
                Sighting(track.number, track.class_id, boxes[row].copy(), frame, seconds)
            )
        self._known = {k: track for k, track in self._known.items() if self._life - track.seen <= 1}
        return Tracked(numbers, is_strong | (numbers > 0), sightings)

    def _number(self, track: _Track) -> int:
        """The number of an object that is seen for the second time, which may be a lost one."""
        begin = track.path[0][0]
        lost = {
            uuid: other.off(track)
            for uuid, other in self._known.items()
            if other.number is not None
            and other.class_id == track.class_id
            and other.path[-1][0] < begin
        }
        uuid = min(lost, key=lambda one: lost[one], default=None)
        if uuid is not None and lost[uuid] < _NEAR:
            other = self._known.pop(uuid)
            for class_id, score in other.classes.items():
                track.classes[class_id] = track.classes.get(class_id, 0.0) + score
            track.path.extendleft(reversed(other.path))
            return other.number or 0
        self._count += 1
        return self._count

    def _pass_time(self, seconds: float, after_break: bool) -> None:
        """Bring the library to just before a frame: a step a call, and what lapsed is gone."""
        gap = 0.0 if self._last is None else max(0.0, seconds - self._last)
        if self._last is not None and not after_break:
            self._gaps.append(gap)
        self._last = seconds
        usual = median(self._gaps) if self._gaps else self._step
        if after_break:
            gap = self._step
        self._clock += gap
        lost = max(LOST_S, _LOST_FRAMES * usual)
        steps = min(max(1, round(gap / self._step)), _MOST_STEPS)
        for _ in range(steps - 1):
            self._life += gap / steps / lost
            self._feed(_NONE, np.zeros(0, np.float32), np.zeros(0, np.uintp))
        self._life += gap / steps / lost

    def _feed(self, boxes: Array, scores: Array, class_ids: Array) -> list[Any]:
        found: list[Any] = self._tracks.update(
            np.ascontiguousarray(boxes, np.float32),
            np.ascontiguousarray(scores, np.float32),
            np.ascontiguousarray(class_ids, np.uintp),
            round(self._life * _LIFE_NS),
        )
        return found


def _rescaled(scores: Array, thresholds: Array) -> Array:
    """Scores so that each one's threshold is `_HIGH`, 0 stays 0 and 1 stays 1: (n,) float32."""
    below = scores / np.maximum(thresholds, 1e-9) * _HIGH
    above = _HIGH + (scores - thresholds) / np.maximum(1 - thresholds, 1e-9) * (1 - _HIGH)
    return np.where(scores > thresholds, np.clip(above, _HIGH, 1), np.clip(below, 0, 0.999 * _HIGH))

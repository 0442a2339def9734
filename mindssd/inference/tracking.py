"""Which detections of a video are one object: tracks, in the way of ByteTrack (arXiv:2110.06864).

Detections of high score are linked first, and then those of low score to what is left over. Each
object is expected where its way and the time since then have brought it (`inference.motion`), so
that frames of any rate, and lost ones, are followed alike, and what was hidden is known again.
"""

from collections import deque
from dataclasses import dataclass, field
from statistics import median

import numpy as np

from mindssd.geometry.boxes import pairwise_cover, pairwise_iou
from mindssd.inference.motion import Boxes, Motion, Way
from mindssd.types import Array, ImageSize

LOST_S = 2.0
"""An object that was not seen for longer gets another number when it comes back."""

WEAK_SHARE = 0.5
"""A detection above this share of its threshold can continue a track, but begins none."""

_LOST_FRAMES = 5
"""Where frames come seldom, an object is kept for as many of them."""
_GAPS = 15
"""The usual time between frames is the median of the last ones."""

# An object gets its number once it was seen for so many seconds and in so many frames: an error of
# a frame or two gets none. One that lies on another, as doubled boxes do, has to be seen longer.
_CONFIRM_S, _CONFIRM_HITS = 0.075, 2
_CONFIRM_ON_OTHER_S, _CONFIRM_ON_OTHER_HITS = 0.15, 3
_ON_OTHER = 0.4
"""An object lies on another one that covers more than this share of it, or it of that one."""

_TENTATIVE_S, _TENTATIVE_FRAMES = 0.3, 2.5
"""A track without a number is dropped when it was not seen for longer, whichever takes longer."""
_WEAK_S = 1.5
"""A weak detection can continue a track that was seen in the last seconds."""
_WEAK_IOU = 0.2
"""It has to overlap the box that is expected by more than this."""
_DOUBLED_IOU = 0.5
"""A weak detection that overlaps a strong one by more is of the same object."""

_MOST_COST = 5.0
"""A strong detection that costs as much or more is not linked: see `Motion.costs`."""
_CLASS_COST = 2.0
"""What a class costs that the object never had."""
_FARTHEST = 1.0
"""In sizes of the object: no detection is linked that is farther off than this."""

_WEAK_DOUBT = 2.0
"""The noise of a weak detection's box, in parts of the usual."""
_COVERED_DOUBT = 2.0
"""The same of an object that is half hidden: its box shrinks, and seems to move otherwise."""
_COVERED = 0.25
"""An object is half hidden where another one covers more than this share of it."""
_NEAR = 0.7
"""In sizes of a lost object: a new one that begins so near to its way is the same."""
_LEFT = 0.25
"""An object has left the picture when less than this share of it is within."""


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
    `sightings` are of the objects, each one's oldest first: one that gets its number now comes with
    those before, which might have been errors and had none.
    """

    track_ids: Array
    is_shown: Array
    sightings: list[Sighting]


@dataclass(eq=False)
class _Track:
    """An object, or what may be one: without `number`."""

    motion: Motion
    begun: float
    seen: float
    is_on_other: bool
    number: int | None = None
    hits: int = 0
    classes: dict[int, float] = field(default_factory=dict)
    """Of each class the sum of its scores."""
    way: Way = field(default_factory=Way)
    before: list[tuple[Array, int, float]] = field(default_factory=list)
    """Boxes, frames and times until it has a number."""

    @property
    def class_id(self) -> int:
        return min(self.classes, key=lambda one: (-self.classes[one], one))

    @property
    def is_confirmed(self) -> bool:
        seconds, hits = _CONFIRM_S, _CONFIRM_HITS
        if self.is_on_other:
            seconds, hits = _CONFIRM_ON_OTHER_S, _CONFIRM_ON_OTHER_HITS
        return self.hits >= hits and self.seen - self.begun >= seconds - 1e-6

    def see(self, boxes: Boxes, row: int, class_id: int, score: float, clock: float) -> None:
        """Take row `row` of `boxes` for its own, at the time `clock`."""
        self.seen = clock
        self.hits += 1
        self.classes[class_id] = self.classes.get(class_id, 0.0) + score
        self.way.add(clock, boxes, row)


class Tracker:
    """Gives the objects of one video numbers from 1 on, in the order in which they are confirmed.

    A detection with a score above its class's in `thresholds` (C,) can begin a track; a weaker one
    only goes on with it. `rate` is the frames a second that the video is said to have, `size` that
    of the picture that boxes are given on.
    """

    def __init__(self, thresholds: Array, rate: float, size: ImageSize) -> None:
        self._thresholds = np.asarray(thresholds, np.float64)
        self._step = 1 / rate
        self._size = size
        self._tracks: list[_Track] = []
        self._count = 0
        self._gaps: deque[float] = deque(maxlen=_GAPS)
        self._last: float | None = None
        self._clock = 0.0
        """Time without breaks."""

    @property
    def alive(self) -> set[int]:
        """The numbers of those that may be seen again."""
        return {track.number for track in self._tracks if track.number is not None}

    def update(
        self,
        boxes: Array,
        scores: Array,
        class_ids: Array,
        frame: int,
        seconds: float,
        after_break: bool = False,
    ) -> Tracked:
        """Take one frame's n detections; n = 0 is a frame without any.

        `boxes` (n, 4) are in pixels of `size`, `scores` (n,) 0 to 1, `class_ids` (n,) whole
        numbers. Frames come in the order of their `seconds`. The time of a break, in which a stream
        was gone, counts for nothing: objects that are still there keep their numbers.
        """
        usual = self._pass_time(seconds, after_break)
        is_strong = scores > self._thresholds[class_ids]
        measured = Boxes.on(boxes, self._size)
        doubts = self._doubts()
        found = self._link(measured, scores, class_ids, is_strong, usual)
        for row, track in found.items():
            doubt = doubts[id(track)] * (1 if is_strong[row] else _WEAK_DOUBT)
            track.motion.correct(measured, row, doubt)
            track.see(measured, row, int(class_ids[row]), float(scores[row]), self._clock)
            track.before.append((boxes[row].copy(), frame, seconds))
        numbers = np.zeros(len(scores), np.int32)
        sightings: list[Sighting] = []
        # Once all are seen, so that none takes the number of one that is back itself.
        for row, track in sorted(found.items()):
            if track.number is None and track.is_confirmed:
                track.number = self._number(track)
            if track.number is not None:
                numbers[row] = track.number
                sightings += [Sighting(track.number, track.class_id, *one) for one in track.before]
                track.before.clear()
        self._forget(usual)
        new = [row for row in np.flatnonzero(is_strong) if row not in found]
        for row, is_on_other in zip(new, self._are_on_others(measured.corners[new]), strict=True):
            track = _Track(Motion(measured, row), self._clock, self._clock, bool(is_on_other))
            track.see(measured, row, int(class_ids[row]), float(scores[row]), self._clock)
            track.before.append((boxes[row].copy(), frame, seconds))
            self._tracks.append(track)
        return Tracked(numbers, is_strong | (numbers > 0), sightings)

    def _forget(self, usual: float) -> None:
        """Let go of what was not seen for too long, with `usual` seconds between frames."""
        lost = max(LOST_S, _LOST_FRAMES * usual)
        tentative = max(_TENTATIVE_S, _TENTATIVE_FRAMES * usual)
        self._tracks = [
            track
            for track in self._tracks
            if self._clock - track.seen <= (tentative if track.number is None else lost)
        ]

    def _number(self, track: _Track) -> int:
        """The number of an object that has none, which may be a lost one."""
        lost = {
            one: one.way.off(track.way)
            for one in self._tracks
            if one.number is not None and one.seen < track.begun and one.class_id == track.class_id
        }
        nearest = min(lost, key=lambda one: lost[one], default=None)
        if nearest is None or lost[nearest] > _NEAR:
            self._count += 1
            return self._count
        for class_id, score in nearest.classes.items():
            track.classes[class_id] = track.classes.get(class_id, 0.0) + score
        track.way.come_after(nearest.way)
        number, nearest.number = nearest.number, None
        assert number is not None
        nearest.seen = -np.inf
        return number

    def _pass_time(self, seconds: float, after_break: bool) -> float:
        """Expect all objects where they are by now; return the usual time between frames."""
        gap = 0.0 if self._last is None else max(0.0, seconds - self._last)
        if self._last is not None and not after_break:
            self._gaps.append(gap)
        self._last = seconds
        if after_break:
            gap = self._step
        self._clock += gap
        for track in self._tracks:
            track.motion.pass_time(gap)
        self._tracks = [
            track for track in self._tracks if track.motion.share_within(self._size) >= _LEFT
        ]
        return median(self._gaps) if self._gaps else self._step

    def _doubts(self) -> dict[int, float]:
        """How doubtful boxes are, by the id of each track: more where another one covers it."""
        expected = np.array([track.motion.box for track in self._tracks]).reshape(-1, 4)
        cover = pairwise_cover(expected, expected)
        np.fill_diagonal(cover, 0)
        cover[:, [track.number is None for track in self._tracks]] = 0
        return {
            id(track): _COVERED_DOUBT if most > _COVERED else 1.0
            for track, most in zip(self._tracks, cover.max(axis=1, initial=0), strict=True)
        }

    def _link(
        self, boxes: Boxes, scores: Array, class_ids: Array, is_strong: Array, usual: float
    ) -> dict[int, _Track]:
        """The tracks of the detections that go on with one, by their rows."""
        strong = np.flatnonzero(is_strong)
        costs = self._costs(boxes, class_ids)
        found = {
            int(strong[place]): self._tracks[one]
            for one, place in cheapest_pairs(costs[:, strong], _MOST_COST)
        }
        weak = np.flatnonzero(~is_strong & (scores >= WEAK_SHARE * self._thresholds[class_ids]))
        overlaps = pairwise_iou(boxes.corners[weak], boxes.corners[strong])
        weak = weak[overlaps.max(axis=1, initial=0) <= _DOUBLED_IOU]
        linked = set(map(id, found.values()))
        since = self._clock - max(_WEAK_S, 2 * usual)
        left = [
            one
            for one, track in enumerate(self._tracks)
            if track.number is not None and id(track) not in linked and track.seen >= since
        ]
        expected = np.array([self._tracks[one].motion.box for one in left]).reshape(-1, 4)
        is_near = pairwise_iou(expected, boxes.corners[weak]) > _WEAK_IOU
        pairs = cheapest_pairs(np.where(is_near, costs[np.ix_(left, weak)], np.inf), np.inf)
        return found | {int(weak[place]): self._tracks[left[one]] for one, place in pairs}

    def _costs(self, boxes: Boxes, class_ids: Array) -> Array:
        """What it costs to link each track to each detection, (T, n)."""
        costs = np.full((len(self._tracks), len(class_ids)), np.inf)
        for row, track in zip(costs, self._tracks, strict=True):
            of_motion, off = track.motion.costs(boxes)
            total = sum(track.classes.values())
            shares = np.array([track.classes.get(int(one), 0.0) / total for one in class_ids])
            row[:] = np.where(off <= _FARTHEST, of_motion + _CLASS_COST * (1 - shares), np.inf)
        return costs

    def _are_on_others(self, boxes: Array) -> Array:
        """Whether each of n boxes (n, 4) covers much of a known object, or one that of it: (n,)."""
        known = [one.motion.box for one in self._tracks if one.number is not None]
        others = np.array(known).reshape(-1, 4)
        covers = np.maximum(pairwise_cover(boxes, others), pairwise_cover(others, boxes).T)
        return np.asarray(covers.max(axis=1, initial=0) > _ON_OTHER)


def cheapest_pairs(costs: Array, limit: float) -> list[tuple[int, int]]:
    """Pairs of a row and a column of (T, N), each in one pair at most, the cheapest first.

    None costs `limit` or more. Measured, no worse than pairs of the least sum.
    """
    left, pairs = costs.copy(), []
    while left.size and left.min() < limit:
        row, column = (int(one) for one in np.unravel_index(left.argmin(), left.shape))
        pairs.append((row, column))
        left[row], left[:, column] = np.inf, np.inf
    return pairs

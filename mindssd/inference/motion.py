"""Where an object's box is expected: a Kalman filter of even motion, on the frames' own times.

Its lengths are in parts of the object's own size, the root of its box's area, so that small, large,
near and far objects are followed alike, in pictures of any size. A box that the picture's border
cuts off is completed to what is known of the object's size, so that it leaves at its own speed.
"""

import math
from collections import deque
from dataclasses import dataclass

import numpy as np

from mindssd.types import Array, ImageSize

# Chosen on clips of seeds 0 to 9 by benchmarks/tracking.py; none matters to a factor of 1.5.
_CENTRE_NOISE = 0.08
"""Standard deviation of a detection's centre, in sizes."""
_SIDE_NOISE = 0.15
"""Standard deviation of the logarithms of its sides."""
_SPEED = 1.5
"""Standard deviation of the speed of a new object, in sizes a second."""
_ACCELERATION = 0.5
"""Standard deviation of the change of speed in a second; it grows by the root of the time."""
_SIDE_CHANGE = 0.3
"""The same of the logarithms of its sides."""
_FARTHEST = 0.6
"""Most of the standard deviation of a place, in sizes, however long an object was not seen."""
_MOST_SIDE_CHANGE = 0.5
"""The same of the logarithms of its sides."""

_WAY_S = 1.5
"""A way is fitted to the points of the last seconds."""

_GROWING = 0.3
"""A box at the border that is larger than expected costs this share: its object is coming in."""


@dataclass(frozen=True, eq=False)
class Boxes:
    """N boxes on a picture, and at which of its borders they are cut off.

    `corners` (N, 4) and `centres` (N, 2) are in pixels, `log_sides` (N, 2) of width and height.
    `cut_low` and `cut_high` (N, 2) bool: cut off at the border where x or y is low, or high; a box
    from border to border is taken as it is.
    """

    corners: Array
    centres: Array
    log_sides: Array
    cut_low: Array
    cut_high: Array

    @classmethod
    def on(cls, corners: Array, size: ImageSize) -> "Boxes":
        corners = np.asarray(corners, np.float64).reshape(-1, 4)
        width_height = np.array(size[::-1], np.float64)
        near = np.maximum(2.0, 0.01 * width_height)
        low, high = corners[:, :2] <= near, corners[:, 2:] >= width_height - near
        sides = np.maximum(corners[:, 2:] - corners[:, :2], 1e-3)
        centres = (corners[:, :2] + corners[:, 2:]) / 2
        return cls(corners, centres, np.log(sides), low & ~high, high & ~low)


class Motion:
    """What is known of one object's place, velocity and size, begun by row `row` of `boxes`."""

    def __init__(self, boxes: Boxes, row: int) -> None:
        self._centre = boxes.centres[row].copy()
        self._velocity = np.zeros(2)
        self._log_sides = boxes.log_sides[row].copy()
        self._variance = np.array([[_CENTRE_NOISE**2, 0], [0, _SPEED**2]])
        """Of place and velocity, the same for x and y, in its size."""
        self._side_variance = _SIDE_NOISE**2

    @property
    def box(self) -> Array:
        """(4,) in pixels, beyond the picture's border too."""
        half = np.exp(self._log_sides) / 2
        return np.concatenate([self._centre - half, self._centre + half])

    def share_within(self, size: ImageSize) -> float:
        """How much of it is in the picture, 0 to 1."""
        box, limits = self.box, np.array(size[::-1], np.float64)
        sides = np.clip(box[2:], 0, limits) - np.clip(box[:2], 0, limits)
        return float(np.prod(sides / (box[2:] - box[:2])))

    def pass_time(self, seconds: float) -> None:
        self._centre = self._centre + seconds * self._velocity
        step = np.array([[1, seconds], [0, 1]])
        wandering = np.array([[seconds**3 / 3, seconds**2 / 2], [seconds**2 / 2, seconds]])
        self._variance = step @ self._variance @ step.T + _ACCELERATION**2 * wandering
        self._side_variance += _SIDE_CHANGE**2 * seconds

    def costs(self, boxes: Boxes) -> tuple[Array, Array]:
        """How little each of N boxes is like what is expected, (N,), and how far off, in sizes.

        Twice the negative logarithm of its likelihood in place and size, but for a constant: the
        less is known of an object, the less readily it takes a box from one that is well known.
        """
        sides = np.exp(self._log_sides)
        centres, too_large = self._completed(boxes)
        place = min(self._variance[0, 0], _FARTHEST**2) + _CENTRE_NOISE**2
        side = min(self._side_variance, _MOST_SIDE_CHANGE**2) + _SIDE_NOISE**2
        off = ((centres - self._centre) ** 2).sum(axis=1) / sides.prod()
        return off / place + (too_large**2).sum(axis=1) / side + 2 * np.log(place), np.sqrt(off)

    def correct(self, boxes: Boxes, row: int, doubt: float) -> None:
        """Take a box for the object's own; its noise is `doubt` times the usual."""
        one = Boxes(*(part[row : row + 1] for part in vars(boxes).values()))
        cut = (one.cut_low | one.cut_high)[0]
        grown = np.where(cut, np.maximum(np.exp(one.log_sides[0]) - np.exp(self._log_sides), 0), 0)
        # More of it has come in: its inner side is where it was expected.
        self._centre = self._centre + np.where(one.cut_low[0], -grown / 2, grown / 2)
        self._log_sides = np.where(grown > 0, one.log_sides[0], self._log_sides)
        centres, too_large = self._completed(one)
        gain = self._variance[:, 0] / (self._variance[0, 0] + (doubt * _CENTRE_NOISE) ** 2)
        away = centres[0] - self._centre
        self._centre = self._centre + gain[0] * away
        self._velocity = self._velocity + gain[1] * away
        self._variance = self._variance - np.outer(gain, self._variance[0])
        side_gain = self._side_variance / (self._side_variance + (doubt * _SIDE_NOISE) ** 2)
        self._log_sides = self._log_sides + side_gain * too_large[0]
        self._side_variance *= 1 - side_gain

    def _completed(self, boxes: Boxes) -> tuple[Array, Array]:
        """Centres (N, 2) as if this one's sides were whole, and by how much boxes are too large.

        That is of the logarithms of their sides, (N, 2).
        """
        half = np.maximum(np.exp(boxes.log_sides), np.exp(self._log_sides)) / 2
        centres = np.where(
            boxes.cut_low,
            boxes.corners[:, 2:] - half,
            np.where(boxes.cut_high, boxes.corners[:, :2] + half, boxes.centres),
        )
        too_large = boxes.log_sides - self._log_sides
        cut = boxes.cut_low | boxes.cut_high
        return centres, np.where(cut, _GROWING * np.maximum(too_large, 0), too_large)


class Way:
    """Where an object was in the last seconds, and the straight way on from there.

    It is fitted by medians: the box of an object that is about to be hidden shrinks, and seems to
    move otherwise.
    """

    def __init__(self) -> None:
        self._points: deque[tuple[float, float, float, float]] = deque()
        """Time, centre and size."""
        self._line: tuple[float, float, float, float, float] | None = None
        """`_fitted` to the points, until another one comes."""

    def add(self, seconds: float, boxes: Boxes, row: int) -> None:
        x, y = (float(value) for value in boxes.centres[row])
        self._points.append((seconds, x, y, float(np.exp(boxes.log_sides[row].mean()))))
        while self._points[0][0] < seconds - _WAY_S:
            self._points.popleft()
        self._line = None

    def come_after(self, earlier: "Way") -> None:
        self._points.extendleft(reversed(earlier._points))
        self._line = None

    def off(self, later: "Way") -> float:
        """How far from this one another one begins, in this one's size; infinite if too short."""
        # Of a lost object asked for each new one: of many that come at once, many times.
        self._line = self._line or self._fitted()
        x, y, across, down, size = self._line
        seconds, begin_x, begin_y = later._points[0][:3]
        return math.hypot(x + across * seconds - begin_x, y + down * seconds - begin_y) / size

    def _fitted(self) -> tuple[float, float, float, float, float]:
        """The place at time 0, infinitely far if too short; the velocity, and the size."""
        points = np.array(self._points)
        steps = np.diff(points, axis=0)
        steps = steps[steps[:, 0] > 0]
        if len(steps) < 2:
            return math.inf, math.inf, 0.0, 0.0, 1.0
        velocity = np.median(steps[:, 1:3] / steps[:, :1], axis=0)
        at = np.median(points[:, 1:3] - velocity * points[:, :1], axis=0)
        size = max(float(np.median(points[:, 3])), 1.0)
        return float(at[0]), float(at[1]), float(velocity[0]), float(velocity[1]), size

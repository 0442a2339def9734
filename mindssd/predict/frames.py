"""A decoded frame of PyAV as an upright picture with its time; no PyAV is imported here."""

import struct
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from types import ModuleType
from typing import Any

import cv2
import numpy as np

from mindssd.images import as_rgb
from mindssd.types import Array

_MOST_PIXELS = 1 << 27  # as of 16384 × 8192; more comes of a damaged header


@dataclass(frozen=True)
class Frame:
    """`image` (H, W, 3) uint8 RGB, and its time in `seconds` from the first frame, which has 0.

    `after_break` is the first one of a stream that has come back.
    """

    image: Array
    seconds: float
    after_break: bool = False


class UprightFrames:
    """Makes pictures of the frames of one video, PyAV's VideoFrames; `av` is PyAV.

    A frame's display matrix is looked up once for each size and rotation, so that mirroring which
    changes amid a video is not seen: PyAV's frame and its side data hold each other, and a frame
    that was asked for it keeps its pixels until the garbage collector runs, hundreds of frames on.
    """

    def __init__(self, av: ModuleType) -> None:
        self._reformatter = av.video.reformatter.VideoReformatter()
        self._turns: dict[tuple[int, int, int], Callable[[Array], Array]] = {}

    def to_rgb(self, frame: Any) -> Array:
        """A frame as (H, W, 3) uint8 RGB, upright; what is transparent is laid on white.

        ValueError, or FFmpeg's error, for a size or layout that is of no use.
        """
        if frame.width * frame.height > _MOST_PIXELS:
            raise ValueError(f"a frame of {frame.width} × {frame.height} pixels")
        format_ = frame.format
        has_alpha = format_.has_palette or any(part.is_alpha for part in format_.components)
        # A thread pool for each frame would cost more than it gains.
        layout = "rgba" if has_alpha else "rgb24"
        converted = self._reformatter.reformat(frame, format=layout, threads=1)
        # A copy, since PyAV's rows are padded, and may be those that the decoder still looks at.
        image = np.array(converted.to_ndarray(), order="C")
        if has_alpha:
            is_opaque = image[:, :, 3].min() == 255  # as of most GIFs
            image = cv2.cvtColor(image, cv2.COLOR_RGBA2RGB) if is_opaque else as_rgb(image)
        key = (frame.width, frame.height, frame.rotation)
        if key not in self._turns:
            self._turns[key] = _turn_of(frame)
        return np.ascontiguousarray(self._turns[key](image))


def _turn_of(frame: Any) -> Callable[[Array], Array]:
    """What makes a frame's picture upright."""
    try:
        matrix = frame.side_data.get("DISPLAYMATRIX")
    except ValueError:  # PyAV 18 names no side data of a frame that has some it does not know
        return partial(np.rot90, k=round(frame.rotation / 90))
    if matrix is None:
        return np.asarray
    return partial(turned, display_matrix=bytes(matrix))


def turned(image: Array, display_matrix: bytes) -> Array:
    """Turn and mirror an image as its display matrix says, by quarters, as phones write it.

    Nine int32, by rows (a, b, u), (c, d, v), (x, y, w): a point (x, y), y down, goes to
    (a·x + c·y, b·x + d·y) but for the shift (ISO/IEC 14496-12, 6.2.2).
    """
    a, b, _, c, d = struct.unpack_from("=5i", display_matrix)
    if abs(b) + abs(c) > abs(a) + abs(d):
        image, a, d = image.transpose(1, 0, 2), c, b
    rows, columns = slice(None, None, -1 if d < 0 else 1), slice(None, None, -1 if a < 0 else 1)
    return np.ascontiguousarray(image[rows, columns])


class Clock:
    """Times of frames from the first on, which never go back.

    `step` is what a frame without a time stamp takes. Stamps that jump by more than `longest_gap`
    seconds, or back by more than a step and a half, begin anew, as where recordings were joined. A
    stamp that comes for the third time in a row is none: some cameras give all their frames one.
    """

    def __init__(self, step: float, longest_gap: float) -> None:
        self._step = step
        self._longest_gap = longest_gap
        self._start: float | None = None
        self._last: float | None = None
        self._stamp: float | None = None
        self._repeats = 0

    def seconds(self, stamp: float | None) -> float:
        """The time of the next frame, whose own stamp is in seconds from anywhere."""
        if stamp is not None:
            self._repeats = self._repeats + 1 if stamp == self._stamp else 0
            self._stamp = stamp
            if self._repeats > 1:
                self._start = None
        if self._last is None:
            seconds = 0.0
        elif stamp is None or self._start is None:
            seconds = self._last + self._step
        else:
            seconds = stamp - self._start
            if -1.5 * self._step <= seconds - self._last <= self._longest_gap:
                seconds = max(seconds, self._last)  # a hair's breadth back is no new beginning
            else:
                seconds, self._start = self._last + self._step, None
        if self._start is None and stamp is not None:
            self._start = stamp - seconds
        self._last = seconds
        return seconds

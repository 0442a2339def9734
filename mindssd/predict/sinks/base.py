"""What every sink takes and does, and the threads in which some of them write."""

from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import ParamSpec, TypeVar

import cv2

from mindssd.drawing.overlay import Overlay
from mindssd.drawing.visualize import draw
from mindssd.errors import MindSSDError, OutputError
from mindssd.files import write_file
from mindssd.predict.counting import Crossing
from mindssd.types import Array, Detections

THREADS = 2
"""For drawing and encoding; the network has the cores otherwise."""

BEHIND = 4 * THREADS
"""So many images at most wait to be written."""

_LONGEST_JPEG_SIDE = 65500  # libjpeg's JPEG_MAX_DIMENSION

_Parameters = ParamSpec("_Parameters")
_Result = TypeVar("_Result")


@dataclass(frozen=True, eq=False)
class Seen:
    """An image or a video's frame, (H, W, 3) uint8 RGB, and what was found in it.

    `source` is what people call it; `stem` begins the names of its own files. `drawn` is the drawn
    image's file, None of a frame, whose place is in a video. `frame` counts a video's frames from
    0, `seconds` is its time; None of an image. Of a video that is followed `crossings` are what
    was counted by this frame, of it or one before, and `overlay` is drawn with the detections.
    """

    source: str
    stem: str
    picture: Array
    detections: Detections
    drawn: str | None = None
    frame: int | None = None
    seconds: float | None = None
    crossings: Sequence[Crossing] = ()
    overlay: Overlay | None = None


class Sink(ABC):
    """Takes images one after the other, and writes something about each.

    OutputError where one file cannot be written but the next one may; any other MindSSDError ends
    the job.
    """

    @abstractmethod
    def put(self, seen: Seen) -> None: ...

    def close(self, keep: bool) -> None:  # noqa: B027 - what writes a file an image has no end
        """End. What grows with each image gets its name if `keep`, and else leaves nothing."""


class Writers:
    """Threads that write beside the detection, some images behind it.

    `report` is called, in the caller's thread, with each OutputError. Another error is raised by a
    later call.
    """

    def __init__(self, report: Callable[[OutputError], None]) -> None:
        self._report = report
        self._pool = ThreadPoolExecutor(THREADS, thread_name_prefix="mindssd-writer")
        self._pending: deque[Future[None]] = deque()

    def begin(
        self,
        function: Callable[_Parameters, _Result],
        *arguments: _Parameters.args,
        **options: _Parameters.kwargs,
    ) -> Future[_Result]:
        """Call in one of the threads; whoever asks for the result has its error."""
        return self._pool.submit(function, *arguments, **options)

    def write(
        self,
        function: Callable[_Parameters, None],
        *arguments: _Parameters.args,
        **options: _Parameters.kwargs,
    ) -> None:
        """Call in one of the threads; wait where too many such calls have not ended yet."""
        self._pending.append(self._pool.submit(function, *arguments, **options))
        self._wait(BEHIND)

    def finish(self) -> None:
        """Wait for what has begun, and end the threads; then raise the first error there was."""
        first: MindSSDError | None = None
        try:
            while self._pending:
                try:
                    self._wait(0)
                except MindSSDError as error:
                    first = first or error
        finally:
            self._pool.shutdown(cancel_futures=True)
        if first is not None:
            raise first

    def _wait(self, left: int) -> None:
        while len(self._pending) > left:
            try:
                self._pending.popleft().result()
            except OutputError as error:
                self._report(error)


def drawn(path: Path, seen: Seen, enlarge: bool) -> Array:
    """Draw all detections for the file `path`, or OutputError where that takes too much."""
    try:
        return draw(seen.picture, seen.detections, 0.0, enlarge, seen.overlay)
    except (cv2.error, MemoryError) as error:
        raise OutputError(f"{path}: cannot be drawn ({_reason(error)})") from error


def write_image(path: Path, image: Array) -> None:
    """Write (H, W, 3) uint8 RGB, whole or not at all; OutputError where its format holds less."""
    height, width = image.shape[:2]
    size = f"{path}: {width} × {height} pixels"
    if path.suffix.lower() != ".png" and max(height, width) > _LONGEST_JPEG_SIDE:
        raise OutputError(f"{size} exceed what JPEG holds, {_LONGEST_JPEG_SIDE} a side")
    try:
        done, data = cv2.imencode(path.suffix, cv2.cvtColor(image, cv2.COLOR_RGB2BGR))
    except (cv2.error, MemoryError) as error:
        raise OutputError(f"{size} cannot be encoded ({_reason(error)})") from error
    if not done:
        raise OutputError(f"{size} cannot be encoded as {path.suffix}")
    write_file(path, data.tobytes())


def _reason(error: cv2.error | MemoryError) -> str:
    return getattr(error, "err", None) or str(error) or "not enough memory"

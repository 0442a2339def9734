"""Images and videos with their detections drawn."""

from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future
from contextlib import ExitStack, contextmanager
from pathlib import Path

from mindssd.errors import MindSSDError, OutputError
from mindssd.files import not_written
from mindssd.predict.sinks.base import BEHIND, Seen, Sink, Writers, drawn, write_image
from mindssd.predict.video_writer import VideoWriter
from mindssd.types import Array


class DrawnImages(Sink):
    """Each image under its own name, small ones enlarged; a video's frames are not for it."""

    def __init__(self, folder: Path, writers: Writers) -> None:
        self._folder = folder
        self._writers = writers

    def put(self, seen: Seen) -> None:
        if seen.drawn is not None:
            self._writers.write(_write_drawn, self._folder / seen.drawn, seen)


def _write_drawn(path: Path, seen: Seen) -> None:
    write_image(path, drawn(path, seen, enlarge=True))


class DrawnVideo(Sink):
    """A video of one source's drawn frames; drawn in threads, written in order.

    Where it cannot be written any further, that is the OutputError of `put` or `close`, nothing of
    it is kept, and further frames are passed by.
    """

    def __init__(self, path: Path, rate: float, writers: Writers) -> None:
        self._path = path
        self._rate = rate
        self._writers = writers
        self._drawing: deque[tuple[Future[Array], float]] = deque()
        self._stack = ExitStack()
        self._writer: VideoWriter | None = None
        self._is_over = False

    def put(self, seen: Seen) -> None:
        if self._is_over:
            return
        drawing = self._writers.begin(drawn, self._path, seen, enlarge=False)
        self._drawing.append((drawing, seen.seconds or 0.0))
        with self._ending_at_a_fault():
            self._write(BEHIND)

    def close(self, keep: bool) -> None:
        if not self._is_over:
            with self._ending_at_a_fault():
                self._write(0)
                self._is_over = True
                self._stack.close()

    def _write(self, left: int) -> None:
        while len(self._drawing) > left:
            drawing, seconds = self._drawing.popleft()
            frame = drawing.result()
            if self._writer is None:
                size = (frame.shape[0], frame.shape[1])
                writer = VideoWriter(self._path, size, self._rate)
                self._writer = self._stack.enter_context(writer)
            self._writer.write(frame, seconds)

    @contextmanager
    def _ending_at_a_fault(self) -> Iterator[None]:
        try:
            yield
        except MindSSDError as error:
            self._is_over = True
            self._drawing.clear()
            self._stack.__exit__(type(error), error, error.__traceback__)
            if isinstance(cause := error.__cause__, OSError):
                raise not_written(self._path, cause) from error
            raise OutputError(str(error)) from error

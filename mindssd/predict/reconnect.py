"""A camera or stream that breaks off and comes back, as one video."""

import re
import time
from collections.abc import Callable, Generator, Iterator
from contextlib import closing
from dataclasses import dataclass

from mindssd.errors import ConfigError, ImageError
from mindssd.predict.frames import Frame
from mindssd.predict.progress import counted
from mindssd.predict.sources import Video
from mindssd.predict.video import VideoReader
from mindssd.types import Array

DEFAULT_LIMIT_S = 300.0

FIRST_WAIT_S, LONGEST_WAIT_S = 0.5, 15.0
"""Between two attempts: the first, doubled up to the last."""

_POLL_S = 0.1
_BROKEN_OFF = re.compile(r"^breaks off after \d+ frames: ")


@dataclass(frozen=True)
class Reconnect:
    """What `--reconnect` asks for: each break is waited for so many seconds at most."""

    limit_s: float = DEFAULT_LIMIT_S

    def __post_init__(self) -> None:
        if not 0 < self.limit_s < float("inf"):
            raise ConfigError(f"--reconnect-limit is {self.limit_s:g}: expected seconds above 0")


@dataclass
class _Break:
    """A break: when it began, in what words it is told, and how long to wait before trying."""

    since: float
    words: str
    wait: float


class Reconnecting(VideoReader):
    """Frames of a live source, of `first` to begin with, and after a break of it opened anew.

    Times go on by the clock: a break counts as long as it lasted. A source that says that it has an
    end, such as a file that a server gives, and comes to it, has not broken off. `say` is told each
    break and each return in a line. Once `is_over` there are no more frames.
    """

    def __init__(
        self,
        source: Video,
        first: VideoReader,
        open_again: Callable[[], Array | VideoReader],
        reconnect: Reconnect,
        say: Callable[[str], None],
        is_over: Callable[[], bool],
    ) -> None:
        self.name = source.name
        self.rate = first.rate
        self.num_frames = first.num_frames
        self.num_lost = 0
        self._reader = first
        self._open_again = open_again
        self._limit = reconnect.limit_s
        self._say = say
        self._is_over = is_over

    def close(self) -> None:
        self._reader.close()

    def frames(self) -> Iterator[Frame]:
        """Each frame; ImageError where there was none at first, or the source stays away.

        The first after a break says so.
        """
        num_given, seconds, arrived, offset = 0, 0.0, 0.0, 0.0
        away: _Break | None = None
        reader: VideoReader | None = self._reader
        why = ""
        while True:
            if reader is not None:
                try:
                    with closing(_generator(reader)) as frames:
                        for frame in frames:
                            now, is_back = time.monotonic(), away is not None
                            if away is not None:
                                offset = seconds + now - arrived
                                self._say(f"{self.name}: is back after {now - away.since:.1f} s")
                                away = None
                            seconds, arrived = offset + frame.seconds, now
                            num_given += 1
                            yield Frame(frame.image, seconds, is_back)
                    if reader.ended_as_told:
                        return
                    why = "it ended"
                except ImageError as error:
                    if num_given == 0:
                        raise
                    why = _reason(error, self.name)
                finally:
                    self.num_lost += reader.num_lost
            if away is None:
                words = f"broke off after {counted(num_given, 'frame')}"
                away = _Break(time.monotonic(), words, FIRST_WAIT_S)
                waits = f"waits up to {self._limit:g} s for it to come back"
                self._say(f"{self.name}: {away.words} ({why}); {waits}")
            elif time.monotonic() >= away.since + self._limit:
                stayed = f"did not come back in {self._limit:g} s"
                raise ImageError(f"{self.name}: {away.words}, and {stayed} ({why})")
            self._wait(away)
            if self._is_over():
                return
            reader, why = self._opened()

    def _wait(self, away: _Break) -> None:
        """Wait for the next attempt, each time longer; the last one is at the end of the limit."""
        until = min(time.monotonic() + away.wait, away.since + self._limit)
        away.wait = min(2 * away.wait, LONGEST_WAIT_S)
        while not self._is_over() and (left := until - time.monotonic()) > 0:
            time.sleep(min(left, _POLL_S))

    def _opened(self) -> tuple[VideoReader | None, str]:
        """The source once more, or why not."""
        try:
            reader = self._open_again()
        except ImageError as error:
            return None, _reason(error, self.name)
        if not isinstance(reader, VideoReader):
            return None, "it gives a still picture"
        self._reader = reader
        return reader, ""


def _generator(reader: VideoReader) -> Generator[Frame, None, None]:
    yield from reader.frames()


def _reason(error: ImageError, name: str) -> str:
    """An error of a source without its name, and without what is said of every break."""
    return _BROKEN_OFF.sub("", str(error).removeprefix(f"{name}: "))

"""Signals that end a job: the first once what was seen is kept; a second one at once."""

import os
import signal
import sys
import threading
from contextlib import suppress
from types import FrameType
from typing import Any, Self, TextIO

from mindssd.files import remove_hidden
from mindssd.inference.ahead import AHEAD_THREAD
from mindssd.platform import ENDING_SIGNALS, is_hangup


class Stop:
    """Tells whether a job shall end before its sources do: `number` is the signal that says so.

    A context, which changes nothing.
    """

    def __init__(self) -> None:
        self.number: int | None = None

    @property
    def requested(self) -> bool:
        return self.number is not None

    def forget(self) -> None:
        """Forget the request: it was carried out."""
        self.number = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        pass


class StopSignals(Stop):
    """While entered, a SIGINT, SIGTERM or SIGHUP asks for the end.

    A second SIGINT or SIGTERM ends the process at once, with its exit status. SIGHUP comes twice
    where a terminal is closed, from the system and from the shell. What the process was started to
    ignore, as by nohup, stays so. Signals reach a program's main thread alone: in another one this
    does nothing.
    """

    def __init__(self) -> None:
        super().__init__()
        self._is_urged = False
        self._before: dict[int, Any] = {}

    def forget(self) -> None:
        super().forget()
        self._is_urged = False

    def __enter__(self) -> Self:
        if threading.current_thread() is threading.main_thread():
            for number in ENDING_SIGNALS:
                before = signal.getsignal(number)
                if before is not signal.SIG_IGN:
                    # None is a handler that Python did not install, and cannot again.
                    self._before[number] = signal.SIG_DFL if before is None else before
                    signal.signal(number, self._handle)
        return self

    def __exit__(self, *error: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)
        self._before = {}

    def _handle(self, number: int, frame: FrameType | None) -> None:
        if self._is_urged and not is_hangup(number):
            remove_hidden()
            _tell(sys.stdout, "\x1b[?25h")  # the progress bar has hidden the cursor
            os._exit(128 + number)
        if self.number is None:
            name = signal.Signals(number).name
            _tell(sys.stderr, f"\r\x1b[K{name}: ends after this image; once more ends it now\n")
        self._is_urged = self._is_urged or not is_hangup(number)
        self.number = self.number or number


def _tell(output: TextIO | None, text: str) -> None:
    """Write to a terminal, past Python's own files: these may be in the middle of a write."""
    with suppress(OSError, ValueError):  # it is closed
        if output is not None and output.isatty():
            os.write(output.fileno(), text.encode())


def end_past_hanging_threads(status: int) -> None:
    """End the process, where a source's thread still waits for it, with an exit status.

    Python's own end would abort: such a thread holds standard input's lock, or comes back from the
    library that reads a camera while nothing is there any more.
    """
    if any(thread.name == AHEAD_THREAD for thread in threading.enumerate()):
        for output in (sys.stdout, sys.stderr):
            with suppress(OSError, ValueError):
                output.flush()
        os._exit(status)

"""Signals that end a run: the first after its step, saved; a second one at once.

Ctrl-C is SIGINT, `kill` and a cluster's scheduler send SIGTERM. The exit status is the shell's:
128 and the signal's number, so 130 and 143.
"""

import os
import signal
import sys
import threading
from types import FrameType
from typing import Any, Protocol, Self

from mindssd.engines.base import Alone, Group

HANDLED = (signal.SIGINT, signal.SIGTERM)


class Stopped(SystemExit):
    """Ends the program with a signal's exit status; a caller in Python can catch it."""

    def __init__(self, signal_number: int) -> None:
        super().__init__(128 + signal_number)


class StopRequest(Protocol):
    """Tells whether the run shall end."""

    @property
    def requested(self) -> bool:
        """Whether this process has had a signal."""

    def check(self) -> None:
        """Raise Stopped if so, in all processes of a group alike."""


class StopSignals:
    """While entered, the process's first SIGINT or SIGTERM is only noted, for `check` to raise.

    `say` is called with one line when it comes. Signals reach a program's main thread alone; in
    another thread this does nothing. In a `group` one process's signal stops all, after one step:
    all of them must check together.
    """

    def __init__(self, say: Any = print, group: Group | None = None) -> None:
        self._say = say
        self._group = group or Alone()
        self._requested: int | None = None
        self._before: dict[int, Any] = {}

    @property
    def requested(self) -> bool:
        """Whether this process has had a signal."""
        return self._requested is not None

    def check(self) -> None:
        if not self._group.any(self.requested):
            return
        for number in HANDLED:
            if self._group.any(self._requested == number):
                raise Stopped(number)

    def __enter__(self) -> Self:
        if threading.current_thread() is threading.main_thread():
            self._before = {number: signal.signal(number, self._handle) for number in HANDLED}
        return self

    def __exit__(self, *error: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)
        self._before = {}

    def _handle(self, number: int, frame: FrameType | None) -> None:
        if self._requested is not None:
            if sys.stdout.isatty():
                sys.stdout.write("\x1b[?25h")  # the progress bar has hidden the cursor
                sys.stdout.flush()
            os._exit(128 + number)
        self._requested = number
        name = signal.Signals(number).name
        self._say(f"{name}: ends after this step, saved; once more ends it now, unsaved")

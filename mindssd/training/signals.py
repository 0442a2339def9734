"""Signals that end a run: the first after its step, saved; a second one at once.

Ctrl-C is SIGINT, `kill` and a cluster's scheduler send SIGTERM, a terminal that closes SIGHUP. The
exit status is the shell's: 128 and the signal's number, so 130, 143 and 129.
"""

import os
import signal
import threading
import time
from collections.abc import Callable
from queue import SimpleQueue
from types import FrameType
from typing import Any, Protocol, Self

from mindssd.engines.base import Group, SingleProcessGroup
from mindssd.platform import ENDING_SIGNALS, is_hangup

SHOW_CURSOR = b"\x1b[?25h"


class Stopped(SystemExit):
    """Ends the program with a signal's exit status; a caller in Python can catch it."""

    def __init__(self, signal_number: int) -> None:
        super().__init__(128 + signal_number)


class OutOfTime(Stopped):
    """Ends a run at its deadline; no error, so with status 0."""

    def __init__(self) -> None:
        SystemExit.__init__(self, 0)


class StoppedByCallback(Stopped):
    """Ends a run as a function of the user's wished; no error, so with status 0."""

    def __init__(self) -> None:
        SystemExit.__init__(self, 0)


class StopRequest(Protocol):
    """Tells whether the run shall end."""

    @property
    def requested(self) -> bool:
        """Whether that is asked of this process, by a signal or by `request`."""

    def request(self) -> None:
        """Ask for it from within the program."""

    def check(self) -> None:
        """Raise Stopped if so, in all processes of a group alike."""


class StopSignals:
    """While entered, the process's first of `ENDING_SIGNALS` is only noted, for `check` to raise.

    `say` is called with one line when it comes, in a thread of its own: the handler may have broken
    into a write of the very terminal or file that `say` writes to. Signals reach a program's main
    thread alone; in another thread this does nothing. In a `group` one process's signal stops all,
    after one step: all of them must check together. A `deadline`, in seconds of `time.monotonic`,
    stops it likewise, with OutOfTime.
    """

    def __init__(
        self,
        say: Callable[[str], object] = print,
        group: Group | None = None,
        deadline: float | None = None,
    ) -> None:
        self._say = say
        self._deadline = deadline
        self._group = group or SingleProcessGroup()
        self._requested: int | None = None
        self._wished = False
        self._before: dict[int, Any] = {}
        # Its `put` may break into itself, as a handler's must.
        self._noted: SimpleQueue[int | None] = SimpleQueue()
        self._teller: threading.Thread | None = None

    @property
    def requested(self) -> bool:
        """Whether this process has had a signal or a wish, or its time is up."""
        late = self._deadline is not None and time.monotonic() >= self._deadline
        return self._requested is not None or self._wished or late

    def request(self) -> None:
        """Ask for the end; `check` then raises StoppedByCallback."""
        self._wished = True

    def check(self) -> None:
        if not self._group.any(self.requested):
            return
        for number in ENDING_SIGNALS:
            if self._group.any(self._requested == number):
                raise Stopped(number)
        raise StoppedByCallback if self._group.any(self._wished) else OutOfTime

    def __enter__(self) -> Self:
        if threading.current_thread() is threading.main_thread():
            self._teller = threading.Thread(target=self._tell, name="mindssd-signals", daemon=True)
            self._teller.start()
            for number in ENDING_SIGNALS:
                # Under nohup the end of the terminal is not the run's concern.
                if is_hangup(number) and signal.getsignal(number) == signal.SIG_IGN:
                    continue
                self._before[number] = signal.signal(number, self._handle)
        return self

    def __exit__(self, *error: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)
        self._before = {}
        if self._teller is not None:
            self._noted.put(None)
            self._teller.join()
            self._teller = None

    def _handle(self, number: int, frame: FrameType | None) -> None:
        """Note it, and no more: what the main thread was doing may be half done."""
        if self._requested is not None:
            if os.isatty(1):
                os.write(1, SHOW_CURSOR)  # the progress bar has hidden it
            os._exit(128 + number)
        self._requested = number
        self._noted.put(number)

    def _tell(self) -> None:
        while (number := self._noted.get()) is not None:
            name = signal.Signals(number).name
            self._say(f"{name}: ends after this step, saved; once more ends it now, unsaved")

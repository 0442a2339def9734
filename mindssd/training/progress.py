"""What a person sees while a run works: a live display on a terminal, plain lines elsewhere."""

import os
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import IO, Any, Protocol, TextIO, cast

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

PLAIN_INTERVAL_S = 30.0
FIRST_INTERVAL_S = 10.0
"""After the first step: how long the whole run will take is worth knowing sooner."""

WAITING_INTERVAL_S = 15.0


class SteadyConsole(Console):
    """A console whose loss, as of a terminal or a launcher, ends no run: it falls silent."""

    def __init__(self, **options: Any) -> None:
        output = None if sys.stdout is None else cast(IO[str], _SteadyOutput(sys.stdout))
        super().__init__(file=output, **options)

    def say(self, *lines: str) -> None:
        """Print lines as they are."""
        for line in lines:
            self.print(line, highlight=False, markup=False, soft_wrap=True)


class _SteadyOutput:
    """Standard output, or nowhere once that is lost."""

    def __init__(self, output: TextIO) -> None:
        self._output = output

    def write(self, text: str) -> int:
        try:
            return self._output.write(text)
        except OSError:
            self._lose()
            return len(text)

    def flush(self) -> None:
        try:
            self._output.flush()
        except OSError:
            self._lose()

    def _lose(self) -> None:
        # Nor may what Python has not written yet fail at its end.
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, self._output.fileno())
        os.close(nowhere)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._output, name)


class Display(Protocol):
    """Shows a run's progress."""

    def say(self, text: str) -> None: ...

    def step(self, done: int, text: str) -> None:
        """`done` steps of the whole run, and what is worth knowing about the last ones."""

    def waiting(self, what: str) -> AbstractContextManager[None]:
        """Show that the run goes on while `what` takes its time without steps."""


class LiveDisplay:
    """A bar with the time left, on a terminal."""

    def __init__(self, progress: Progress, total_steps: int) -> None:
        self._progress = progress
        self._task = progress.add_task("training", total=total_steps, note="")

    def say(self, text: str) -> None:
        self._progress.console.print(text, highlight=False, markup=False, soft_wrap=True)

    def step(self, done: int, text: str) -> None:
        self._progress.update(self._task, completed=done, note=text)

    @contextmanager
    def waiting(self, what: str) -> Iterator[None]:
        # The bar's own thread keeps its clock running meanwhile.
        self._progress.update(self._task, note=f"{what} …")
        yield
        self._progress.update(self._task, note="")


class PlainDisplay:
    """A line at first, soon after it one that tells the time left, then every half minute.

    For logs and pipes.
    """

    def __init__(self, console: Console, total_steps: int) -> None:
        self._console = console
        self._total = total_steps
        self._start: tuple[float, int] | None = None
        self._said = 0.0
        self._interval = FIRST_INTERVAL_S

    def say(self, text: str) -> None:
        self._console.print(text, highlight=False, markup=False, soft_wrap=True)

    def step(self, done: int, text: str) -> None:
        now = time.monotonic()
        if self._start is None:
            self._start = (now, done)
        if now - self._said < self._interval and done < self._total:
            return
        self._said = now
        started, first = self._start
        left = ""
        if done > first:
            seconds = (now - started) / (done - first) * (self._total - done)
            left = f", {_duration(seconds)} left"
            self._interval = PLAIN_INTERVAL_S
        self.say(f"step {done}/{self._total}{left}: {text}")

    @contextmanager
    def waiting(self, what: str) -> Iterator[None]:
        started, done = time.monotonic(), threading.Event()

        def tell() -> None:
            while not done.wait(WAITING_INTERVAL_S):
                self.say(f"{what}: {_duration(time.monotonic() - started)} so far")

        thread = threading.Thread(target=tell, daemon=True)
        thread.start()
        try:
            yield
        finally:
            done.set()
            thread.join()


Watch = Callable[[int, int], str | None]
"""Told (steps done, steps in all) after each step; what it gives back is said, as a line."""


class _Watched:
    """A display that lets others see its steps."""

    def __init__(self, shown: Display, total_steps: int, watch: Watch) -> None:
        self.say = shown.say
        self.waiting = shown.waiting
        self._shown = shown
        self._total = total_steps
        self._watch = watch

    def step(self, done: int, text: str) -> None:
        self._shown.step(done, text)
        line = self._watch(done, self._total)
        if line is not None:
            self.say(line)


@contextmanager
def display(console: Console, total_steps: int, watch: Watch | None = None) -> Iterator[Display]:
    """The display that fits the console."""
    with _fitting(console, total_steps) as shown:
        yield shown if watch is None else _Watched(shown, total_steps, watch)


@contextmanager
def _fitting(console: Console, total_steps: int) -> Iterator[Display]:
    if not console.is_terminal:
        yield PlainDisplay(console, total_steps)
        return
    with Progress(
        TextColumn("{task.description}"),
        BarColumn(bar_width=24),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
        TextColumn("{task.fields[note]}", markup=False),
        console=console,
        refresh_per_second=4,
    ) as progress:
        yield LiveDisplay(progress, total_steps)


def _duration(seconds: float) -> str:
    minutes, seconds = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{seconds:02}" if hours else f"{minutes}:{seconds:02}"

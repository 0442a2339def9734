"""What a person sees of a job: lines, and on a terminal how far it is."""

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from signal import Signals

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    Task,
    TextColumn,
    TimeRemainingColumn,
)
from rich.table import Table
from rich.text import Text

from mindssd.errors import MindSSDError, OutputError, printable
from mindssd.predict.counting import DIRECTIONS, CountRow, Totals


@dataclass
class Tally:
    """What was seen so far, what of it went wrong, and which signal ended it before its end.

    `unit` is what is counted, "image" or "frame".
    """

    unit: str
    num_images: int = 0
    num_detections: int = 0
    errors: list[MindSSDError] = field(default_factory=list)
    ended_by: int | None = None
    began: float = field(default_factory=time.perf_counter)
    totals: Totals = field(default_factory=Totals)

    def summary(self, out: Path) -> str:
        """One line."""
        rate = self.num_images / max(time.perf_counter() - self.began, 1e-9)
        not_written = sum(isinstance(error, OutputError) for error in self.errors)
        skipped = len(self.errors) - not_written
        found = f"{counted(self.num_detections, 'detection')} in "
        parts = [
            f"{found}{counted(self.num_images, self.unit)}: {out}",
            f"{counted(skipped, 'file')} skipped" if skipped else "",
            f"{counted(not_written, 'file')} not written" if not_written else "",
            f"ended by {Signals(self.ended_by).name}" if self.ended_by else "",
            f"{rate:.1f} {self.unit}s/s" if self.num_images > 1 else "",
        ]
        return "; ".join(part for part in parts if part)


def counts_table(rows: Sequence[CountRow]) -> Table:
    """What was counted: a row for each class at each place; `-` for none at all."""
    several = len({key[0] for key, _ in rows}) > 1
    table = Table(box=None, pad_edge=False, header_style="bold")
    for name in (*(["file"] if several else []), "place", "class"):
        table.add_column(name, overflow="fold")
    for direction in DIRECTIONS:
        table.add_column(direction, justify="right")
    for (source, place, kind, class_name), counts in rows:
        words = (*([source] if several else []), place, class_name or "-")
        numbers = [
            "" if direction == "appeared" and kind == "line" else str(counts[direction])
            for direction in DIRECTIONS
        ]
        table.add_row(*(Text(printable(word)) for word in words), *numbers)
    return table


def counted(number: int, thing: str) -> str:
    return f"{number} {thing}" + ("" if number == 1 else "s")


class Display:
    """Prints lines, above a bar on a terminal: how many of how many, and images a second."""

    def __init__(self, progress: Progress, total: int | None) -> None:
        self._progress = progress
        self._total = total
        self._task = progress.add_task("detecting", total=total)

    def say(self, line: str) -> None:
        say(self._progress.console, line)

    def expect(self, count: int | None) -> None:
        """Make room for so many more; None where the end is not known."""
        self._total = None if self._total is None or count is None else self._total + count
        self._progress.update(self._task, total=self._total)

    def advance(self) -> None:
        self._progress.advance(self._task)


def say(console: Console, line: str) -> None:
    """Print a line as it is, but for control characters, which a file's name may have."""
    console.print(printable(line), highlight=False, markup=False, soft_wrap=True)


@contextmanager
def display(console: Console, total: int | None) -> Iterator[Display]:
    """A display of `total` images to begin with; without a bar where there is no terminal."""
    columns = (
        TextColumn("{task.description}"),
        BarColumn(bar_width=24),
        MofNCompleteColumn(),
        _RateColumn(),
        TimeRemainingColumn(),
    )
    disable = not console.is_terminal
    with Progress(*columns, console=console, transient=True, disable=disable) as progress:
        yield Display(progress, total)


class _RateColumn(ProgressColumn):
    def render(self, task: Task) -> Text:
        speed = task.finished_speed or task.speed
        return Text("" if speed is None else f"{speed:.1f} images/s")

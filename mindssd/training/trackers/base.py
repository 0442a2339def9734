"""What a tracker is told of a run: an interface of three methods, one module a program."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Protocol

Status = Literal["finished", "stopped", "failed"]
"""How a run ended: complete, saved at a signal, or by an error."""

PROJECT = "mindssd"
"""What groups our runs in each program, unless its own environment variable says otherwise."""


@dataclass(frozen=True)
class TrackedRun:
    """A run as it begins, or goes on."""

    name: str
    folder: Path
    settings: Mapping[str, Any]
    """By key, as `schedule.learning_rate`."""
    id: str | None = None
    """What the program called the run before it was interrupted; None: it is new to it."""


@dataclass(frozen=True)
class Begun:
    """What the program calls the run, and where a person finds it."""

    id: str
    where: str


class Tracker(Protocol):
    """Reports one run to a program, from one thread alone; what fails, it raises."""

    def begin(self, run: TrackedRun) -> Begun:
        """Open the run, or go on with it where the program can."""

    def scalars(self, step: int, seconds: float, values: Mapping[str, float]) -> None:
        """Report numbers by name, as `train/loss`; `seconds` since 1970."""

    def end(self, status: Status) -> None:
        """Close the run; returns when all of it is written or sent."""

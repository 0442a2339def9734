"""A user's own functions, called while a run works, and the facts that each is given.

They are called in the process that leads the run (rank 0), in the thread that trains, which waits
for them. A step, epoch or evaluation function that returns True asks for the end of the run: it
ends then as by a signal, saved. Whatever one of them raises ends the run too, saved, and is raised
to the caller as it is.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import numpy as np

from mindssd.errors import ConfigError
from mindssd.training.plan import Metrics, Outcome
from mindssd.training.trackers.base import Status


@dataclass(frozen=True)
class StepDone:
    """One optimizer step of the run, or one of those that `accumulate_steps` puts together."""

    step: int
    """Counted from 1, over all epochs."""
    total_steps: int
    epoch: int
    """Counted from 1."""
    loss: float
    class_loss: float
    box_loss: float
    gradient_norm: float
    learning_rate: float
    finite: bool
    """False where the step was skipped because the loss or its gradient was not finite."""
    images_per_s: float
    """Over the last 50 steps; 0 at first."""


@dataclass(frozen=True)
class EpochDone:
    """An epoch, trained and saved, but not yet evaluated."""

    epoch: int
    """Counted from 1."""
    epochs: int
    step: int


@dataclass(frozen=True)
class EvaluationDone:
    """An evaluation of the validation images, saved, and the best model's file written."""

    epoch: int
    step: int
    metrics: Metrics
    """COCO's twelve numbers by name, as `AP` and `AP50`; None where there are no truths."""
    is_best: bool
    best: float
    """The best score so far: an AP, or the mean of the last ones where the run smooths."""


@dataclass(frozen=True)
class RunEnd:
    """The end of a run, however it came."""

    folder: Path
    status: Status
    outcome: Outcome | None
    """Of a run that is finished."""
    error: BaseException | None
    """Of one that failed."""


Wish = bool | None
"""True asks for the end of the run."""


@dataclass(frozen=True)
class Callbacks:
    """What a user wants to be called; None is nothing, and what cannot be called a ConfigError."""

    on_step: Callable[[StepDone], Wish] | None = None
    on_epoch: Callable[[EpochDone], Wish] | None = None
    on_evaluation: Callable[[EvaluationDone], Wish] | None = None
    on_end: Callable[[RunEnd], object] | None = None

    def __post_init__(self) -> None:
        for name, function in vars(self).items():
            if function is not None and not callable(function):
                raise ConfigError(f"{name} is {function!r}: expected a function")

    def __bool__(self) -> bool:
        return any(function is not None for function in vars(self).values())


NO_CALLBACKS = Callbacks()

_Facts = TypeVar("_Facts")


class Caller:
    """Calls a user's functions.

    `save` is called where one of them raises, `stop` where one wishes the end of the run.
    """

    def __init__(
        self, callbacks: Callbacks, save: Callable[[], object], stop: Callable[[], object]
    ) -> None:
        self._callbacks = callbacks
        self._save = save
        self._stop = stop
        self._waiting: StepDone | None = None

    def step(self, done: StepDone) -> None:
        self._call(self._callbacks.on_step, done)

    def step_once_saved(self, done: StepDone) -> None:
        """An epoch's last step: told of with its epoch, once what its end changes is saved."""
        self._waiting = done

    def epoch(self, done: EpochDone) -> None:
        last, self._waiting = self._waiting, None
        if last is not None:
            self.step(last)
        self._call(self._callbacks.on_epoch, done)

    def evaluation(self, done: EvaluationDone) -> None:
        self._call(self._callbacks.on_evaluation, done)

    def _call(self, function: Callable[[_Facts], Wish] | None, facts: _Facts) -> None:
        if function is None:
            return
        try:
            wish = function(facts)
        except BaseException:  # SystemExit too
            self._save()
            raise
        # What NumPy compares is its own True; anything else that counts as true is no wish.
        if isinstance(wish, bool | np.bool_) and wish:
            self._stop()

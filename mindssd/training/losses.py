"""Has a run's loss exploded? What a run remembers of its losses, all of them finite."""

from dataclasses import dataclass

from mindssd.engines.base import StepResult

EARLY_STEPS = 20
EXPLODED = 20.0
"""A run has diverged where an epoch's mean loss is so many times that of a first step."""


@dataclass
class Losses:
    """The least loss of the first steps, and the mean of the last whole epoch; None before it.

    Steps that are not finite do not count, nor among the first ones those without a positive, whose
    loss may be next to nothing.
    """

    first: float | None = None
    num_first: int = 0
    last: float | None = None
    total: float = 0.0
    """The sum of the epoch that is under way, of `count` steps."""
    count: int = 0

    def add(self, result: StepResult) -> None:
        if not result.finite:
            return
        self.total += result.loss
        self.count += 1
        if self.num_first < EARLY_STEPS and result.num_positives > 0:
            self.first = result.loss if self.first is None else min(self.first, result.loss)
            self.num_first += 1

    def end_epoch(self) -> None:
        if self.count:
            self.last = self.total / self.count
        self.total, self.count = 0.0, 0

    @property
    def exploded(self) -> bool:
        if self.first is None or self.last is None:
            return False
        return self.last > EXPLODED * self.first

    def __str__(self) -> str:
        if self.first is None or self.last is None:
            return "no loss"
        return f"the loss went from {self.first:.3g} to {self.last:.3g}"

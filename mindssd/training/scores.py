"""Which evaluation was the best, and for how long has none been better? What a run remembers."""

import statistics
from dataclasses import dataclass, field

from mindssd.training.plan import FOUND


@dataclass
class Scores:
    """The APs of a run's evaluations in turn, the best score, and how many have come since.

    A score is the mean of the last so many APs, of fewer before there are as many: a single AP of a
    small validation set goes up and down by chance. An undefined AP, that of no truths, counts as 0
    for the best, as a first one must be kept, and does not count as a wait.
    """

    aps: list[float] = field(default_factory=list)
    best: float | None = None
    since_best: int = 0
    """Evaluations without a better score, from the first that found anything on."""

    def add(self, ap: float | None, smoothing: int) -> bool:
        """Take in an evaluation's AP, and tell whether the score of the last ones is the best."""
        self.aps.append(ap or 0.0)
        score = self.last(smoothing)
        if self.best is None or score > self.best:
            self.best, self.since_best = score, 0
            return True
        if ap is not None and self.best >= FOUND:
            self.since_best += 1
        return False

    def add_again(self, ap: float | None, smoothing: int) -> bool:
        """The same where the last evaluation is repeated, as when a finished run is resumed."""
        del self.aps[-1:]
        return self.add(ap, smoothing)

    def last(self, smoothing: int) -> float:
        """The score of the last evaluation."""
        return statistics.fmean(self.aps[-smoothing:])

"""Successive halving (arXiv:1502.07943) over choices, a fold of the data at each rung.

Every training is of full length, so that slow and fast learners are compared at what they come to;
what is halved is the number of choices that another fold is spent on.
"""

import statistics
from collections.abc import Callable
from dataclasses import dataclass, field

from mindssd.tune.choices import AS_IT_IS, Choice

LEAST_GAIN = 0.02
"""Of mAP. The best of some choices is above the others by chance too: on folds of sixty images two
trainings that differ by their seed alone are 0.01 to 0.03 apart."""

LEAST_FOLDS = 2
"""A choice cannot win on fewer."""


@dataclass(frozen=True)
class Score:
    """The mAP that a training reached on the fold that it was not trained on, and its seconds."""

    ap: float
    seconds: float


@dataclass
class Trial:
    """A choice and its scores, by fold."""

    choice: Choice
    scores: dict[int, Score] = field(default_factory=dict)

    @property
    def mean(self) -> float:
        return statistics.fmean(score.ap for score in self.scores.values())

    def gains(self, control: "Trial") -> list[float]:
        """By how much mAP it is above another one, on each fold that both have."""
        both = sorted(set(self.scores) & set(control.scores))
        return [self.scores[fold].ap - control.scores[fold].ap for fold in both]


Train = Callable[[Choice, int, float | None], Score | None]
"""Scores a choice on a fold. It is told how many seconds that should take, None where nobody knows,
and gives None where there is no time for it."""


def search(choices: list[Choice], num_folds: int, train: Train) -> list[Trial]:
    """Train choices on fold after fold, after each the better half of those that are left.

    The first choice is the control, which stays. The first that there is no time for ends the
    search. Returns a trial for each choice, those without a score too.
    """
    trials = [Trial(choice) for choice in choices]
    control, left = trials[0], trials[1:]
    for fold in range(num_folds):
        for trial in (control, *left):
            score = train(trial.choice, fold, _expected(trial, control))
            if score is None:
                return trials
            trial.scores[fold] = score
        left = sorted(left, key=lambda trial: -trial.mean)[: max(1, (len(left) + 1) // 2)]
    return trials


def _expected(trial: Trial, control: Trial) -> float | None:
    """How long its next training should take, in seconds; None before the first."""
    if trial.scores:
        return max(score.seconds for score in trial.scores.values())
    if control.scores:
        return max(score.seconds for score in control.scores.values()) * trial.choice.cost
    return None


def winner(trials: list[Trial]) -> Trial:
    """The choice of the greatest mean gain, if that is enough; else the control.

    A choice must gain on every fold, and on two at least.
    """
    control = next(trial for trial in trials if trial.choice == AS_IT_IS)
    best, best_gain = control, LEAST_GAIN
    for trial in trials:
        gains = trial.gains(control)
        if trial is control or len(gains) < LEAST_FOLDS or min(gains) <= 0:
            continue
        if statistics.fmean(gains) >= best_gain:
            best, best_gain = trial, statistics.fmean(gains)
    return best

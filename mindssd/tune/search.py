"""Successive halving (arXiv:1502.07943) over choices, a fold of the data at each rung.

Every training is of full length, so that slow and fast learners are compared at what they come to;
what is halved is the number of choices that another fold is spent on.
"""

import statistics
from collections.abc import Callable
from dataclasses import dataclass, field

from mindssd.tune.choices import AS_IT_IS, Choice

LEAST_GAIN = 0.01
"""Of mAP: less is not worth another setting."""
LEAST_FOLDS = 2
"""Won on fewer, it may be chance."""


@dataclass(frozen=True)
class Score:
    """What a training on all folds but one came to on that one."""

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


Train = Callable[[Choice, int], Score | None]
"""Trains a choice on all folds but one; None where the time was up before its end."""


def search(
    choices: list[Choice], num_folds: int, train: Train, has_time: Callable[[float], bool]
) -> list[Trial]:
    """Train choices on fold after fold, after each the better half of those that are left.

    The first choice is the control, which stays. `has_time` tells whether a training that should
    take so many seconds may begin; the first is not asked about, for nobody knows. Returns a trial
    for each choice, those without a score too.
    """
    trials = [Trial(choice) for choice in choices]
    control, left = trials[0], trials[1:]
    for fold in range(num_folds):
        for trial in (control, *left):
            if control.scores and not has_time(_expected(trial, control)):
                return trials
            score = train(trial.choice, fold)
            if score is None:
                return trials
            trial.scores[fold] = score
        left = sorted(left, key=lambda trial: -trial.mean)[: max(1, (len(left) + 1) // 2)]
    return trials


def _expected(trial: Trial, control: Trial) -> float:
    """How long its next training should take, in seconds."""
    if trial.scores:
        return max(score.seconds for score in trial.scores.values())
    return max(score.seconds for score in control.scores.values()) * trial.choice.cost


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

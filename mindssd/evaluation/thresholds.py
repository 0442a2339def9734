"""From which score on a detection shall count: chosen by a goal, and tried on other images.

A threshold keeps the detections whose score exceeds it. It is chosen on the curve of what is right
and wrong down to each score, of one class or of all together, at one IoU.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from mindssd.evaluation.curves import Ranked, ScoreCurve, ranked
from mindssd.evaluation.outcomes import Outcomes
from mindssd.types import Array

NUM_SPLITS = 50
"""So often the images are halved; each half chooses once for the other."""

COVERED = 0.95
"""The share of the halves whose figures lie within the interval."""


@dataclass(frozen=True)
class Place:
    """Where a goal cuts a curve: down to `index`, -1 for no detections; `reached` if it is met.

    Where it cannot be met, `index` is what comes nearest.
    """

    index: int
    reached: bool = True


Goal = Callable[[ScoreCurve], Place]
"""Chooses where to cut the curve of a class that has both truths and detections."""


def best_f1(curve: ScoreCurve) -> Place:
    """Cut at the highest F1; of equal ones at the highest score."""
    return Place(int(np.argmax(curve.f1)))


def precision_of_at_least(least: float) -> Goal:
    """Cut where precision is at least `least`, and finds as many truths as that allows.

    Of equal ones with the fewest wrong. Where it is reached nowhere: the highest precision, of
    equal ones the most truths.
    """

    def goal(curve: ScoreCurve) -> Place:
        met = curve.precision >= least
        if met.any():
            return Place(_first(np.where(met, curve.num_right, -1)))
        return Place(_last(curve.precision), reached=False)

    return goal


def recall_of_at_least(least: float) -> Goal:
    """Cut where recall is at least `least`, at the highest precision that this allows.

    Of equal ones with the most truths. Where it is reached nowhere: the highest recall, of equal
    ones with the fewest wrong.
    """

    def goal(curve: ScoreCurve) -> Place:
        met = curve.recall >= least
        if met.any():
            return Place(_last(np.where(met, curve.precision, -1)))
        return Place(_first(curve.num_right), reached=False)

    return goal


def least_cost(of_wrong: float, of_missed: float) -> Goal:
    """Cut where wrong detections and missed truths cost least; of equal ones at the highest score.

    To keep no detection at all is a choice as well.
    """

    def goal(curve: ScoreCurve) -> Place:
        num_right = np.concatenate([[0], curve.num_right])
        num_wrong = np.concatenate([[0], curve.num_wrong])
        cost = of_wrong * num_wrong + of_missed * (curve.num_truths - num_right)
        return Place(int(np.argmin(cost)) - 1)

    return goal


def _first(values: Array) -> int:
    return int(np.argmax(values))


def _last(values: Array) -> int:
    return len(values) - 1 - int(np.argmax(values[::-1]))


@dataclass(frozen=True)
class Figures:
    """What a threshold keeps: the detections that are right and wrong, and the truths there are."""

    num_right: int
    num_wrong: int
    num_truths: int

    @property
    def precision(self) -> float | None:
        """None where nothing is kept."""
        kept = self.num_right + self.num_wrong
        return self.num_right / kept if kept else None

    @property
    def recall(self) -> float | None:
        """None where there are no truths."""
        return self.num_right / self.num_truths if self.num_truths else None

    @property
    def f1(self) -> float | None:
        """None where there is neither truth nor detection."""
        counted = self.num_right + self.num_wrong + self.num_truths
        return 2 * self.num_right / counted if counted else None


Interval = tuple[float, float] | None
"""From, to; None where nothing is defined."""


@dataclass(frozen=True)
class Elsewhere:
    """What the goal gives on images that it was not chosen on, by halving the images many times.

    `figures` are those of all halves together, so each image counts `num_splits` times. The
    intervals hold 95 % of the single halves. A half chooses on half as many images and is half as
    many, so they are rather too wide than too narrow. `num_unreached` of 2 `num_splits` choices did
    not meet the goal on the half that they were made on, and took what comes nearest; `num_without`
    could not be made, for that half had no truths or no detections, and do not count.
    """

    figures: Figures
    precision_interval: Interval
    recall_interval: Interval
    f1_interval: Interval
    num_splits: int
    num_unreached: int
    num_without: int


@dataclass(frozen=True)
class Choice:
    """The threshold that meets a goal, what it gives where it was chosen, and on other images.

    `threshold` is None where the goal cannot be met; then `nearest` is the threshold that comes
    nearest and `figures` are its own. Without truths or without detections all are None.
    """

    threshold: float | None
    nearest: float | None
    figures: Figures | None
    elsewhere: Elsewhere | None


def choose(
    outcomes: Outcomes,
    goal: Goal,
    rng: np.random.Generator,
    iou: float = 0.5,
    class_id: int | None = None,
    num_splits: int = NUM_SPLITS,
) -> Choice:
    """Choose the threshold of one class, or one for all, and try the choice on other images.

    `elsewhere` is None with fewer than two images, and where no half could choose.
    """
    all_ranked = ranked(outcomes, iou, class_id)
    curve = all_ranked.curve()
    place = _place(curve, goal)
    if place is None:
        return Choice(None, None, None, None)
    threshold = curve.threshold(place.index)
    return Choice(
        threshold=threshold if place.reached else None,
        nearest=threshold,
        figures=_figures(curve, place.index),
        elsewhere=cross_fitted(all_ranked, len(outcomes.image_ids), goal, rng, num_splits),
    )


def cross_fitted(
    detections: Ranked, num_images: int, goal: Goal, rng: np.random.Generator, num_splits: int
) -> Elsewhere | None:
    """Choose on a random half of the images and state the figures on the other, again and again."""
    found: list[Figures] = []
    num_unreached = num_without = 0
    for _ in range(num_splits if num_images > 1 else 0):
        in_first = np.zeros(num_images, np.bool_)
        in_first[rng.permutation(num_images)[: num_images // 2]] = True
        halves = [detections.of_images(in_first).curve(), detections.of_images(~in_first).curve()]
        for here, there in (halves, halves[::-1]):
            place = _place(here, goal)
            if place is None:
                num_without += 1
                continue
            num_unreached += not place.reached
            found.append(figures_above(there, here.threshold(place.index)))
    if not found:
        return None
    return Elsewhere(
        figures=_sum(found),
        precision_interval=_interval([each.precision for each in found]),
        recall_interval=_interval([each.recall for each in found]),
        f1_interval=_interval([each.f1 for each in found]),
        num_splits=num_splits,
        num_unreached=num_unreached,
        num_without=num_without,
    )


def figures_above(curve: ScoreCurve, threshold: float) -> Figures:
    """What is right and wrong among the detections whose score exceeds a threshold.

    As float32, which scores are: 0.3 does not exceed 0.3.
    """
    threshold = float(np.float32(threshold))
    return _figures(curve, int(np.searchsorted(-curve.scores, -threshold, "left")) - 1)


def figures_of_thresholds(
    outcomes: Outcomes, thresholds: Array, iou: float = 0.5
) -> tuple[Figures, tuple[Figures, ...]]:
    """What a threshold for each class, (C,), gives for all classes together and for each.

    NaN keeps every detection of a class.
    """
    floors = np.where(np.isnan(thresholds), -np.inf, thresholds)
    of_classes = tuple(
        figures_above(ranked(outcomes, iou, class_id).curve(), float(floor))
        for class_id, floor in enumerate(floors)
    )
    return _sum(of_classes), of_classes


def _place(curve: ScoreCurve, goal: Goal) -> Place | None:
    return goal(curve) if curve.num_truths and len(curve.scores) else None


def _figures(curve: ScoreCurve, index: int) -> Figures:
    if index < 0:
        return Figures(0, 0, curve.num_truths)
    return Figures(int(curve.num_right[index]), int(curve.num_wrong[index]), curve.num_truths)


def _sum(figures: list[Figures] | tuple[Figures, ...]) -> Figures:
    return Figures(
        sum(each.num_right for each in figures),
        sum(each.num_wrong for each in figures),
        sum(each.num_truths for each in figures),
    )


def _interval(values: list[float | None]) -> Interval:
    defined = [value for value in values if value is not None]
    if not defined:
        return None
    low, high = np.quantile(defined, [(1 - COVERED) / 2, (1 + COVERED) / 2])
    return float(low), float(high)

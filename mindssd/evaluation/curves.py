"""Precision against recall as COCO draws it, AP, and precision, recall and F1 against the score.

Where a number is not defined, as the AP of a class without truths, arrays hold NaN.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from mindssd.evaluation.outcomes import Outcomes
from mindssd.types import Array

RECALLS: Array = np.linspace(0, 1, 101)
"""0, 0.01, … 1, the same numbers to the last bit as pycocotools'."""


@dataclass(frozen=True, eq=False)
class PrecisionRecall:
    """COCO's curves for T IoU thresholds, R = 101 recalls and C classes; NaN without truths.

    `precision` (T, R, C): the highest precision at that recall or a higher one, 0 where the recall
    is never reached. `scores` (T, R, C): the score at which the recall is reached, 0 where never.
    `recall` (T, C): the highest recall. Equal to pycocotools' `eval` for all sizes and 100
    detections, which has -1 in place of NaN.
    """

    iou_thresholds: Array
    recalls: Array
    precision: Array
    scores: Array
    recall: Array

    @property
    def ap(self) -> Array:
        """(T, C): average precision."""
        return np.asarray(self.precision.mean(axis=1))


def precision_recall(outcomes: Outcomes) -> PrecisionRecall:
    """Draw every class's curve at every IoU threshold, over the detections' falling scores.

    No detections of a class that has truths give precision 0 and recall 0.
    """
    num_truths = outcomes.num_truths
    shape = (len(outcomes.iou_thresholds), len(RECALLS), len(num_truths))
    precision, scores = np.full(shape, np.nan), np.full(shape, np.nan)
    recall = np.full((shape[0], shape[2]), np.nan)
    right, wrong = outcomes.right, outcomes.wrong
    for class_id, rows in enumerate(rows_of_classes(outcomes)):
        if num_truths[class_id] == 0:
            continue
        of_class = np.append(outcomes.table.scores[rows], 0.0)
        for at in range(shape[0]):
            num_right = np.cumsum(right[at, rows])
            envelope, places = envelope_at_recalls(
                num_right, np.cumsum(wrong[at, rows]), int(num_truths[class_id])
            )
            precision[at, :, class_id] = envelope
            scores[at, :, class_id] = of_class[places]
            recall[at, class_id] = num_right[-1] / num_truths[class_id] if len(rows) else 0.0
    return PrecisionRecall(outcomes.iou_thresholds, RECALLS, precision, scores, recall)


def envelope_at_recalls(
    num_right: Array, num_wrong: Array, num_truths: int, recalls: Array = RECALLS
) -> tuple[Array, Array]:
    """Read the highest precision at each recall or beyond, and the detection that reaches it.

    `num_right` and `num_wrong` (n,) count down to each detection, best first; `num_truths` > 0.
    Gives precisions (R,), 0 where a recall is not reached, and detections (R,), there n.
    """
    precision = num_right / np.maximum(num_right + num_wrong, 1)
    envelope = np.append(np.maximum.accumulate(precision[::-1])[::-1], 0.0)
    places = np.searchsorted(num_right / num_truths, recalls, "left")
    return envelope[places], places


def rows_of_classes(outcomes: Outcomes) -> list[Array]:
    """Each class's detections, best first: C arrays of rows."""
    class_ids = outcomes.table.class_ids
    order = np.argsort(class_ids, kind="stable")
    bounds = np.searchsorted(class_ids[order], np.arange(1, len(outcomes.class_names)))
    return np.split(order, bounds)


@dataclass(frozen=True, eq=False)
class ScoreCurve:
    """What is right and wrong among the detections down to each score.

    `scores` (k,) float64, distinct and falling; `num_right` and `num_wrong` (k,) int64 count the
    detections with at least that score, without those that a crowd holds. k = 0: no detections.
    """

    scores: Array
    num_right: Array
    num_wrong: Array
    num_truths: int

    @cached_property
    def precision(self) -> Array:
        """(k,): the share of right ones among the detections."""
        return np.asarray(self.num_right / (self.num_right + self.num_wrong))

    @cached_property
    def recall(self) -> Array:
        """(k,): the share of the truths that are found; NaN where there are none."""
        if not self.num_truths:
            return np.full(len(self.scores), np.nan)
        return np.asarray(self.num_right / self.num_truths)

    @cached_property
    def f1(self) -> Array:
        """(k,): the harmonic mean of precision and recall; 0 where nothing is right."""
        return np.asarray(2 * self.num_right / (self.num_right + self.num_wrong + self.num_truths))

    @property
    def best_f1(self) -> int | None:
        """The place of the highest F1, of equal ones that of the highest score; None without."""
        return int(np.argmax(self.f1)) if self.num_truths and len(self.scores) else None

    def places(self, thresholds: Array) -> Array:
        """The place of the lowest score that is at least each threshold, -1 where none is: (q,)."""
        return np.searchsorted(-self.scores, -np.asarray(thresholds, np.float64), "right") - 1

    def threshold(self, place: int) -> float:
        """A threshold that keeps the detections down to a place, and none below; none at -1.

        It is a float32, as scores are, midway to the next lower score, so that it matters little
        whether what equals it is kept. Below the lowest score it lies a little under it: what is
        lower yet was never looked at.
        """
        score = float(self.scores[place]) if place >= 0 else 1.0
        if place + 1 == len(self.scores):
            return float(np.float32(max(score - 1e-4, score / 2)))
        lower = float(self.scores[place + 1])
        midway = float(np.float32((score + lower) / 2))
        # Between neighbours there is no float32: what exceeds the lower one is kept.
        return midway if midway < score or place < 0 else lower


@dataclass(frozen=True, eq=False)
class Ranked:
    """The detections that are right or wrong, of one class or of all, best first, and the truths.

    `scores`, `right` (bool) and `images` (n,) of the detections, `truth_images` (m,) of the truths:
    images as their places in the outcomes' `image_ids`.
    """

    scores: Array
    right: Array
    images: Array
    truth_images: Array

    def curve(self) -> ScoreCurve:
        """Count right and wrong detections down to each score."""
        last = np.flatnonzero(np.diff(self.scores, append=-np.inf))  # the last of each score
        num_right = np.cumsum(self.right)[last]
        scores = self.scores[last].astype(np.float64)
        return ScoreCurve(scores, num_right, last + 1 - num_right, len(self.truth_images))

    def of_images(self, chosen: Array) -> "Ranked":
        """Those in some images alone: `chosen` (I,) bool."""
        rows = chosen[self.images]
        truth_images = self.truth_images[chosen[self.truth_images]]
        return Ranked(self.scores[rows], self.right[rows], self.images[rows], truth_images)


def ranked(outcomes: Outcomes, iou: float = 0.5, class_id: int | None = None) -> Ranked:
    """Take the detections of one class, or of all together, with what became of them at an IoU.

    What a crowd holds is left out. Together a detection of a class without truths is wrong as any
    other.
    """
    at = outcomes.at(iou)
    counted = ~outcomes.ignored[at]
    truths = ~outcomes.truths.is_crowd
    if class_id is not None:
        counted &= outcomes.table.class_ids == class_id
        truths &= outcomes.truths.class_ids == class_id
    rows = np.flatnonzero(counted)
    return Ranked(
        scores=outcomes.table.scores[rows],
        right=outcomes.truth_of[at, rows] >= 0,
        images=np.searchsorted(outcomes.image_ids, outcomes.table.image_ids[rows]),
        truth_images=outcomes.truth_images[truths],
    )


def score_curve(outcomes: Outcomes, iou: float = 0.5, class_id: int | None = None) -> ScoreCurve:
    """Count right and wrong detections down to each score, of one class or of all together.

    A detection's outcome depends on better ones alone, so what a threshold keeps has here the
    outcome that it would have by itself.
    """
    return ranked(outcomes, iou, class_id).curve()

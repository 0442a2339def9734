"""Which class is taken for which, and for background."""

from dataclasses import dataclass

import numpy as np

from mindssd.evaluation.outcomes import Outcomes
from mindssd.evaluation.overlaps import overlaps
from mindssd.types import Array


@dataclass(frozen=True, eq=False)
class Confusion:
    """What the truths of each class were detected as.

    `counts` (C + 1, C + 1) int64, [truth, detection]: C truths' classes and then background, as
    which a detection on nothing counts; C detections' classes and then background, as which a truth
    that nothing detected counts. Background taken for background is not counted: 0. `truth_of` (n,)
    int32: the truth that each detection was put to, -1 for background, below the threshold or in a
    crowd; `detection_of` (m,) int32 the other way round.
    """

    counts: Array
    truth_of: Array
    detection_of: Array
    score_threshold: float | Array
    iou: float


def confusion(outcomes: Outcomes, score_threshold: float | Array, iou: float = 0.5) -> Confusion:
    """Put the detections above a score, or (C,) their class's own, to truths.

    First within a class as COCO matches, so that the diagonal holds what is right in every other
    figure. Of what is left over, the detection of highest score first, each takes the free truth of
    another class that it overlaps most, by `iou` or more; of equal ones the first. What is left
    then is background. A crowd is no truth, and a detection that one holds does not count. No
    detections: all truths are background. No truths: all detections are.
    """
    at = outcomes.at(iou)
    counts_at_all = outcomes.above(score_threshold) & ~outcomes.ignored[at]
    truth_of = np.where(counts_at_all, outcomes.truth_of[at], -1)
    detection_of = np.full(len(outcomes.truths), -1, np.int32)
    matched = np.flatnonzero(truth_of >= 0)
    detection_of[truth_of[matched]] = matched
    _match_across_classes(outcomes, counts_at_all, iou, truth_of, detection_of)

    background = len(outcomes.class_names)
    truth_classes = np.append(outcomes.truths.class_ids, background)  # row -1
    rows = np.flatnonzero(counts_at_all)
    unfound = np.flatnonzero((detection_of < 0) & ~outcomes.truths.is_crowd)
    of_truths = np.concatenate([truth_classes[truth_of[rows]], truth_classes[unfound]])
    of_detections = np.concatenate(
        [outcomes.table.class_ids[rows], np.full(len(unfound), background)]
    ).astype(np.int64)
    size = background + 1
    counts = np.bincount(of_truths * size + of_detections, minlength=size * size)
    return Confusion(counts.reshape(size, size), truth_of, detection_of, score_threshold, iou)


def _match_across_classes(
    outcomes: Outcomes, counts_at_all: Array, iou: float, truth_of: Array, detection_of: Array
) -> None:
    """Put what is left over to truths of other classes, in place. Rows are best first."""
    free_truths = (detection_of < 0) & ~outcomes.truths.is_crowd
    free_detections = counts_at_all & (truth_of < 0)
    pairs = overlaps(
        outcomes.table,
        outcomes.truths,
        np.where(free_detections, outcomes.detection_images, -1),
        np.where(free_truths, outcomes.truth_images, -2),
        least_iou=iou,
    )
    order = np.lexsort((pairs.truths, -pairs.ious, pairs.detections))
    for detection, truth in zip(
        pairs.detections[order].tolist(), pairs.truths[order].tolist(), strict=True
    ):
        if truth_of[detection] < 0 and detection_of[truth] < 0:
            truth_of[detection], detection_of[truth] = truth, detection

"""Every figure of a report, measured from a model's detections."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from mindssd.build.evaluation import Detected
from mindssd.build.reach import reach, seen_truths
from mindssd.data.dataset import DetectionDataset
from mindssd.evaluation import factors
from mindssd.evaluation.calibration import Reliability, reliability_of
from mindssd.evaluation.confusion import Confusion, confusion
from mindssd.evaluation.curves import (
    PrecisionRecall,
    ScoreCurve,
    precision_recall,
    ranked,
    score_curve,
)
from mindssd.evaluation.decomposition import Decomposition, decompose
from mindssd.evaluation.intervals import Intervals, bootstrap
from mindssd.evaluation.outcomes import Outcomes, outcomes
from mindssd.evaluation.scores import Evaluation
from mindssd.evaluation.truths import read_truths
from mindssd.explain.counted import Counted, counted
from mindssd.explain.images import Progress, brightness_and_sharpness
from mindssd.types import Array

IOU = 0.5
"""At which a detection is right on the page, where nothing else is said."""

MOST_IMAGES = 2000
"""Of so many, drawn at random and the same each time, brightness and sharpness are measured: to
tell quarters of the images apart it is enough, and all would take the most time of a report."""


@dataclass(frozen=True, eq=False)
class Measured:
    """The figures of a report, and what they were measured from.

    `places` (I,) are the scored images' indices in the data set, in the order of the outcomes'.
    Above the thresholds of `counted` objects count as found and pictures are drawn. `best_iou` (m,)
    is that of each truth with a default box, NaN where it is not known, and `reach_threshold` what
    it should exceed.
    `by` has the recall by what truths and images are like, above the thresholds; brightness and
    sharpness are of `num_looked_at` images alone.
    """

    detected: Detected
    evaluation: Evaluation
    outcomes: Outcomes
    places: Array
    intervals: Intervals
    curves: PrecisionRecall
    score_curve: ScoreCurve
    class_curves: tuple[ScoreCurve, ...]
    counted: Counted
    errors: Decomposition
    confusion: Confusion
    reliability: Reliability
    found: Array
    best_iou: Array
    reach_threshold: float
    num_looked_at: int
    by: dict[str, list[factors.Group]]

    @property
    def class_names(self) -> tuple[str, ...]:
        return self.outcomes.class_names

    @cached_property
    def right(self) -> Array:
        """(n,) bool: the detections above their threshold that are right."""
        counts = self.outcomes.above(self.counted.thresholds)
        return np.asarray(counts & self.outcomes.right[self.outcomes.at(IOU)])

    @cached_property
    def wrong(self) -> Array:
        """(n,) bool: the detections above their threshold that are wrong."""
        counts = self.outcomes.above(self.counted.thresholds)
        return np.asarray(counts & self.outcomes.wrong[self.outcomes.at(IOU)])

    @property
    def missed(self) -> Array:
        """(m,) bool: the truths that no detection above its threshold found."""
        return np.asarray(~self.found & ~self.outcomes.truths.is_crowd)

    @property
    def unreachable(self) -> Array:
        """(m,) bool: those of known size that no default box fits well enough."""
        return np.asarray(self.best_iou <= np.float32(self.reach_threshold))


def measure(detected: Detected, progress: Progress | None = None) -> Measured:
    """Measure everything; `progress` is told how many images have been looked at.

    No detections, no truths, or one image: each figure is then what its own function says.
    """
    dataset, indices = detected.dataset, detected.indices
    truths = read_truths(dataset, indices)
    ids = dataset.image_ids[indices] if indices else np.zeros(0, np.int64)
    result = outcomes(detected.table, truths, ids, dataset.class_names)
    places = np.array(indices, np.int64)[np.unique(ids, return_index=True)[1]]
    whole = score_curve(result, IOU)
    above = counted(detected, result, whole, IOU)
    found = factors.found_truths(result, IOU, above.thresholds)
    values, num_looked_at = _image_values(dataset, places, progress)
    best_iou, reach_threshold = _best_ious(detected)
    return Measured(
        detected=detected,
        evaluation=detected.evaluation(),
        outcomes=result,
        places=places,
        intervals=bootstrap(result, np.random.default_rng(0)),
        curves=precision_recall(result),
        score_curve=whole,
        class_curves=tuple(
            score_curve(result, IOU, class_id) for class_id in range(len(result.class_names))
        ),
        counted=above,
        errors=decompose(result, IOU),
        confusion=confusion(result, above.thresholds, IOU),
        reliability=reliability_of(ranked(result, IOU)),
        found=found,
        best_iou=best_iou,
        reach_threshold=reach_threshold,
        num_looked_at=num_looked_at,
        by=_by(result, found, _sizes(detected, places), values),
    )


def _image_values(
    dataset: DetectionDataset, places: Array, progress: Progress | None
) -> tuple[Array, int]:
    """Brightness and sharpness, (I, 2), NaN for images that are not looked at, and of how many."""
    chosen = np.arange(len(places))
    if len(places) > MOST_IMAGES:
        chosen = np.sort(np.random.default_rng(0).choice(len(places), MOST_IMAGES, replace=False))
    values = np.full((len(places), 2), np.nan)
    values[chosen] = brightness_and_sharpness(dataset, places[chosen].tolist(), progress)
    return values, len(chosen)


def _sizes(detected: Detected, places: Array) -> Array:
    records = [detected.dataset[index] for index in places.tolist()]
    return np.array([(record.height, record.width) for record in records]).reshape(-1, 2)


def _by(
    result: Outcomes, found: Array, sizes: Array, values: Array
) -> dict[str, list[factors.Group]]:
    chosen = [
        factors.by_coco_size(result),
        factors.by_side(result),
        factors.by_aspect_ratio(result),
        factors.by_neighbours(result),
        factors.by_gap(result),
        factors.by_border(result, sizes),
        factors.by_image_value(result, "brightness of the image", values[:, 0]),
        factors.by_image_value(result, "sharpness of the image", values[:, 1], digits=4),
    ]
    return {factor.name: factors.recall_by(factor, result, found) for factor in chosen}


def _best_ious(detected: Detected) -> tuple[Array, float]:
    """The best IoU of each truth of the scored images with a default box, in their order."""
    dataset = detected.dataset
    seen = seen_truths(detected.config, dataset)
    reached = reach(detected.config, detected.grids, seen)
    of_rows = np.full(len(dataset.labels), np.nan, np.float32)
    of_rows[seen.rows] = reached.best_iou
    rows = [np.arange(dataset.starts[i], dataset.starts[i + 1]) for i in detected.indices]
    return of_rows[np.concatenate([np.zeros(0, np.int64), *rows])], reached.threshold

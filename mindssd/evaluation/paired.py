"""Is one model better than another, or is it chance: both on the same resamples of the images.

Models differ less than images do. Resampled together, what makes images easy or hard is in both
figures and drops out of their difference (Efron & Tibshirani 1993, chapter 8).
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from mindssd.evaluation.curves import precision_recall
from mindssd.evaluation.intervals import (
    COVERED,
    NUM_RESAMPLES,
    Estimate,
    centred,
    estimate,
    mean_of_defined,
    resampled_ap,
    resampled_recall,
    resamples,
)
from mindssd.evaluation.outcomes import Outcomes
from mindssd.types import Array

LEAST_IMAGES = 6
"""Of fewer images all may speak for one of two equal models by chance in more than one case of
twenty, as coins do (the sign test: 2 / 2⁵ is 0.06, 2 / 2⁶ is 0.03)."""


@dataclass(frozen=True)
class Difference:
    """How much higher a figure is than the first model's, and in which share of the resamples.

    `better_share` counts those where it is higher, and half of those where it is the same: 0.5 says
    nothing, near 0 or 1 is more than chance. `num_images` have truths that the figure is of. One
    image has no interval and no share; nor has what is not defined.
    """

    estimate: Estimate
    better_share: float | None
    num_images: int

    @property
    def is_more_than_chance(self) -> bool:
        """Whether the interval lies on one side of 0, of images enough to tell."""
        low, high = self.estimate.low, self.estimate.high
        if low is None or high is None or self.num_images < LEAST_IMAGES:
            return False
        return low > 0 or high < 0


@dataclass(frozen=True)
class Differences:
    """What one model has over the first: COCO's numbers for all sizes, and each class's AP.

    `ap` over IoU 0.50 to 0.95; `ar1` and its like the recall of so many detections of an image and
    class. Those by size have none: other truths count there, and are matched otherwise.
    """

    ap: Difference
    ap50: Difference
    ap75: Difference
    ar1: Difference
    ar10: Difference
    ar100: Difference
    class_ap: tuple[Difference, ...]
    class_ap50: tuple[Difference, ...]


def differences(
    models: Sequence[Outcomes],
    rng: np.random.Generator,
    num_resamples: int = NUM_RESAMPLES,
    covered: float = COVERED,
) -> list[Differences]:
    """Compare every model with the first, on the same images: one less than there are models.

    ValueError where images, classes or IoU thresholds are not the same. What has no truths has no
    difference.
    """
    first = models[0]
    for other in models[1:]:
        _require_same(first, other)
    weights = resamples(len(first.image_ids), num_resamples, rng)
    base_whole, base_drawn = _figures(first, weights)
    counts = _images_with_truths(first)
    result = []
    for other in models[1:]:
        whole, drawn = _figures(other, weights)
        result.append(_differences(whole - base_whole, drawn - base_drawn, counts, covered))
    return result


def _images_with_truths(outcomes: Outcomes) -> Array:
    """How many images have truths, of any class and of each: (1 + C,) int64; crowds are none."""
    counted = ~outcomes.truths.is_crowd
    of_images, of_classes = outcomes.truth_images[counted], outcomes.truths.class_ids[counted]
    shows = np.zeros((len(outcomes.image_ids), len(outcomes.class_names)), np.bool_)
    shows[of_images, of_classes] = True
    return np.concatenate([[shows.any(axis=1).sum()], shows.sum(axis=0)])


def _figures(outcomes: Outcomes, weights: Array) -> tuple[Array, Array]:
    """Six numbers of all classes and then of each: (6, 1 + C), and resampled (B, 6, 1 + C)."""
    aps, drawn_aps = precision_recall(outcomes).ap, resampled_ap(outcomes, weights)
    once = np.ones((1, len(outcomes.image_ids)))
    whole, drawn = [aps.mean(axis=0)], [drawn_aps.mean(axis=1)]
    for at in (outcomes.at(0.5), outcomes.at(0.75)):
        whole.append(aps[at])
        drawn.append(drawn_aps[:, at])
    for most in (1, 10, 100):
        whole.append(resampled_recall(outcomes, once, most)[0])
        drawn.append(resampled_recall(outcomes, weights, most))
    return _with_mean(np.stack(whole)), _with_mean(np.stack(drawn, axis=1))


def _with_mean(values: Array) -> Array:
    return np.concatenate([mean_of_defined(values)[..., None], values], axis=-1)


def _differences(whole: Array, drawn: Array, counts: Array, covered: float) -> Differences:
    def at(row: int, column: int) -> Difference:
        values = drawn[:, row, column]
        return _difference(float(whole[row, column]), values, int(counts[column]), covered)

    ap, ap50 = (tuple(at(row, column) for column in range(1, len(counts))) for row in (0, 1))
    return Differences(at(0, 0), at(1, 0), at(2, 0), at(3, 0), at(4, 0), at(5, 0), ap, ap50)


def _difference(value: float, drawn: Array, num_images: int, covered: float) -> Difference:
    both = estimate(value, drawn, covered, bounds=(-1.0, 1.0))
    if both.low is None or num_images < 2:
        return Difference(Estimate(both.value, None, None), None, num_images)
    moved = centred(value, drawn)
    better = float((moved > 0).mean() + (moved == 0).mean() / 2)
    return Difference(both, better, num_images)


def _require_same(first: Outcomes, other: Outcomes) -> None:
    if not np.array_equal(first.image_ids, other.image_ids):
        raise ValueError(
            f"models scored on different images, {len(first.image_ids)} and {len(other.image_ids)}"
        )
    if first.class_names != other.class_names:
        raise ValueError(f"models of different classes: {first.class_names}, {other.class_names}")
    if not np.array_equal(first.iou_thresholds, other.iou_thresholds):
        raise ValueError("models scored at different IoU thresholds")

"""How far figures would differ on other images of the same kind: the bootstrap over images.

A resample draws as many images as there are, with replacement, and an image that is drawn twice
counts twice (Efron & Tibshirani, An Introduction to the Bootstrap, 1993). Images are drawn rather
than boxes, for the boxes of an image are not independent.

An interval holds most of the resamples (their percentiles), moved so that their mean is the figure
on all images. For images that stand twice raise AP a little: the curve is the highest precision at
a recall or beyond, and of fewer different images chance makes more. Unmoved, the interval of a mean
over 80 classes may not even hold the figure itself.

Matching is by image and stays what it was. So a resample is but a weight for each image, and its AP
follows from weighted counts down the same order of detections: nothing is evaluated again.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from mindssd.evaluation.curves import RECALLS, precision_recall, rows_of_classes
from mindssd.evaluation.outcomes import Outcomes, rank_in_group
from mindssd.types import Array

NUM_RESAMPLES = 1000
COVERED = 0.95

VALUES_AT_ONCE = 4_000_000
"""Bounds the memory: so many detections times resamples are weighed at once."""

_JUST_ABOVE: Array = np.arange(101) / 100 < RECALLS
"""Recalls that lie a last bit above their hundredth, as 0.35 does: exactly 7 of 20 do not reach it
in pycocotools, nor here."""


@dataclass(frozen=True)
class Estimate:
    """A figure on all images, and the interval that holds most of the resamples'.

    None where it is not defined; `low` and `high` too where no resample defines it.
    """

    value: float | None
    low: float | None
    high: float | None


@dataclass(frozen=True)
class Intervals:
    """Mean AP over the classes and each class's, over IoU 0.50 to 0.95 and at 0.50."""

    ap: Estimate
    ap50: Estimate
    class_ap: tuple[Estimate, ...]
    class_ap50: tuple[Estimate, ...]
    num_resamples: int
    covered: float


def bootstrap(
    outcomes: Outcomes,
    rng: np.random.Generator,
    num_resamples: int = NUM_RESAMPLES,
    covered: float = COVERED,
) -> Intervals:
    """Give the mean AP and each class's with intervals over images.

    A class without truths has none, and has no part in a resample that draws none of its truths.
    One image gives intervals without width: it says nothing of others.
    """
    weights = resamples(len(outcomes.image_ids), num_resamples, rng)
    at50 = outcomes.at(0.5)
    whole = precision_recall(outcomes).ap  # (T, C)
    drawn = resampled_ap(outcomes, weights)  # (B, T, C)
    whole_ap, drawn_ap = whole.mean(axis=0), drawn.mean(axis=1)
    whole_ap50, drawn_ap50 = whole[at50], drawn[:, at50]
    return Intervals(
        ap=estimate(float(mean_of_defined(whole_ap)), mean_of_defined(drawn_ap), covered),
        ap50=estimate(float(mean_of_defined(whole_ap50)), mean_of_defined(drawn_ap50), covered),
        class_ap=_estimates(whole_ap, drawn_ap, covered),
        class_ap50=_estimates(whole_ap50, drawn_ap50, covered),
        num_resamples=num_resamples,
        covered=covered,
    )


def resamples(num_images: int, num_resamples: int, rng: np.random.Generator) -> Array:
    """Draw how often each image stands in each resample: (B, I) int32, each row sums to I."""
    drawn = rng.integers(0, max(num_images, 1), (num_resamples, num_images))
    drawn += num_images * np.arange(num_resamples)[:, None]
    counts = np.bincount(drawn.ravel(), minlength=num_resamples * num_images)
    return counts.reshape(num_resamples, num_images).astype(np.int32)


def resampled_ap(outcomes: Outcomes, weights: Array) -> Array:
    """AP in each of B resamples, at each IoU threshold, of each class: (B, T, C) float64.

    `weights` (B, I) int32. NaN where a resample has no truths of a class. Equal to the AP of a data
    set in which each image stands as often as its weight; where an image's own scores are equal,
    the copies of one detection rank before the next.
    """
    num_classes = len(outcomes.class_names)
    result = np.full((len(weights), len(outcomes.iou_thresholds), num_classes), np.nan)
    counted = ~outcomes.truths.is_crowd
    truth_images, truth_classes = outcomes.truth_images[counted], outcomes.truths.class_ids[counted]
    detection_images, right = outcomes.detection_images, outcomes.right
    for class_id, rows in enumerate(rows_of_classes(outcomes)):
        of_class = truth_images[truth_classes == class_id]
        if not len(of_class):
            continue
        num_truths = weights[:, of_class].sum(axis=1)  # (B,)
        # What ranks behind the last right detection changes nothing.
        some_right = np.flatnonzero(right[:, rows].any(axis=0))
        rows = rows[: some_right[-1] + 1] if len(some_right) else rows[:0]
        for part in _parts(len(weights), len(rows)):
            result[part, :, class_id] = _weighted_ap(
                weights[part],
                detection_images[rows],
                right[:, rows],
                outcomes.ignored[:, rows],
                num_truths[part],
            )
    return result


def resampled_recall(outcomes: Outcomes, weights: Array, most: int) -> Array:
    """Average recall over the IoU thresholds in each of B resamples, of each class: (B, C) float64.

    Of the best `most` detections of a class and image. `weights` (B, I). NaN where a resample has
    no truths of a class.
    """
    num_classes, num_images = len(outcomes.class_names), len(outcomes.image_ids)
    groups = outcomes.detection_images * num_classes + outcomes.table.class_ids
    counts = np.append(rank_in_group(groups) < most, False)  # row -1: none
    shares = counts[outcomes.detection_of].mean(axis=0)  # (m,)
    counted = ~outcomes.truths.is_crowd
    places = outcomes.truths.class_ids.astype(np.int64) * num_images + outcomes.truth_images

    def by_class_and_image(of_truths: Array) -> Array:
        kept = of_truths[counted]
        sums = np.bincount(places[counted], kept, minlength=num_classes * num_images)
        return np.asarray(sums.reshape(num_classes, num_images))

    found = weights @ by_class_and_image(shares).T
    num_truths = weights @ by_class_and_image(np.ones(len(shares))).T
    return np.asarray(np.where(num_truths > 0, found / np.maximum(num_truths, 1), np.nan))


def _parts(num_resamples: int, num_rows: int) -> Iterator[slice]:
    size = max(1, VALUES_AT_ONCE // max(1, num_rows))
    size = min(size, 128)  # what is worked on at a time stays in the processor's cache
    for start in range(0, num_resamples, size):
        yield slice(start, min(start + size, num_resamples))


def _weighted_ap(
    weights: Array, images: Array, right: Array, ignored: Array, num_truths: Array
) -> Array:
    """AP of one class in b resamples at T thresholds, (b, T): weights (b, I), detections n.

    `images` (n,), `right` and `ignored` (T, n) of the detections, best first; `num_truths` (b,).
    """
    result = np.zeros((len(weights), len(right)))
    seen = _counts_down(weights, images)  # (b, n)
    per_truth = (100 / np.maximum(num_truths, 1))[:, None]
    for at in range(len(right)):
        found = np.flatnonzero(right[at])
        if not len(found):
            continue
        num_right = _counts_down(weights, images[found])  # (b, k)
        num_seen = np.take(seen, found, axis=1)
        held = np.flatnonzero(ignored[at])  # by crowds
        if len(held):
            before = np.searchsorted(held, found)
            held_seen = np.pad(_counts_down(weights, images[held]), ((0, 0), (1, 0)))
            num_seen -= held_seen[:, before]
        precision = num_right / np.maximum(num_seen, 1)
        envelope = np.maximum.accumulate(precision[:, ::-1], axis=1)[:, ::-1]
        num_points = _num_recalls_reached(num_right, num_truths, per_truth)
        num_points[:, 1:] -= num_points[:, :-1].copy()
        result[:, at] = np.einsum("bk,bk->b", envelope, num_points) / len(RECALLS)
    result[num_truths == 0] = np.nan
    return result


def _counts_down(weights: Array, images: Array) -> Array:
    """Add up the weights of the images, (b, I) and (n,), from the first to each: (b, n) int32."""
    return np.cumsum(np.take(weights, images, axis=1), axis=1, dtype=np.int32)


def _num_recalls_reached(num_right: Array, num_truths: Array, per_truth: Array) -> Array:
    """How many of RECALLS are at most num_right / num_truths: (b, k) float64.

    `per_truth` (b, 1) is 100 / num_truths.
    """
    hundredths = num_right * per_truth
    # What is a whole hundredth, but for rounding, is decided in integers.
    up = np.floor(hundredths + 1e-6)
    places = np.nonzero(up - hundredths > -1e-6)
    if len(places[0]):
        near = up[places].astype(np.int64)
        difference = 100 * num_right[places].astype(np.int64) - near * num_truths[places[0]]
        just_missed = (difference < 0) | ((difference == 0) & _JUST_ABOVE[np.minimum(near, 100)])
        up[places] -= just_missed
    up += 1
    return np.asarray(up)


def estimate(
    value: float,
    drawn: Array,
    covered: float = COVERED,
    bounds: tuple[float, float] = (0.0, 1.0),
) -> Estimate:
    """Put a figure and the interval by its resamples (B,) together, within its bounds.

    NaN is a figure that is not defined; among the resamples it does not count.
    """
    if np.isnan(value):
        return Estimate(None, None, None)
    moved = centred(value, drawn)
    if not len(moved):
        return Estimate(value, None, None)
    low, high = np.quantile(moved, [(1 - covered) / 2, (1 + covered) / 2]).clip(*bounds)
    return Estimate(value, float(low), float(high))


def centred(value: float, drawn: Array) -> Array:
    """Move the resamples that are defined so that their mean is the figure: (B,) to at most B."""
    defined = drawn[~np.isnan(drawn)]
    return defined + (value - defined.mean()) if len(defined) else defined


def mean_of_defined(values: Array) -> Array:
    """The mean over the last axis of what is not NaN; NaN where nothing is."""
    defined = ~np.isnan(values)
    total = np.where(defined, values, 0.0).sum(axis=-1)
    count = defined.sum(axis=-1)
    return np.asarray(np.where(count > 0, total / np.maximum(count, 1), np.nan))


def _estimates(values: Array, drawn: Array, covered: float) -> tuple[Estimate, ...]:
    return tuple(
        estimate(value, drawn[:, place], covered) for place, value in enumerate(values.tolist())
    )

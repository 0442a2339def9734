"""Whether a score of 0.8 is right in 80 of 100 cases, and what makes it so.

Guo et al., On Calibration of Modern Neural Networks, arXiv:1706.04599: reliability diagram,
expected calibration error and temperature scaling. A detection is right as COCO's matching has it,
at one IoU; what a crowd holds does not count. Truths that nothing detects have no score, and no
part here.
"""

from dataclasses import dataclass

import numpy as np

from mindssd.evaluation.curves import Ranked
from mindssd.types import Array

NUM_BINS = 15
"""As in the paper."""

SMALLEST = 1e-7
"""Scores are taken to lie so far from 0 and 1, where the logit is infinite."""

MAX_STEPS = 50


@dataclass(frozen=True, eq=False)
class Reliability:
    """Scores against shares of right detections, in B bins of equal width between 0 and 1.

    `edges` (B + 1,); `num_right` and `num_wrong` (B,) int64, which are the score histograms too;
    `mean_scores` and `shares_right` (B,), NaN in empty bins. `expected_error` is the mean distance
    of these two, weighed by the detections in a bin; None without detections. A bin holds its upper
    edge, the first one 0 too.
    """

    edges: Array
    num_right: Array
    num_wrong: Array
    mean_scores: Array
    shares_right: Array
    expected_error: float | None


def reliability(scores: Array, right: Array, num_bins: int = NUM_BINS) -> Reliability:
    """Compare scores (n,) in 0..1 with what became of their detections, (n,) bool."""
    edges = np.linspace(0, 1, num_bins + 1)
    scores = scores.astype(np.float64)
    bins = np.clip(np.searchsorted(edges, scores, "left") - 1, 0, num_bins - 1)
    count = np.bincount(bins, minlength=num_bins)
    num_right = np.bincount(bins[right], minlength=num_bins)
    with np.errstate(invalid="ignore"):
        mean_scores = np.bincount(bins, scores, num_bins) / count
        shares_right = num_right / count
    filled = count > 0
    distances = np.abs(mean_scores - shares_right)[filled]
    return Reliability(
        edges=edges,
        num_right=num_right,
        num_wrong=count - num_right,
        mean_scores=mean_scores,
        shares_right=shares_right,
        expected_error=float(np.average(distances, weights=count[filled])) if len(scores) else None,
    )


def reliability_of(detections: Ranked, num_bins: int = NUM_BINS) -> Reliability:
    """Compare the scores of the detections of one class, or of all, with what became of them."""
    return reliability(detections.scores, detections.right, num_bins)


def with_temperature(scores: Array, temperature: float) -> Array:
    """Divide the logits of scores by a temperature > 0: (n,) to (n,) float64.

    Above 1 scores move towards 0.5, below it away. Their order stays.
    """
    return np.asarray(1 / (1 + np.exp(-_logits(scores) / temperature)))


def log_loss(scores: Array, right: Array) -> float:
    """The mean negative log likelihood of what became of the detections; NaN without any."""
    if not len(scores):
        return float("nan")
    scores = np.clip(scores.astype(np.float64), SMALLEST, 1 - SMALLEST)
    return float(-np.log(np.where(right, scores, 1 - scores)).mean())


def fit_temperature(scores: Array, right: Array) -> float | None:
    """Find the temperature by which the scores (n,) fit best what became of them, (n,) bool.

    It minimises the log loss by Newton's steps on the inverse temperature, in which the loss is
    convex. None where nothing positive does: without detections, where all are on the right side of
    0.5 (any lower temperature fits better), or where the order of the scores is no better than
    chance or turned round.
    """
    logits = _logits(scores)
    signed = np.where(right, logits, -logits)
    # The loss falls at 0 if the mean is above 0, and rises at last if some sign is wrong.
    if not len(scores) or signed.mean() <= 0 or (signed >= 0).all():
        return None
    low, high, inverse = 0.0, np.inf, 1.0
    for _ in range(MAX_STEPS):
        wrong_share = 1 / (1 + np.exp(np.minimum(signed * inverse, 700)))
        slope = -(signed * wrong_share).mean()
        curvature = (np.square(signed) * wrong_share * (1 - wrong_share)).mean()
        low, high = (inverse, high) if slope < 0 else (low, inverse)
        step = inverse - slope / curvature if curvature > 0 else np.inf
        # Newton's step where it stays between the bounds, else halve or double.
        if not low < step < high:
            step = 2 * inverse if np.isinf(high) else (low + high) / 2
        if abs(step - inverse) <= 1e-9 * inverse:
            break
        inverse = step
    return float(1 / inverse)


def _logits(scores: Array) -> Array:
    scores = np.clip(scores.astype(np.float64), SMALLEST, 1 - SMALLEST)
    return np.asarray(np.log(scores) - np.log1p(-scores))

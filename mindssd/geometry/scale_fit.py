"""At which scale default boxes on grids come nearest to the truths' sizes."""

import math
from collections.abc import Sequence

import numpy as np

from mindssd.types import Array

CANDIDATES = np.geomspace(2.0, 6.0, 25).round(2)
"""Scales to choose from, in cells."""

FINE = CANDIDATES >= 3
"""The octave of them that puts each size on the finest level that has boxes for it."""

SLACK = 0.03
"""Scales that are worse than the best by so little of an octave count as equal to it."""

MUCH = 0.1
"""By so much of an octave smaller scales must be nearer: where truths are below the finest boxes,
and not where the coarsest levels, whose steps are no octave, meet some size by chance."""


def fitting_scale(sides: Array, weights: Array, box_sizes: Sequence[float]) -> float:
    """The largest of the scales whose default boxes are nearest to the truths in size.

    `sides` (n,) are the truths' in pixels of the network's image, the root of their area,
    `weights` (n,) what each counts, `box_sizes` the sides of all levels' default boxes at a scale
    of 1, in pixels too. A truth is as far from a scale as its side is from that of the nearest
    default box, in octaves. Of scales that are alike the largest is taken, and those of the finest
    octave go before smaller ones: they put the truths on finer levels, where more cells lie within
    each. ValueError without truths.
    """
    if not len(sides):
        raise ValueError("no truths to fit a scale to; expected at least one")
    away_at_1 = np.log2(sides)[:, None] - np.log2(box_sizes)  # (n, sizes)
    shares = weights / weights.sum()
    mean = np.array(
        [shares @ np.abs(away_at_1 - math.log2(scale)).min(axis=1) for scale in CANDIDATES]
    )
    best = mean.min() if mean.min() < mean[FINE].min() - MUCH else mean[FINE].min()
    return float(CANDIDATES[np.flatnonzero(mean <= best + SLACK)[-1]])

"""At which scale default boxes on grids come nearest to the truths' sizes."""

from collections.abc import Sequence

import numpy as np

from mindssd.types import Array

CANDIDATES = np.geomspace(2.0, 6.0, 25).round(2)
"""Scales to choose from, in cells. Over more than an octave, so that each size has two levels."""

SLACK = 0.03
"""Scales that are worse than the best by so little of an octave count as equal to it."""


def fitting_scale(sides: Array, weights: Array, level_steps: Sequence[float]) -> float:
    """The largest of the scales whose default boxes are nearest to the truths in size.

    `sides` (n,) are the truths' in pixels of the network's image, the root of their area,
    `weights` (n,) what each counts, `level_steps` the pixels between a level's cells. A truth is as
    far from a scale as its side is from that of the nearest level's default box, in octaves. Of
    scales that are alike the largest is taken: it puts the truths on finer levels, where more
    cells lie within each. ValueError without truths.
    """
    if not len(sides):
        raise ValueError("no truths to fit a scale to; expected at least one")
    octaves = np.log2(np.outer(CANDIDATES, level_steps))  # (scales, levels)
    away = np.abs(np.log2(sides)[:, None, None] - octaves).min(axis=2)  # (n, scales)
    mean = weights @ away / weights.sum()
    return float(CANDIDATES[np.flatnonzero(mean <= mean.min() + SLACK)[-1]])

"""Which truths are found, by what they are like: size, shape, neighbours, border, their image.

A factor puts each truth into one of its groups; a group's figure is its recall. Crowds are in none,
and groups without truths are left out.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from mindssd.evaluation.outcomes import Outcomes
from mindssd.geometry.boxes import pairwise_intersection
from mindssd.types import Array

Z = 1.959964
"""The normal quantile of intervals that hold 95 %."""

SIDES = (8, 16, 32, 64, 96, 128, 256, 512)
RATIOS = (1 / 3, 1 / 2, 3 / 4, 4 / 3, 2, 3)
GAPS = (0.25, 1.0)
BORDER_PIXELS = 1.0


@dataclass(frozen=True, eq=False)
class Factor:
    """One way to group the m truths: `group_of` (m,) int64 into `labels`, -1 for none of them."""

    name: str
    labels: tuple[str, ...]
    group_of: Array


@dataclass(frozen=True)
class Group:
    """The truths of one group, and the share of them that was found, with its 95 % interval."""

    label: str
    num_truths: int
    num_found: int
    recall: float
    low: float
    high: float


def found_truths(
    outcomes: Outcomes, iou: float = 0.5, score_threshold: float | Array = 0.0
) -> Array:
    """Which truths a detection above a score, or (C,) its class's own, found: (m,) bool."""
    detections = outcomes.detection_of[outcomes.at(iou)]
    return np.asarray(np.append(outcomes.above(score_threshold), False)[detections])


def recall_by(factor: Factor, outcomes: Outcomes, found: Array) -> list[Group]:
    """The recall of each group that has truths; `found` (m,) bool."""
    groups = []
    images = outcomes.truth_images
    for place, label in enumerate(factor.labels):
        rows = (factor.group_of == place) & ~outcomes.truths.is_crowd
        num_truths, num_found = int(rows.sum()), int(found[rows].sum())
        if num_truths:
            low, high = share_interval(found[rows], images[rows])
            recall = num_found / num_truths
            groups.append(Group(label, num_truths, num_found, recall, low, high))
    return groups


def share_interval(hits: Array, images: Array) -> tuple[float, float]:
    """The 95 % interval of a share of hits, (n,) bool with n > 0, that lie in images (n,).

    Wilson's score interval (1927), which is defined for shares of 0 and 1 too, for as many
    independent trials as the n are worth: where the images differ more than chance would have it,
    that is n over the design effect (Kish, Survey Sampling, 1965), the variance of the share
    between images over that of a binomial.
    """
    share, num = float(hits.mean()), len(hits)
    _, places = np.unique(images, return_inverse=True)
    in_image = np.bincount(places)
    num_images = len(in_image)
    if num_images > 1 and 0 < share < 1:
        excess = np.bincount(places, hits) - share * in_image
        variance = np.square(excess).sum() / num**2 * num_images / (num_images - 1)
        num /= max(1.0, variance * (num - 1) / (share * (1 - share)))
    centre = (share + Z**2 / (2 * num)) / (1 + Z**2 / num)
    half = Z * np.sqrt(share * (1 - share) / num + Z**2 / (4 * num**2)) / (1 + Z**2 / num)
    return max(0.0, float(centre - half)), min(1.0, float(centre + half))


def by_coco_size(outcomes: Outcomes) -> Factor:
    """COCO's three, by the annotated area: below 32², to 96², above."""
    areas = outcomes.truths.areas
    group_of = (areas >= 32**2).astype(np.int64) + (areas > 96**2)
    return Factor("size", ("small, below 32²", "medium, to 96²", "large, above 96²"), group_of)


def by_side(outcomes: Outcomes) -> Factor:
    """By the side of a square of the box's area, in pixels of the image."""
    width, height = outcomes.truths.boxes_xywh[:, 2:].T
    side = np.sqrt(np.maximum(width * height, 0))
    return Factor("side", _labels(SIDES, unit=" px"), _parts(side, SIDES))


def by_aspect_ratio(outcomes: Outcomes) -> Factor:
    """By width over height."""
    width, height = outcomes.truths.boxes_xywh[:, 2:].T
    labels = _labels(RATIOS, words=("1:3", "1:2", "3:4", "4:3", "2:1", "3:1"))
    return Factor("aspect ratio", labels, _parts(width / np.maximum(height, 1e-9), RATIOS))


def by_neighbours(outcomes: Outcomes) -> Factor:
    """By how many other truths, of any class, overlap a truth."""
    count = np.zeros(len(outcomes.truths), np.int64)
    for rows, boxes in _by_image(outcomes):
        # A box overlaps itself, if it has an area.
        overlapping = pairwise_intersection(boxes, boxes) > 0
        np.fill_diagonal(overlapping, False)
        count[rows] = overlapping.sum(axis=1)
    labels = ("overlaps none", "overlaps 1", "overlaps 2", "overlaps 3 or 4", "overlaps 5 or more")
    return Factor("overlapping neighbours", labels, _parts(count, (1, 2, 3, 5)))


def by_gap(outcomes: Outcomes) -> Factor:
    """By how far the nearest other truth of any class is, in sides of the truth.

    The gap is that between the boxes' edges, 0 where they touch; a side is that of a square of the
    box's area.
    """
    gaps = np.full(len(outcomes.truths), np.inf)
    for rows, boxes in _by_image(outcomes):
        if len(rows) > 1:
            gaps[rows] = _nearest_gaps(boxes)
    group_of = np.where(gaps == 0, 0, 1 + _parts(gaps, GAPS))
    group_of[np.isinf(gaps)] = len(GAPS) + 2
    labels = ("touches", "within ¼ side", "within 1 side", "further", "alone in its image")
    return Factor("nearest neighbour", labels, group_of)


def _nearest_gaps(boxes: Array) -> Array:
    """The gap from each of k > 1 boxes (k, 4) to the nearest other, in its own sides: (k,)."""
    apart = np.maximum(boxes[:, None, :2] - boxes[None, :, 2:], 0)  # (k, k, 2): beyond the other
    distance = np.hypot(*np.moveaxis(np.maximum(apart, apart.transpose(1, 0, 2)), 2, 0))
    np.fill_diagonal(distance, np.inf)
    side = np.sqrt(np.maximum((boxes[:, 2:] - boxes[:, :2]).prod(axis=1), 1e-9))
    return np.asarray(distance.min(axis=1) / side)


def by_border(outcomes: Outcomes, image_sizes: Array) -> Factor:
    """By whether a truth reaches to within a pixel of its image's border.

    `image_sizes` (I, 2) as (height, width), in the order of the outcomes' images.
    """
    xywh = outcomes.truths.boxes_xywh
    ends = image_sizes[outcomes.truth_images][:, ::-1] - BORDER_PIXELS
    inside = (xywh[:, :2] > BORDER_PIXELS) & (xywh[:, :2] + xywh[:, 2:] < ends)
    return Factor("border", ("touches the border", "inside"), inside.all(axis=1).astype(np.int64))


def by_image_value(
    outcomes: Outcomes, name: str, values: Array, num_parts: int = 4, digits: int = 3
) -> Factor:
    """By a property of the image, such as brightness or blur, in parts of about as many images.

    `values` (I,) in the order of the outcomes' images; NaN, as for an image that cannot be read, is
    in no group. Equal values are in one part, so there may be fewer parts.
    """
    known = values[~np.isnan(values)]
    if not len(known):
        return Factor(name, (), np.full(len(outcomes.truths), -1, np.int64))
    inner = np.quantile(known, np.arange(1, num_parts) / num_parts)
    edges = np.unique(inner[(inner > known.min()) & (inner <= known.max())])
    bounds = [known.min(), *edges.tolist(), known.max()]
    labels = tuple(f"{low:.{digits}g} to {high:.{digits}g}" for low, high in pairwise(bounds))
    of_image = np.where(np.isnan(values), -1, _parts(values, tuple(edges.tolist())))
    return Factor(name, labels, of_image[outcomes.truth_images])


def _by_image(outcomes: Outcomes) -> list[tuple[Array, Array]]:
    """Each image's truths without crowds: rows (k,) and boxes (k, 4), k > 0."""
    rows = np.flatnonzero(~outcomes.truths.is_crowd)
    rows = rows[np.argsort(outcomes.truth_images[rows], kind="stable")]
    firsts = np.flatnonzero(np.diff(outcomes.truth_images[rows]))
    xywh = outcomes.truths.boxes_xywh
    boxes = np.concatenate([xywh[:, :2], xywh[:, :2] + xywh[:, 2:]], axis=1)
    return [(part, boxes[part]) for part in np.split(rows, firsts + 1) if len(part)]


def _parts(values: Array, edges: Sequence[float]) -> Array:
    """The part that each value lies in, from an edge on to below the next: 0 to len(edges)."""
    return np.searchsorted(np.asarray(edges, np.float64), values, "right")


def _labels(
    edges: Sequence[float], unit: str = "", words: Sequence[str] | None = None
) -> tuple[str, ...]:
    """Words for the parts between edges."""
    names = [f"{edge:g}" for edge in edges] if words is None else list(words)
    between = [f"{low} to {high}{unit}" for low, high in pairwise(names)]
    return (f"below {names[0]}{unit}", *between, f"{names[-1]}{unit} and above")

"""The default boxes of a recipe against a data set's truths, in figures."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from mindssd.build.fit import fit
from mindssd.build.grids import read_grids
from mindssd.build.network import build_default_boxes, image_size
from mindssd.build.reach import Reach, positives, reach
from mindssd.config.schema import Config
from mindssd.data.dataset import DetectionDataset
from mindssd.data.unit_truths import UnitTruths, unit_truths
from mindssd.geometry.default_boxes import DefaultBoxes
from mindssd.inspect.mending import Option, advised, options
from mindssd.types import Array, ImageSize

SIDES = (8, 16, 32, 64, 128)
"""Where the groups by size begin and end, in pixels of the network's image."""

RATIOS = (1 / 3, 1 / 2, 2, 3)
"""Where the groups by width over height do."""

MATCHED = 5000
"""So many truths are matched as in training, to count their default boxes."""

IOU_BINS = 20

SIZE_EDGES = tuple(2 ** (step / 2) for step in range(2, 23))
"""Pixels at which the cells of the histogram of widths and heights begin and end: half octaves."""

WORST = 12
"""So many of the worst reached truths are kept as examples."""


@dataclass(frozen=True)
class Group:
    """Some of the truths: how many there are, what share is reached, and their median best IoU."""

    name: str
    num_truths: int
    share: float
    median_iou: float


@dataclass(frozen=True)
class Truth:
    """One truth as an example; `box` (x1, y1, x2, y2) in pixels of the annotated image."""

    image: int
    file_name: str
    class_name: str
    box: tuple[float, float, float, float]
    side_at_network: float
    best_iou: float


@dataclass(frozen=True)
class Anchors:
    """How a recipe's default boxes fit the truths; `share` is that of the truths reached.

    Figures of boxes are percentiles 5, 25, 50, 75, 95, in pixels of the network's image.
    `default_boxes_of_truths` are the same of how many default boxes learn from a truth, counted on
    `num_matched` of them, and `learned_by_one` the share of those that have a single one.
    `iou_histogram` counts best IoUs in twentieths, `size_histogram` truths by height (rows) and
    width (columns) between `SIZE_EDGES`; `default_box_sizes` are the widths and heights there are.
    """

    recipe: str
    image_size: tuple[int, int]
    assignment: str
    threshold: float
    fitted: tuple[str, ...]
    num_truths: int
    num_reached: int
    share: float
    sides: tuple[float, ...]
    ratios: tuple[float, ...]
    best_ious: tuple[float, ...]
    num_matched: int
    default_boxes_of_truths: tuple[float, ...]
    learned_by_one: float
    by_class: tuple[Group, ...]
    by_side: tuple[Group, ...]
    by_ratio: tuple[Group, ...]
    iou_histogram: tuple[int, ...]
    size_histogram: tuple[tuple[int, ...], ...]
    default_box_sizes: tuple[tuple[float, float], ...]
    worst: tuple[Truth, ...]
    options: tuple[Option, ...]
    advised: Option | None


PERCENTILES = (5, 25, 50, 75, 95)


def measure(config: Config, recipe: str, dataset: DetectionDataset) -> Anchors:
    """Compare the network's default boxes with the training truths, and try what would fit better.

    `config` as asked for: `auto` is fitted as a run would. EngineError where no engine can build
    its network.
    """
    grids = read_grids(config)
    fitted, said = fit(config, dataset, grids)
    truths = unit_truths(dataset)
    found = reach(fitted, grids, truths)
    size = image_size(fitted)
    extent = truths.sides(size)
    sides, ratios = np.sqrt(extent.prod(axis=1)), extent[:, 0] / extent[:, 1]
    matched = positives(fitted, grids, _of_some_images(truths))
    tried = options(config, dataset, grids, truths)
    return Anchors(
        recipe=recipe,
        image_size=size,
        assignment=fitted.matching.assignment,
        threshold=found.threshold,
        fitted=tuple(line for line in said if line.startswith("default_boxes")),
        num_truths=len(truths),
        num_reached=int(np.count_nonzero(found.reached)),
        share=round(found.share, 4),
        sides=_percentiles(sides),
        ratios=_percentiles(ratios),
        best_ious=_percentiles(found.best_iou),
        num_matched=len(matched),
        default_boxes_of_truths=_percentiles(matched),
        learned_by_one=round(float((matched <= 1).mean()), 4) if len(matched) else 0.0,
        by_class=tuple(
            _group(name, truths.labels == label, found)
            for label, name in enumerate(dataset.class_names, start=1)
        ),
        by_side=_groups(sides, SIDES, found, "{:g}"),
        by_ratio=_groups(ratios, RATIOS, found, "{:.2g}"),
        iou_histogram=tuple(np.histogram(found.best_iou, IOU_BINS, (0, 1))[0].tolist()),
        size_histogram=_size_histogram(extent),
        default_box_sizes=_shapes(build_default_boxes(fitted, grids), size),
        worst=_worst(dataset, truths, sides, found),
        options=tuple(tried),
        advised=advised(tried),
    )


def _of_some_images(truths: UnitTruths) -> UnitTruths:
    """About `MATCHED` truths, with all others of their images: these compete for default boxes."""
    if len(truths) <= MATCHED:
        return truths
    images = np.random.default_rng(0).permutation(np.unique(truths.images))
    counts = np.bincount(truths.images)[images]
    few = max(1, int(np.searchsorted(np.cumsum(counts), MATCHED)))
    return truths.at(np.isin(truths.images, images[:few]))


def _group(name: str, members: Array, found: Reach) -> Group:
    count = int(np.count_nonzero(members))
    if not count:
        return Group(name, 0, 1.0, 0.0)
    share = float(found.reached[members].mean())
    return Group(name, count, round(share, 4), round(float(np.median(found.best_iou[members])), 3))


def _groups(values: Array, limits: Sequence[float], found: Reach, form: str) -> tuple[Group, ...]:
    """The truths by value; groups without any are left out."""
    names = [f"below {form.format(limits[0])}"]
    names += [f"{form.format(low)} to {form.format(high)}" for low, high in pairwise(limits)]
    names.append(f"{form.format(limits[-1])} and more")
    places = np.digitize(values, limits)
    groups = [_group(name, places == place, found) for place, name in enumerate(names)]
    return tuple(group for group in groups if group.num_truths)


def _worst(
    dataset: DetectionDataset, truths: UnitTruths, sides: Array, found: Reach
) -> tuple[Truth, ...]:
    """The truths that are not reached, worst first, one an image."""
    order = np.argsort(found.best_iou, kind="stable")
    order = order[~found.reached[order]]
    _, first = np.unique(truths.images[order], return_index=True)
    examples = []
    for place in order[np.sort(first)][:WORST].tolist():
        image = int(truths.images[place])
        corners = truths.boxes[place] * np.tile(dataset.sizes[image, ::-1], 2)
        x1, y1, x2, y2 = (round(float(value), 1) for value in corners)
        examples.append(
            Truth(
                image=image,
                file_name=dataset.file_names[image],
                class_name=dataset.class_names[int(truths.labels[place]) - 1],
                box=(x1, y1, x2, y2),
                side_at_network=round(float(sides[place]), 1),
                best_iou=round(float(found.best_iou[place]), 3),
            )
        )
    return tuple(examples)


def _size_histogram(extent: Array) -> tuple[tuple[int, ...], ...]:
    sides = np.clip(extent, SIZE_EDGES[0], SIZE_EDGES[-1])
    edges = np.array(SIZE_EDGES)
    counts = np.histogram2d(sides[:, 1], sides[:, 0], [edges, edges])[0].astype(int)
    return tuple(tuple(row) for row in counts.tolist())


def _shapes(default_boxes: DefaultBoxes, size: ImageSize) -> tuple[tuple[float, float], ...]:
    """Width and height in pixels of each shape that a level's cells have."""
    shapes, first = [], 0
    for cells, per_cell in zip(default_boxes.cells, default_boxes.num_per_cell, strict=True):
        for width, height in default_boxes.boxes_cxcywh[first : first + per_cell, 2:].tolist():
            shapes.append((round(width * size[1], 1), round(height * size[0], 1)))
        first += per_cell * len(cells.centres)
    return tuple(shapes)


def _percentiles(values: Array) -> tuple[float, ...]:
    if not len(values):
        return ()
    return tuple(round(float(value), 3) for value in np.percentile(values, PERCENTILES))

"""Which other settings would reach more truths: tried, and told as they are to be typed."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import product

import numpy as np

from mindssd.build.fit import fit
from mindssd.build.grids import grids_at, read_grids
from mindssd.build.network import image_size
from mindssd.build.reach import ATSS_IOU, reach
from mindssd.config.load import load_config, override
from mindssd.config.schema import Config, GridBoxesConfig
from mindssd.data.dataset import DetectionDataset
from mindssd.data.folds import subset
from mindssd.data.unit_truths import UnitTruths
from mindssd.geometry.default_boxes import Grid
from mindssd.types import Array, ImageSize

GOOD = 0.97
"""A share of truths reached that needs no mending."""

ENOUGH = 0.02
"""What gains less is not worth another setting."""

SLACK = 0.01
"""Of settings that differ by less the cheaper one is taken."""

SAMPLE = 2000
"""So many truths are tried."""

FITTED_TO = 5000
"""So many images `auto` is fitted to for each trial."""

LARGER = (4 / 3, 5 / 3, 2, 8 / 3, 10 / 3, 4)
"""Image sizes to try, as multiples of the present one."""

LARGEST_SIDE = 1536

FINER = "small_data"
"""A recipe whose finest cells are 8 pixels wide, with default boxes fitted to the truths."""

TILES = (2, 3, 4, 6, 8)
"""Tiles to try, as parts of the images' median longer side."""

SMALLEST_TILE = 64


@dataclass(frozen=True)
class Option:
    """A change: what it is, the words to type, and the share of truths that it reaches.

    `score` is that share where each class counts alike, `gain` how much higher than now; `cost` is
    about how many times as long an image takes.
    """

    kind: str
    command: str
    settings: tuple[str, ...]
    share: float
    score: float
    gain: float
    cost: float
    note: str = ""


@dataclass(frozen=True, eq=False)
class Trials:
    """What is tried on: the settings as asked, `auto` included, and a sample of the truths.

    `grids` are those at the settings' image size; `sizes` (n, 2) of the truths' images. `dataset`
    is what `auto` is fitted to.
    """

    config: Config
    dataset: DetectionDataset
    grids: tuple[Grid, ...]
    truths: UnitTruths
    sizes: Array

    @property
    def size(self) -> ImageSize:
        return image_size(self.config)

    def reached(self, settings: Sequence[str], truths: UnitTruths | None = None) -> Array:
        """Which truths are reached with these settings laid over the present ones: (n,) bool."""
        config = override(self.config, settings)
        grids = grids_at(image_size(config), self.grids, self.size)
        config, _ = fit(config, self.dataset, grids)
        return reach(config, grids, self.truths if truths is None else truths).reached

    def score(self, settings: Sequence[str]) -> float:
        """The share reached, of which each class counts alike, so that a rare one is not lost."""
        return self.mean(self.reached(settings))

    def mean(self, reached: Array) -> float:
        labels = self.truths.labels
        counts = np.bincount(labels)
        shares = np.bincount(labels, reached)[counts > 0] / counts[counts > 0]
        return float(shares.mean())


def options(
    config: Config, dataset: DetectionDataset, grids: tuple[Grid, ...], truths: UnitTruths
) -> list[Option]:
    """Try changes of default boxes, image size, both, and tiles; give those that help, cheapest
    first, none where `GOOD` is reached already.

    `config` is as asked for, before `auto` is fitted.
    """
    if not len(truths):
        return []
    tried = truths.sample(SAMPLE)
    sizes = dataset.sizes[tried.images]
    trials = Trials(config, _some_images(dataset), grids, tried, sizes)
    before = trials.reached(())
    now = trials.mean(before)
    if now >= GOOD:
        return []
    found = []
    boxes, boxes_score = _best_boxes(trials, ())
    if boxes:
        found.append(_option(trials, "default boxes", boxes, before))
    larger_sizes = list(_sizes(trials.size))
    larger, larger_score = _first_good([((s,), trials.score((s,))) for s in larger_sizes])
    found.append(_option(trials, "image size", larger, before))
    both = [_best_boxes(trials, (size,)) for size in larger_sizes]
    settings, score = _first_good(
        [((size, *b), s) for size, (b, s) in zip(larger_sizes, both, strict=True)]
    )
    if score >= max(boxes_score, larger_score) + ENOUGH:
        found.append(_option(trials, "image size and default boxes", settings, before))
    found += [*_other_recipe(trials, before), *_tiles(trials, before)]
    return sorted((o for o in found if o.gain >= ENOUGH), key=lambda o: (o.cost, -o.score))


def advised(found: Sequence[Option]) -> Option | None:
    """The cheapest that reaches nearly as many truths as any of them; None of none."""
    if not found:
        return None
    goal = min(GOOD, max(option.score for option in found)) - SLACK
    return next(option for option in found if option.score >= goal)


def _some_images(dataset: DetectionDataset) -> DetectionDataset:
    """Enough of the images to fit `auto` to, time and again."""
    if len(dataset) <= FITTED_TO:
        return dataset
    chosen = np.random.default_rng(0).choice(len(dataset), FITTED_TO, replace=False)
    return subset(dataset, np.sort(chosen))


Tried = tuple[tuple[str, ...], float]
"""Settings, and the score that they come to."""


def _option(trials: Trials, kind: str, settings: tuple[str, ...], before: Array) -> Option:
    reached = trials.reached(settings)
    height, width = image_size(override(trials.config, settings))
    return Option(
        kind=kind,
        command="mindssd train",
        settings=settings,
        share=round(float(reached.mean()), 4),
        score=round(trials.mean(reached), 4),
        gain=round(trials.mean(reached) - trials.mean(before), 4),
        cost=round(height * width / (trials.size[0] * trials.size[1]), 2),
    )


def _first_good(tried: Sequence[Tried]) -> Tried:
    """The first that is as good as the best, or good enough."""
    goal = min(GOOD, max(score for _, score in tried) - SLACK)
    return next((settings, score) for settings, score in tried if score >= goal)


def _best_boxes(trials: Trials, first: tuple[str, ...]) -> Tried:
    """The default boxes that reach most beside the settings `first`; none where none helps.

    Sizes first, then ratios with the best of them.
    """
    best: tuple[str, ...] = ()
    score = trials.score(first)
    for group in (_box_sizes(trials.config), _box_ratios(trials.config)):
        tried = [
            ((*best, *settings), trials.score((*first, *best, *settings))) for settings in group
        ]
        settings, most = max(tried, key=lambda one: one[1], default=((), 0.0))
        if most >= score + SLACK:
            best, score = settings, most
    return best, score


def _box_sizes(config: Config) -> Iterator[tuple[str, ...]]:
    if isinstance(config.default_boxes, GridBoxesConfig):
        for scale in (1, 1.5, 2, 2.5, 3, 4, 5, 6):
            yield (f"default_boxes.grid_scale={scale}",)
        return
    for first, least in product((0.1, 0.07, 0.05, 0.035, 0.025), (0.2, 0.15, 0.1, 0.07, 0.05)):
        if first < least:
            yield (f"default_boxes.first_level_scale={first}", f"default_boxes.min_scale={least}")


def _box_ratios(config: Config) -> Iterator[tuple[str, ...]]:
    """Other shapes; none where a detector is started from, whose head is made for its own.

    Nor where truths choose their default boxes: one a cell is what that is meant for.
    """
    if config.initial_weights is not None or config.matching.assignment == "atss":
        return
    if isinstance(config.default_boxes, GridBoxesConfig):
        yield ("default_boxes.grid_aspect_ratios=[1.0, 2.0, 0.5, 3.0, 0.333]",)
        yield ("default_boxes.grid_aspect_ratios=[1.0, 2.0, 0.5, 4.0, 0.25]",)
        return
    for ratios in ("[1.5, 2.0, 3.0]", "[2.0, 3.0, 4.0]", "[2.0, 3.0, 5.0]"):
        yield (f"default_boxes.aspect_ratios={ratios}",)


def _sizes(size: ImageSize) -> Iterator[str]:
    """Larger image sizes, as a setting each, in whole 32s."""
    for factor in LARGER:
        height, width = (32 * round(side * factor / 32) for side in size)
        if factor == LARGER[0] or max(height, width) <= LARGEST_SIDE:
            yield f"image_size={height}" if height == width else f"image_size=[{height}, {width}]"


def _tiles(trials: Trials, before: Array) -> list[Option]:
    """The largest tiles in which `mindssd predict` would see most truths at a size that is reached.

    It looks at the whole image as well, so that what is reached already stays so.
    """
    sizes = trials.sizes
    longest = float(np.median(sizes.max(axis=1)))
    tried = []
    for part in TILES:
        tile = 32 * round(longest / part / 32)
        if tile >= SMALLEST_TILE:
            seen = before | trials.reached((), _within(trials.truths, sizes, tile))
            tried.append(((str(tile),), trials.mean(seen), seen))
    if not tried:
        return []
    (word,), _ = _first_good([(settings, score) for settings, score, _ in tried])
    seen = next(seen for settings, _, seen in tried if settings == (word,))
    tile, (height, width) = int(word), np.median(sizes, axis=0)
    smallest = max(0.05, round(tile / longest, 2))
    return [
        Option(
            kind="tiles",
            command="mindssd predict",
            settings=("--tile", str(tile)),
            share=round(float(seen.mean()), 4),
            score=round(trials.mean(seen), 4),
            gain=round(trials.mean(seen) - trials.mean(before), 4),
            cost=round(1 + float(np.ceil(height / tile / 0.8) * np.ceil(width / tile / 0.8)), 2),
            note=f"train with augment.crop_scale=[{smallest}, 1.0], so that it learns objects as "
            "large as tiles show them",
        )
    ]


def _other_recipe(trials: Trials, before: Array) -> list[Option]:
    """`FINER` at its own image size or a larger one, where settings are those of a fixed IoU."""
    if trials.config.matching.assignment == "atss":
        return []
    config = load_config(FINER)
    other = replace(trials, config=config, grids=read_grids(config))
    sizes = [(), *((size,) for size in _sizes(other.size))]
    settings, _ = _first_good([(size, other.score(size)) for size in sizes])
    option = _option(other, "recipe", settings, before)
    area = np.prod(other.size) / np.prod(trials.size)
    note = f"there each truth chooses its default boxes, and IoU {ATSS_IOU:g} counts as reached"
    words = ("--config", FINER, *settings)
    return [replace(option, settings=words, cost=round(option.cost * float(area), 2), note=note)]


def _within(truths: UnitTruths, sizes: Array, tile: int) -> UnitTruths:
    """The same truths as a tile of the image shows them, each somewhere in one.

    What is larger than a tile is left without area: no tile shows it whole.
    """
    pixels = truths.boxes * np.tile(sizes[:, ::-1], 2)
    extent = pixels[:, 2:] - pixels[:, :2]
    whole = (extent <= tile).all(axis=1)
    corner = np.mod(pixels[:, :2], np.maximum(tile - extent, 1e-3))
    boxes = np.concatenate([corner, corner + extent * whole[:, None]], axis=1) / tile
    return UnitTruths(boxes.astype(np.float32), truths.labels, truths.rows, truths.images)

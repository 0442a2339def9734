"""Which truths a configuration's default boxes reach, as its matching goes."""

from dataclasses import dataclass

import numpy as np

from mindssd.build.data import matcher
from mindssd.build.network import build_default_boxes, image_size, keeps_aspect
from mindssd.config.schema import Config
from mindssd.data.dataset import DetectionDataset
from mindssd.data.unit_truths import UnitTruths, unit_truths
from mindssd.geometry.default_boxes import Grid
from mindssd.geometry.reach import best_ious
from mindssd.platform import as_typed
from mindssd.types import Array

ATSS_IOU = 0.3
"""Where each truth chooses its default boxes, one that fits less well than so is of another size.

A square default box on the middle of a truth as large as itself, and four times as long as wide,
has 0.33.
"""

ENOUGH_TO_TELL = 50_000
"""So many truths are looked at before training: COCO's start must not wait for them all."""

FEW = 0.9
"""A smaller share of truths that are reached is worth a look before training."""


@dataclass(frozen=True, eq=False)
class Reach:
    """`best_iou` (n,) of each truth with a default box, and the `threshold` that it should pass."""

    best_iou: Array
    threshold: float

    @property
    def reached(self) -> Array:
        """Which truths have a default box with an IoU over the threshold: (n,) bool."""
        return np.asarray(self.best_iou > np.float32(self.threshold))

    @property
    def share(self) -> float:
        """Of how many of the truths that is so, in 0..1; 1 without truths."""
        return float(self.reached.mean()) if len(self.best_iou) else 1.0


def reach(config: Config, grids: tuple[Grid, ...], truths: UnitTruths) -> Reach:
    """Which truths the default boxes reach, where images are shown whole.

    With `matching.assignment=iou` the threshold is the matching's own. With `atss` there is none:
    each truth that overlaps a default box has some, and `ATSS_IOU` tells which fit.
    """
    matching = config.matching
    threshold = ATSS_IOU if matching.assignment == "atss" else matching.iou_threshold
    return Reach(best_ious(truths.boxes, build_default_boxes(config, grids)), threshold)


def positives(config: Config, grids: tuple[Grid, ...], truths: UnitTruths) -> Array:
    """How many default boxes the matching gives each truth, (n,), image by image as in training."""
    match_truths = matcher(config)
    default_boxes = build_default_boxes(config, grids)
    counts = np.zeros(len(truths), np.int64)
    for rows in truths.of_images():
        matched = match_truths(truths.boxes[rows], default_boxes)
        counts[rows] = np.bincount(matched[matched >= 0], minlength=rows.stop - rows.start)
    return counts


def seen_truths(config: Config, dataset: DetectionDataset) -> UnitTruths:
    """The truths as the network's image shows them whole."""
    letterboxed = image_size(config) if keeps_aspect(config) else None
    return unit_truths(dataset, letterboxed)


def reach_line(config: Config, grids: tuple[Grid, ...], dataset: DetectionDataset) -> str:
    """Say before training how many truths the default boxes reach."""
    truths = seen_truths(config, dataset)
    drawn = truths.sample(ENOUGH_TO_TELL)
    found = reach(config, grids, drawn)
    among = "" if len(drawn) == len(truths) else f", drawn from {len(truths)},"
    line = (
        f"default boxes: {np.count_nonzero(found.reached)} of {len(drawn)} truths{among} "
        f"({found.share:.0%}) have one with IoU over {found.threshold:g}"
    )
    if found.share >= FEW:
        return line
    command = f"mindssd inspect {as_typed(config.data_dir)}"
    return f"{line}; `{command}` says which have none and what would help"

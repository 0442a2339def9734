"""What a configuration leaves `auto`, fitted to the training images by a few stated rules.

The rules look at the annotations alone, so that every process of a run comes to the same, and so
does the same run again.
"""

import math

import msgspec
import numpy as np

from mindssd.build.network import image_size
from mindssd.build.training import num_epochs
from mindssd.config.schema import Config, GridBoxesConfig
from mindssd.data.dataset import DetectionDataset
from mindssd.data.sizes import clipped_corners
from mindssd.geometry.default_boxes import Grid, level_step
from mindssd.geometry.scale_fit import fitting_scale
from mindssd.types import Array, ImageSize

EPOCHS_OF_ONE_IMAGE = 480
"""Divided by the root of the number of images: four times the images are worth twice the steps."""

FEWEST_EPOCHS = 12
"""Of any number of images: 1,600 and more."""

EVALUATIONS = 4
"""So often a run is scored whose evaluations are `auto`."""


def fit(
    config: Config, dataset: DetectionDataset, grids: tuple[Grid, ...], num_devices: int = 1
) -> tuple[Config, list[str]]:
    """Put values in place of each `auto`; a line says each of them, and why.

    `grids` are those of the network's levels. What is set already stays, and is not spoken of.
    """
    said: list[str] = []
    if config.epochs == "auto":
        epochs = max(FEWEST_EPOCHS, round(EPOCHS_OF_ONE_IMAGE / math.sqrt(len(dataset))))
        config = msgspec.structs.replace(config, epochs=epochs)
        if config.schedule.total_steps is None:
            said.append(f"epochs={epochs}, for {len(dataset)} images")
    if config.evaluation.every_epochs == "auto":
        steps_per_epoch = math.ceil(len(dataset) / (config.batch_size * num_devices))
        every = math.ceil(num_epochs(config, steps_per_epoch) / EVALUATIONS)
        evaluation = msgspec.structs.replace(config.evaluation, every_epochs=every)
        config = msgspec.structs.replace(config, evaluation=evaluation)
    boxes = config.default_boxes
    if isinstance(boxes, GridBoxesConfig) and boxes.grid_scale == "auto":
        sides, weights = truth_sides(dataset, image_size(config))
        if len(sides):
            steps = level_steps(image_size(config), grids)
            boxes = msgspec.structs.replace(boxes, grid_scale=fitting_scale(sides, weights, steps))
            config = msgspec.structs.replace(config, default_boxes=boxes)
            low, median, high = np.percentile(sides, (5, 50, 95))
            said.append(
                f"default_boxes.grid_scale={boxes.grid_scale:g}, for objects of {low:.0f} to "
                f"{high:.0f} pixels, half of them below {median:.0f}, at the network's size"
            )
    return config, said


def level_steps(size: ImageSize, grids: tuple[Grid, ...]) -> list[float]:
    """The pixels between neighbouring cells of each level; of two axes their geometric mean."""
    return [
        math.sqrt(level_step(size[0], rows) * level_step(size[1], columns))
        for rows, columns in grids
    ]


def truth_sides(dataset: DetectionDataset, size: ImageSize) -> tuple[Array, Array]:
    """The truths' sides in pixels at the network's `size`, and what each counts: (n,) float64 each.

    A side is the root of the area. All classes count alike, however many truths they have. Left out
    are crowds, truths without area, and those of images whose size the annotations do not give.
    """
    sizes = np.repeat(dataset.sizes, np.diff(dataset.starts), axis=0).astype(np.float64)
    corners = clipped_corners(dataset.boxes_xywh, sizes).astype(np.float64)
    extent = corners[:, 2:] - corners[:, :2]
    used = (extent > 0).all(axis=1) & (sizes > 0).all(axis=1) & ~dataset.is_crowd
    share = extent[used] / sizes[used, ::-1]
    labels = dataset.labels[used]
    weights = 1.0 / np.maximum(np.bincount(labels, minlength=1), 1)[labels]
    return np.sqrt(share.prod(axis=1) * size[0] * size[1]), weights

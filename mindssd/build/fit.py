"""What a configuration leaves `auto`, fitted to the training images by a few stated rules.

The rules look at the annotations alone, so that every process of a run comes to the same, and so
does the same run again.
"""

import math

import msgspec
import numpy as np

from mindssd.build.network import UNFITTED_SCALE, image_size, keeps_aspect
from mindssd.build.published import Say, find_model
from mindssd.build.training import num_epochs
from mindssd.config.schema import Config, GridBoxesConfig
from mindssd.data.dataset import DetectionDataset
from mindssd.data.unit_truths import unit_truths
from mindssd.geometry.default_boxes import Grid, level_step
from mindssd.geometry.scale_fit import fitting_scale
from mindssd.types import Array, ImageSize
from mindssd.weights.transfer import read_description

EPOCHS_OF_ONE_IMAGE = 480
"""Divided by the root of the number of images: four times the images are worth twice the steps."""

FEWEST_EPOCHS = 12
"""However many images there are: 1,600 of them and more."""

EVALUATIONS = 4
"""How often a run whose `evaluation.every_epochs` is `auto` is scored."""


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
        scale = _scale_of_detector(config.initial_weights, said.append)
        reason = f"that of {config.initial_weights}"
        if scale is None:
            scale, reason = _grid_scale(config, boxes, dataset, grids)
        boxes = msgspec.structs.replace(boxes, grid_scale=scale)
        config = msgspec.structs.replace(config, default_boxes=boxes)
        said.append(f"default_boxes.grid_scale={scale:g}, {reason}")
    return config, said


def _grid_scale(
    config: Config, boxes: GridBoxesConfig, dataset: DetectionDataset, grids: tuple[Grid, ...]
) -> tuple[float, str]:
    """The scale, and why: that of the truths, or RetinaNet's."""
    size = image_size(config)
    sides, weights = truth_sides(dataset, size, keeps_aspect(config))
    if not len(sides):
        if not dataset.report.num_boxes:
            return UNFITTED_SCALE, "as there are no boxes"
        return UNFITTED_SCALE, "as the annotations do not say how large the images are"
    octave = [2 ** (index / boxes.scales_per_octave) for index in range(boxes.scales_per_octave)]
    box_sizes = [step * relative for step in level_steps(size, grids) for relative in octave]
    low, median, high = np.percentile(sides, (5, 50, 95))
    return fitting_scale(sides, weights, box_sizes), (
        f"for objects of {low:.0f} to {high:.0f} pixels, half of them below {median:.0f}, at the "
        "network's size"
    )


def _scale_of_detector(path: str | None, say: Say) -> float | None:
    """The scale of the default boxes of a detector that describes itself."""
    metadata = None if path is None else read_description(find_model(path, say))
    scale = {} if metadata is None else metadata.config.get("default_boxes", {})
    value = scale.get("grid_scale")
    return float(value) if isinstance(value, int | float) else None


def level_steps(size: ImageSize, grids: tuple[Grid, ...]) -> list[float]:
    """The pixels between neighbouring cells of each level; of two axes their geometric mean."""
    return [
        math.sqrt(level_step(size[0], rows) * level_step(size[1], columns))
        for rows, columns in grids
    ]


def truth_sides(
    dataset: DetectionDataset, size: ImageSize, keeps_aspect: bool = False
) -> tuple[Array, Array]:
    """The truths' sides in pixels at the network's `size`, and what each counts: (n,) float64 each.

    A side is the root of the area. All classes count alike, however many truths they have. Left out
    are crowds, truths without area, and those of images whose size the annotations do not give.
    """
    truths = unit_truths(dataset, size if keeps_aspect else None)
    weights = 1.0 / np.maximum(np.bincount(truths.labels, minlength=1), 1)[truths.labels]
    return np.sqrt(truths.sides(size).prod(axis=1)), weights

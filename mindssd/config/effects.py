"""Settings without effect: refused where they were just asked for, else reported in a remark."""

from collections.abc import Iterator
from typing import Any

from mindssd.config.keys import Tree, flatten
from mindssd.config.schema import Config, FPNNeckConfig
from mindssd.errors import ConfigError

SWITCHES = {
    "augment.crop_scale": "augment.crop_probability",
    "augment.zoom_out_max": "augment.zoom_out_probability",
    "augment.scale_jitter": "augment.scale_jitter_probability",
    "augment.brightness": "augment.colour_probability",
    "augment.contrast": "augment.colour_probability",
    "augment.saturation": "augment.colour_probability",
    "augment.hue": "augment.colour_probability",
    "augment.blur_sigma": "augment.blur_probability",
    "augment.copy_paste_cover": "augment.copy_paste_probability",
    "schedule.warmup_start": "schedule.warmup_epochs",
    "evaluation.patience": "evaluation.every_epochs",
    "evaluation.smoothing": "evaluation.every_epochs",
}
"""Keys that say how something is done, and the keys that turn it on where they are not 0."""

MOSAIC = "augment.mosaic_probability"

WINDOWS = {
    f"augment.{name}"
    for name in (
        *("crop_probability", "crop_scale", "zoom_out_probability", "zoom_out_max"),
        *("scale_jitter_probability", "scale_jitter"),
    )
}
"""Keys of what a mosaic takes the place of: they have no effect where every image is one."""

CHOICES = {
    "matching.iou_threshold": ("matching.assignment", "iou"),
    "matching.nearest_cells": ("matching.assignment", "atss"),
    "loss.focal_alpha": ("loss.class_kind", "focal"),
    "optimizer.second_momentum": ("optimizer.method", "adamw"),
}
"""Keys that belong to one choice of another key, and that choice."""

ADDITIONS = {"class_map": "initial_weights"}
"""Keys that say more of another key, where that is not null."""

STAND_INS = {
    "epochs": "schedule.total_steps",
    "schedule.warmup_epochs": "schedule.warmup_steps",
}
"""Keys that another key replaces where it is not null."""


def require_effect(asked: Tree, tree: Tree, where: str) -> None:
    """ConfigError for an override that changes nothing in the whole configuration `tree`.

    What a recipe says stays without complaint: it may say how, where another says whether.
    """
    settings = dict(flatten(tree))
    for key, value in flatten(asked):
        decides = _made_idle_by(key, value, settings)
        if decides is not None:
            value = "null" if settings[decides] is None else settings[decides]
            raise ConfigError(f"{where}: {key} changes nothing while {decides} is {value}")


def _made_idle_by(key: str, value: Any, settings: Tree) -> str | None:
    """The key whose setting leaves this one without effect; None where it has some."""
    if key in CHOICES:
        choice, needed = CHOICES[key]
        return choice if settings[choice] != needed else None
    if key.partition(".")[0] in ADDITIONS:
        needed = ADDITIONS[key.partition(".")[0]]
        return needed if settings[needed] is None and value else None
    stand_in = STAND_INS.get(key)
    if stand_in is not None and settings[stand_in] is not None:
        return stand_in
    if key in WINDOWS and value != 0 and settings[MOSAIC] == 1:
        return MOSAIC
    switch = SWITCHES.get(key)
    if switch is None or value in (0, None):
        return None
    stand_in = STAND_INS.get(switch)
    if stand_in is not None and settings[stand_in] is not None:
        switch = stand_in
    return switch if settings[switch] == 0 else None


def remarks(config: Config, engine: str, num_images: int, num_devices: int) -> Iterator[str]:
    """Settings of a run that have no effect, or that are hardly meant, a line each.

    `engine` is the one that `config.engine` came to, on `num_devices` processes, for `num_images`
    training images.
    """
    steps_per_epoch = -(-num_images // (config.batch_size * num_devices))
    yield from _remarks_on_length(config, steps_per_epoch)
    yield from _remarks_on_evaluations(config, steps_per_epoch)
    pretrained = config.backbone_ckpt_path or config.initial_weights
    if config.backbone.frozen_layers > 0 and not pretrained:
        yield (
            f"backbone.frozen_layers={config.backbone.frozen_layers} without backbone_ckpt_path or "
            "initial_weights: these layers keep random values"
        )
    if config.backbone.frozen_norm and not pretrained:
        yield (
            "backbone.frozen_norm=true without backbone_ckpt_path or initial_weights: BatchNorm "
            "keeps a mean of 0 and a variance of 1, which normalise nothing"
        )
    if (
        isinstance(config.neck, FPNNeckConfig)
        and config.neck.path_aggregation
        and len(config.backbone.out_indices) == 1
    ):
        yield "neck.path_aggregation=true changes nothing with one of backbone.out_indices"
    if config.sync_batch_norm and num_devices == 1:
        yield "sync_batch_norm=true changes nothing on one device"
    if engine == "torch" and config.optimizer.loss_scale != Config().optimizer.loss_scale:
        yield (
            f"optimizer.loss_scale={config.optimizer.loss_scale:g} is MindSpore's: PyTorch's "
            "precisions need none"
        )


def _remarks_on_evaluations(config: Config, steps_per_epoch: int) -> Iterator[str]:
    """What waits for more evaluations than a run has."""
    evaluation, steps, epochs = config.evaluation, config.schedule.total_steps, config.epochs
    if steps is not None:
        epochs = -(-steps // steps_per_epoch)
    if isinstance(evaluation.every_epochs, str) or isinstance(epochs, str):
        return
    count = -(-epochs // evaluation.every_epochs) if evaluation.every_epochs else 1
    if evaluation.patience is not None and evaluation.patience >= count - 1:
        yield (
            f"evaluation.patience={evaluation.patience} with {count} evaluations: the run never "
            "ends early; evaluation.every_epochs makes more of them"
        )
    if evaluation.smoothing > count:
        yield (
            f"evaluation.smoothing={evaluation.smoothing} with {count} evaluations: a score is the "
            "mean of all so far"
        )


def _remarks_on_length(config: Config, steps_per_epoch: int) -> Iterator[str]:
    """What is longer than a run whose length is told in epochs."""
    schedule, epochs, every = config.schedule, config.epochs, config.evaluation.every_epochs
    if schedule.total_steps is not None or isinstance(epochs, str):
        return
    said, steps = f"schedule.warmup_epochs={schedule.warmup_epochs:g}", epochs * steps_per_epoch
    warmup_steps = schedule.warmup_epochs * steps_per_epoch
    if schedule.warmup_steps is not None:
        said = f"schedule.warmup_steps={schedule.warmup_steps}"
        warmup_steps = schedule.warmup_steps
    if warmup_steps >= steps:
        yield (
            f"{said} with epochs={epochs}, which are {steps} steps: the learning rate never "
            f"reaches schedule.learning_rate={schedule.learning_rate:g}"
        )
    if not isinstance(every, str) and every > epochs:
        yield (
            f"evaluation.every_epochs={every} with epochs={epochs}: evaluated after the last alone"
        )

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
    "schedule.warmup_start": "schedule.warmup_epochs",
}
"""Keys that say how something is done, and the keys that turn it on where they are not 0."""

CHOICES = {
    "matching.iou_threshold": ("matching.assignment", "iou"),
    "matching.nearest_cells": ("matching.assignment", "atss"),
    "loss.focal_alpha": ("loss.class_kind", "focal"),
    "optimizer.second_momentum": ("optimizer.method", "adamw"),
}
"""Keys that belong to one choice of another key, and that choice."""

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
            raise ConfigError(
                f"{where}: {key} changes nothing while {decides} is {settings[decides]}"
            )


def _made_idle_by(key: str, value: Any, settings: Tree) -> str | None:
    """The key whose setting leaves this one without effect; None where it has some."""
    if key in CHOICES:
        choice, needed = CHOICES[key]
        return choice if settings[choice] != needed else None
    stand_in = STAND_INS.get(key)
    if stand_in is not None and settings[stand_in] is not None:
        return stand_in
    switch = SWITCHES.get(key)
    if switch is None or value == 0:
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
    yield from _remarks_on_length(config, -(-num_images // (config.batch_size * num_devices)))
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

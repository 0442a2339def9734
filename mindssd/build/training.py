"""What a training follows, from its configuration: step, schedule, plan, origin."""

from dataclasses import replace

from mindssd.config.load import read_training_settings, training_settings
from mindssd.config.schema import Config
from mindssd.data.dataset import DetectionDataset
from mindssd.engines.base import Group, LossSpec, StepSpec
from mindssd.errors import ConfigError
from mindssd.geometry.coding import MAX_LOG_SIZE_RATIO
from mindssd.training.checkpoint import Checkpoint, Origin
from mindssd.training.plan import Plan
from mindssd.training.schedule import Schedule


def step_spec(config: Config, parameter_names: list[str]) -> StepSpec:
    optimizer, loss = config.optimizer, config.loss
    return StepSpec(
        loss=LossSpec(
            class_kind=loss.class_kind,
            focal_alpha=loss.focal_alpha,
            focal_gamma=loss.focal_gamma,
            class_weight=loss.class_weight,
            box_kind=loss.box_kind,
            box_weight=loss.box_weight,
            box_weight_by_score=loss.box_weight_by_score,
            variances=config.matching.variances,
            max_log_size_ratio=MAX_LOG_SIZE_RATIO,
        ),
        optimizer=optimizer.method,
        momentum=optimizer.momentum,
        second_momentum=optimizer.second_momentum,
        backbone_rate=optimizer.backbone_rate,
        weight_decay=optimizer.weight_decay,
        decayed=optimizer.decayed,
        loss_scale=optimizer.loss_scale,
        clip_norm=optimizer.clip_norm,
        accumulate_steps=optimizer.accumulate_steps,
        ema=optimizer.ema_decay is not None,
        frozen_prefixes=(
            *frozen_prefixes(parameter_names, config.backbone.frozen_layers),
            *(batch_norms(config, parameter_names) if config.backbone.frozen_norm else ()),
        ),
        amp_level=optimizer.amp_level,
    )


def frozen_prefixes(parameter_names: list[str], num_layers: int) -> tuple[str, ...]:
    """The backbone's first layers, as `backbone.features_0.`, in the network's order."""
    layers = [
        ".".join(n.split(".")[:2]) + "." for n in parameter_names if n.startswith("backbone.")
    ]
    in_order = list(dict.fromkeys(layers))
    if num_layers > len(in_order):
        raise ConfigError(
            f"backbone.frozen_layers={num_layers}: the backbone has {len(in_order)} layers"
        )
    return tuple(in_order[:num_layers])


def batch_norms(config: Config, parameter_names: list[str]) -> tuple[str, ...]:
    """The backbone's BatchNorms, as `backbone.features_0.1.`; ConfigError where it has none.

    Their scale and shift are frozen with their statistics, as in Faster R-CNN's residual networks
    (arXiv:1512.03385, appendix A): what they do then is the same for every image, in training and
    after, and the convolution before each can learn the scale.
    """
    end = "moving_mean"
    found = [n for n in parameter_names if n.startswith("backbone.") and n.endswith(f".{end}")]
    if not found:
        raise ConfigError(
            f"backbone.frozen_norm=true: {config.backbone.name} has no BatchNorm; set it to false"
        )
    return tuple(name.removesuffix(end) for name in found)


def num_epochs(config: Config, steps_per_epoch: int) -> int:
    """`epochs`, or as many as hold `schedule.total_steps`."""
    if config.schedule.total_steps is None:
        assert not isinstance(config.epochs, str), "fitted before a schedule is made"
        return config.epochs
    return -(-config.schedule.total_steps // steps_per_epoch)


def build_schedule(config: Config, steps_per_epoch: int) -> Schedule:
    schedule = config.schedule
    warmup_steps = schedule.warmup_steps
    if warmup_steps is None:
        warmup_steps = round(schedule.warmup_epochs * steps_per_epoch)
    return Schedule(
        peak=schedule.learning_rate,
        warmup_start=min(schedule.warmup_start, schedule.learning_rate),
        final_factor=schedule.final_factor,
        flat_share=schedule.flat_share,
        warmup_steps=warmup_steps,
        total_steps=num_epochs(config, steps_per_epoch) * steps_per_epoch,
    )


def build_plan(config: Config, steps_per_epoch: int) -> Plan:
    epochs, an_update = num_epochs(config, steps_per_epoch), config.optimizer.accumulate_steps
    assert not isinstance(config.evaluation.every_epochs, str), "fitted before a plan is made"
    steps = epochs * steps_per_epoch
    if steps < an_update:
        raise ConfigError(
            f"optimizer.accumulate_steps={an_update}: the run has {steps} steps, so that no weight "
            "would ever be updated"
        )
    return Plan(
        epochs=epochs,
        steps_per_epoch=steps_per_epoch,
        evaluate_every=config.evaluation.every_epochs,
        max_bad_steps=config.max_bad_steps,
        ema_decay=config.optimizer.ema_decay,
        accumulate_steps=config.optimizer.accumulate_steps,
        patience=config.evaluation.patience,
        smoothing=config.evaluation.smoothing,
    )


def build_origin(config: Config, dataset: DetectionDataset, group: Group) -> Origin:
    """What a checkpoint of this run is good for."""
    return Origin(
        settings=training_settings(config),
        class_names=dataset.class_names,
        num_images=len(dataset),
        dataset=dataset.fingerprint(),
        num_devices=group.size,
    )


def read_origin(checkpoint: Checkpoint, where: str) -> Origin:
    """A checkpoint's origin, its settings as they would be written today."""
    origin, version = checkpoint.origin, checkpoint.format_version
    return replace(origin, settings=read_training_settings(origin.settings, where, version))

"""The only place where a configuration becomes objects."""

import os
import warnings
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from mindssd import processes
from mindssd.config.load import override, read_training_settings, training_settings
from mindssd.config.schema import (
    Config,
    ExtrasNeckConfig,
    FPNNeckConfig,
    GridBoxesConfig,
    SharedHeadConfig,
)
from mindssd.data.augment import Augmentation
from mindssd.data.classes import with_classes
from mindssd.data.dataset import DetectionDataset
from mindssd.data.formats.coco import find_annotations, load_coco_split, read_class_names
from mindssd.data.loader import TrainingLoader
from mindssd.data.samples import TrainingSamples
from mindssd.data.targets import Matcher, Targets
from mindssd.engines.base import (
    Cluster,
    Engine,
    ExtrasNeck,
    FPNNeck,
    Group,
    LossSpec,
    Network,
    NetworkSpec,
    PerLevelHead,
    SharedHead,
    SingleProcessGroup,
    StepSpec,
    available_cores,
)
from mindssd.errors import ConfigError, EngineError
from mindssd.geometry.atss import match_adaptively
from mindssd.geometry.coding import MAX_LOG_SIZE_RATIO
from mindssd.geometry.default_boxes import DefaultBoxes, GridDefaultBoxes, PaperDefaultBoxes
from mindssd.geometry.matching import match
from mindssd.geometry.postprocess import PostProcess
from mindssd.geometry.selection import Selection
from mindssd.images import Normalization
from mindssd.predictor import Predictor
from mindssd.training.checkpoint import Origin
from mindssd.training.plan import Plan
from mindssd.training.schedule import Schedule
from mindssd.types import Array, ImageSize
from mindssd.weights.download import resolve_backbone
from mindssd.weights.safetensors_file import ModelMetadata
from mindssd.weights.transfer import FitReport, load_backbone, start_from_detector

if TYPE_CHECKING:
    from mindssd.weights.download import Progress

MAX_WORKERS = 8
SECONDS_FOR_SIZES = 0.5
"""A start may take so long to compare annotated sizes with those of training files: 30,000 that
memory holds, all of COCO's that the cache knows. The rest are compared as they are read."""


ENGINES: dict[str, tuple[str, ...]] = {"mindspore": ("mindspore", "mindcv"), "torch": ("torch",)}
"""Each engine's packages; `auto` takes the first whose are installed."""


def choose_engine(name: str) -> str:
    """`name`, or where that is `auto` the engine that is installed; EngineError where it is not.

    Of both it is MindSpore, which has all of MindCV's backbones; but torchrun asks for PyTorch.
    """
    installed = [
        engine
        for engine, packages in ENGINES.items()
        if all(find_spec(package) is not None for package in packages)
    ]
    if name == "auto" and "TORCHELASTIC_RUN_ID" in os.environ and "torch" in installed:
        return "torch"
    if name in installed:
        return name
    if name == "auto" and installed:
        return installed[0]
    missing = {"mindspore": "MindSpore or MindCV", "torch": "PyTorch"}.get(name)
    if missing is None:
        raise EngineError(
            "neither MindSpore with MindCV nor PyTorch is installed; pip install "
            "'mindssd[mindspore]' or 'mindssd[torch]' (`mindssd doctor` tells more)"
        )
    others = "".join(f", or set engine={engine}" for engine in installed)
    raise EngineError(
        f"{missing} is not installed; pip install 'mindssd[{name}]'{others} "
        "(`mindssd doctor` tells more)"
    )


def build_engine(config: Config, training: bool = False) -> Engine:
    """Import the framework and set it up; EngineError where it is missing.

    It is a guest of the process, which keeps its settings, but in `training`: then threads, memory
    and determinism are set as that needs them, and the process joins those it trains with.
    """
    if choose_engine(config.engine) == "torch":
        with warnings.catch_warnings():  # PyTorch's import silences some for the whole process
            from mindssd.engines.torch.engine import TorchEngine

        return TorchEngine(
            config.device, config.precision, config.deterministic, config.sync_batch_norm, training
        )
    for key, way_out in (("precision", "auto"), ("sync_batch_norm", False)):
        value = getattr(config, key)
        if value not in (way_out, "float32"):
            raise EngineError(f"{key}={value} needs engine=torch; leave it out for MindSpore")
    if training:
        from mindssd.engines.mindspore.cluster import adopt_mpi

        adopt_mpi()
    from mindssd.engines.mindspore.process import start_engine

    return start_engine(config.device, training)


def raw_onnx(config: Config, parameters: Mapping[str, Array], num_classes: int) -> bytes:
    """The network with these parameters as ONNX: images (B, 3, H, W) to offsets and logits.

    By PyTorch, whatever engine trained it: MindSpore 2.10.0's exporter lacks operators.
    """
    for package in ("torch", "onnxscript"):
        if find_spec(package) is None:
            raise EngineError(f"exporting as ONNX needs {package}; pip install 'mindssd[export]'")
    from mindssd.engines.torch.export import to_onnx

    return to_onnx(network_spec(config, num_classes), parameters)


def export_mindir(
    config: Config,
    parameters: Mapping[str, Array],
    num_classes: int,
    default_boxes_cxcywh: Array,
    path: Path,
) -> Callable[[Array], tuple[Array, ...]]:
    """Write the network as MindIR, boxes decoded; return the `forward` of that file."""
    build_engine(override(config, ["engine=mindspore"]))  # which it is written by
    from mindssd.engines.mindspore.export import export_mindir

    spec = network_spec(config, num_classes)
    return export_mindir(
        spec,
        parameters,
        default_boxes_cxcywh,
        config.matching.variances,
        MAX_LOG_SIZE_RATIO,
        path,
    )


def build_cluster(num_processes: int, engine: str = "auto") -> Cluster:
    """How processes of this machine that train together find each other."""
    port = processes.free_port()
    if choose_engine(engine) == "torch":
        from mindssd.engines.torch.cluster import TorchCluster

        return TorchCluster(num_processes, port)
    from mindssd.engines.mindspore.cluster import MindSporeCluster

    return MindSporeCluster(num_processes, port)


def image_size(config: Config) -> ImageSize:
    if isinstance(config.image_size, int):
        return config.image_size, config.image_size
    height, width = config.image_size
    return height, width


def default_box_scheme(config: Config) -> PaperDefaultBoxes | GridDefaultBoxes:
    boxes = config.default_boxes
    try:
        if isinstance(boxes, GridBoxesConfig):
            return GridDefaultBoxes(
                boxes.grid_scale, boxes.scales_per_octave, boxes.grid_aspect_ratios
            )
        return PaperDefaultBoxes(
            boxes.min_scale, boxes.max_scale, boxes.aspect_ratios, boxes.first_level_scale
        )
    except ValueError as error:
        raise ConfigError(f"default_boxes: {error}") from error


def network_spec(config: Config, num_classes: int) -> NetworkSpec:
    """All that the engine needs to build the network for `num_classes` classes."""
    neck = _neck(config.neck)
    num_extra = len(neck.channels) if isinstance(neck, ExtrasNeck) else neck.extra_levels
    head: PerLevelHead | SharedHead = PerLevelHead()
    if isinstance(config.head, SharedHeadConfig):
        head = SharedHead(config.head.tower_depth)
    num_levels = len(config.backbone.out_indices) + num_extra
    boxes_per_location = default_box_scheme(config).boxes_per_location(num_levels)
    if isinstance(head, SharedHead) and (
        len(set(boxes_per_location)) > 1 or isinstance(neck, ExtrasNeck)
    ):
        raise ConfigError(
            "head.kind=shared needs levels that are alike: "
            "neck.kind=fpn and default_boxes.kind=grid"
        )
    return NetworkSpec(
        backbone=config.backbone.name,
        out_indices=config.backbone.out_indices,
        image_size=image_size(config),
        neck=neck,
        head=head,
        boxes_per_location=boxes_per_location,
        num_classes=num_classes,
    )


def _neck(neck: ExtrasNeckConfig | FPNNeckConfig) -> ExtrasNeck | FPNNeck:
    if isinstance(neck, FPNNeckConfig):
        return FPNNeck(neck.fpn_channels, neck.fpn_extra_levels)
    if len(neck.extra_channels) != len(neck.extra_expand_ratios):
        raise ConfigError(
            f"neck.extra_channels has {len(neck.extra_channels)} values and "
            f"neck.extra_expand_ratios {len(neck.extra_expand_ratios)}; expected as many"
        )
    return ExtrasNeck(
        neck.extra_channels,
        neck.extra_expand_ratios,
        neck.expand_first,
        neck.expand_first_style,
    )


def build_network(config: Config, engine: Engine, num_classes: int) -> Network:
    """A network at its initial values, with `head.class_prior` if the config has one."""
    network = engine.build_network(network_spec(config, num_classes), config.seed)
    if config.head.class_prior is not None:
        network.load_parameters(
            class_prior_biases(network.parameters(), num_classes, config.head.class_prior)
        )
    return network


def class_prior_biases(
    parameters: Mapping[str, Array], num_classes: int, prior: float
) -> dict[str, Array]:
    """The class layers' biases with which each class starts at `prior`, background at the rest."""
    column = np.full(num_classes + 1, np.log(prior / (1 - prior)), np.float32)
    column[0] = -column[0]
    return {
        name: np.tile(column, len(bias) // len(column))
        for name, bias in parameters.items()
        if name.startswith("head.classes.") and name.endswith("predict.bias")
    }


def load_initial_weights(
    config: Config,
    network: Network,
    class_names: tuple[str, ...],
    progress: "Progress | None" = None,
) -> list[str]:
    """Load what the config starts from; return a line to print for each file."""
    shapes = {name: value.shape for name, value in network.parameters().items()}
    said = []
    report: FitReport
    if config.backbone_ckpt_path is not None:
        path = resolve_backbone(config.backbone_ckpt_path, progress)
        parameters, report = load_backbone(path, shapes)
        network.load_parameters(parameters)
        said.append(f"backbone from {path}: {report.summary()}")
    if config.initial_weights is not None:
        parameters, report = start_from_detector(
            Path(config.initial_weights).expanduser(), network.parameters(), class_names
        )
        network.load_parameters(parameters)
        said.append(f"detector from {config.initial_weights}: {report.summary()}")
    return said


def build_default_boxes(config: Config, grids: tuple[tuple[int, int], ...]) -> DefaultBoxes:
    return default_box_scheme(config).generate(image_size(config), grids)


def build_dataset(config: Config, split: str) -> DetectionDataset:
    """Read the annotations of `train` or `val` under the config's data_dir."""
    if config.data_dir is None:
        raise ConfigError(
            "data_dir is not set: give data_dir=PATH, a folder with annotations/, train2017/ "
            "and val2017/ (`mindssd demo` makes one to try)"
        )
    # What a sample is does not depend on how many files there was time for; an evaluation's truths
    # do, so all of val's are looked at.
    seconds = SECONDS_FOR_SIZES if split == "train" else None
    return load_coco_split(Path(config.data_dir).expanduser(), split, seconds)


def training_classes(config: Config) -> tuple[str, ...] | None:
    """The classes of data_dir's training annotations; None where there are none."""
    if config.data_dir is None:
        return None
    path = find_annotations(Path(config.data_dir).expanduser(), "train")
    return None if path is None else read_class_names(path)


def with_classes_of(
    dataset: DetectionDataset, class_names: tuple[str, ...], model: Path
) -> DetectionDataset:
    """The same images with a model's classes, in its order; DatasetError where it lacks one."""
    return with_classes(
        dataset,
        class_names,
        str(model),
        "a model is scored on classes that it knows: leave the others out of the annotations",
    )


def normalization(config: Config) -> Normalization:
    return Normalization(config.normalization.mean, config.normalization.std)


def build_samples(
    config: Config, dataset: DetectionDataset, default_boxes: DefaultBoxes
) -> TrainingSamples:
    augment = config.augment
    return TrainingSamples(
        dataset=dataset,
        image_size=image_size(config),
        normalization=normalization(config),
        augmentation=Augmentation(
            crop_probability=augment.crop_probability,
            crop_scale=augment.crop_scale,
            zoom_out_probability=augment.zoom_out_probability,
            zoom_out_max=augment.zoom_out_max,
            scale_jitter_probability=augment.scale_jitter_probability,
            scale_jitter=augment.scale_jitter,
            flip_probability=augment.flip_probability,
            vertical_flip_probability=augment.vertical_flip_probability,
            rotate_probability=augment.rotate_probability,
            colour_probability=augment.colour_probability,
            brightness=augment.brightness,
            contrast=augment.contrast,
            saturation=augment.saturation,
        ),
        targets=Targets(default_boxes, config.matching.variances, matcher(config)),
        seed=config.seed,
    )


def matcher(config: Config) -> Matcher:
    matching = config.matching
    if matching.assignment == "atss":
        return partial(match_adaptively, num_cells=matching.nearest_cells)
    return partial(match, iou_threshold=matching.iou_threshold)


def build_loader(
    config: Config, samples: TrainingSamples, group: Group | None = None
) -> TrainingLoader:
    """One process's loader; `batch_size` is each device's."""
    group = group or SingleProcessGroup()
    workers = config.num_workers
    if workers is None:
        workers = max(1, min(MAX_WORKERS, available_cores() - 1))
    return TrainingLoader(samples, config.batch_size, workers, config.seed, group.rank, group.size)


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
        frozen_prefixes=frozen_prefixes(parameter_names, config.backbone.frozen_layers),
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


def num_epochs(config: Config, steps_per_epoch: int) -> int:
    """`epochs`, or as many as hold `schedule.total_steps`."""
    if config.schedule.total_steps is None:
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


def read_origin(origin: Origin, where: str) -> Origin:
    """A checkpoint's origin, its settings as they would be written today."""
    return replace(origin, settings=read_training_settings(origin.settings, where))


def build_predictor(
    config: Config,
    network: Network,
    class_names: tuple[str, ...],
    selection: Selection,
    batch_size: int,
) -> Predictor:
    """A predictor on the network as it stands."""
    return Predictor(
        forward=network.forward,
        image_size=image_size(config),
        normalization=normalization(config),
        postprocess=PostProcess(
            default_boxes=build_default_boxes(config, network.grids),
            variances=config.matching.variances,
            selection=selection,
        ),
        class_names=class_names,
        batch_size=batch_size,
    )


def model_metadata(
    config_tree: dict[str, object],
    config: Config,
    network: Network,
    class_names: tuple[str, ...],
    category_ids: tuple[int, ...],
    metrics: Mapping[str, float | None],
) -> ModelMetadata:
    """The description that a model's file carries."""
    # Where this machine keeps its files is nobody else's business.
    own = ("data_dir", "backbone_ckpt_path", "initial_weights", "name", "runs_dir")
    defaults = Config()
    return ModelMetadata(
        config={**config_tree, **{key: getattr(defaults, key) for key in own}},
        class_names=class_names,
        category_ids=category_ids,
        image_size=image_size(config),
        mean=config.normalization.mean,
        std=config.normalization.std,
        grids=network.grids,
        metrics={name: value for name, value in metrics.items() if value is not None},
        engine=choose_engine(config.engine),
    )

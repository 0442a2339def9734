"""Data from a configuration: data sets, training samples, the loader."""

from functools import partial
from pathlib import Path

from mindssd.build.network import image_size
from mindssd.build.predictor import normalization
from mindssd.config.schema import Config
from mindssd.data.augment import Augmentation
from mindssd.data.classes import with_classes
from mindssd.data.dataset import DetectionDataset
from mindssd.data.formats.coco import find_annotations, load_coco_split, read_class_names
from mindssd.data.loader import TrainingLoader
from mindssd.data.samples import TrainingSamples
from mindssd.data.sampling import ClassCounts, describe_repeats, repeat_factors
from mindssd.data.targets import Matcher, Targets
from mindssd.engines.base import Group, SingleProcessGroup
from mindssd.errors import ConfigError
from mindssd.geometry.atss import match_adaptively
from mindssd.geometry.default_boxes import DefaultBoxes
from mindssd.geometry.matching import match
from mindssd.platform import available_cores

MAX_WORKERS = 8
SECONDS_FOR_SIZES = 0.5
"""A start may take so long to compare annotated sizes with those of training files: 30,000 that
memory holds, all of COCO's that the cache knows. The rest are compared as they are read."""


def build_dataset(config: Config, split: str, all_sizes: bool = False) -> DetectionDataset:
    """Read the annotations of `train` or `val` under the config's data_dir.

    `all_sizes` reads the headers of all training files, however long that takes.
    """
    if config.data_dir is None:
        raise ConfigError(
            "data_dir is not set: give data_dir=PATH, a folder with annotations/, train2017/ "
            "and val2017/ (`mindssd demo` makes one to try)"
        )
    # What a sample is does not depend on how many files there was time for; an evaluation's truths
    # do, so all of val's are looked at.
    seconds = SECONDS_FOR_SIZES if split == "train" and not all_sizes else None
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
            hue=augment.hue,
            blur_probability=augment.blur_probability,
            blur_sigma=augment.blur_sigma,
            mosaic_probability=augment.mosaic_probability,
            copy_paste_probability=augment.copy_paste_probability,
            copy_paste_cover=augment.copy_paste_cover,
        ),
        targets=Targets(default_boxes, config.matching.variances, matcher(config)),
        seed=config.seed,
        keeps_aspect=config.image_fit == "letterbox",
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
    factors = None
    if config.repeat_threshold > 0:
        factors = repeat_factors(ClassCounts.of(samples.dataset), config.repeat_threshold)
    return TrainingLoader(
        samples, config.batch_size, workers, config.seed, group.rank, group.size, factors
    )


def sampling_lines(config: Config, dataset: DetectionDataset) -> list[str]:
    """What the loader makes of the classes' frequencies; nothing where it does not look at them."""
    if config.repeat_threshold == 0:
        return []
    counts = ClassCounts.of(dataset)
    return [describe_repeats(counts, dataset.class_names, config.repeat_threshold)]

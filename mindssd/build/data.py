"""Data from a configuration: data sets, training samples, the loader."""

import os
from functools import partial
from pathlib import Path

from mindssd.build.network import image_size, keeps_aspect
from mindssd.build.predictor import normalization
from mindssd.config.schema import Config
from mindssd.data.augment import Augmentation
from mindssd.data.classes import with_classes
from mindssd.data.dataset import DetectionDataset
from mindssd.data.formats.layout import Layout
from mindssd.data.formats.parsed import assemble
from mindssd.data.formats.recognise import recognise
from mindssd.data.loader import TrainingLoader
from mindssd.data.samples import TrainingSamples
from mindssd.data.sampling import ClassCounts, describe_repeats, repeat_factors
from mindssd.data.splits import require_boxes
from mindssd.data.splitting import Split, numbered, parts_of, read_split, split_off
from mindssd.data.targets import Matcher, Targets
from mindssd.engines.base import Group, SingleProcessGroup
from mindssd.errors import ConfigError, DatasetError
from mindssd.geometry.atss import match_adaptively
from mindssd.geometry.default_boxes import DefaultBoxes
from mindssd.geometry.matching import match
from mindssd.platform import available_cores

MAX_WORKERS = 8
SECONDS_FOR_SIZES = 0.5
"""A start may take so long to compare annotated sizes with those of training files: 30,000 that
memory holds, all of COCO's that the cache knows. The rest are compared as they are read."""


def build_dataset(
    config: Config, split: str, all_sizes: bool = False, model: Path | None = None
) -> DetectionDataset:
    """Read the annotations of `train` or `val` under the config's data_dir.

    `all_sizes` reads the headers of all training files, however long that takes. A data set without
    a validation part is split, as it was for the run that `model` lies in, if it was.
    """
    layout = find_layout(config)
    if layout.is_unsplit:
        train, val, _ = split_parts(config, layout, split_file_of(model))
        return train if split == "train" else val
    return read_part(config, layout, split, all_sizes)


def build_datasets(
    config: Config, all_sizes: bool = False, split_file: Path | None = None
) -> tuple[DetectionDataset, DetectionDataset, Split | None]:
    """Read training and validation images, and how they were split if there are no parts.

    An existing `split_file` decides.
    """
    layout = find_layout(config)
    if layout.is_unsplit:
        return split_parts(config, layout, split_file)
    train, val = (read_part(config, layout, split, all_sizes) for split in ("train", "val"))
    return train, val, None


SPLIT_FILE = "split.json"
"""In a run's folder, which images train and val have."""


def split_file_of(model: Path | None) -> Path | None:
    """The split of the run or search that a model lies in; None where there is none."""
    folders = [] if model is None else list(model.absolute().parents)[:2]
    return next((f / SPLIT_FILE for f in folders if (f / SPLIT_FILE).is_file()), None)


def split_parts(
    config: Config, layout: Layout, split_file: Path | None = None
) -> tuple[DetectionDataset, DetectionDataset, Split]:
    """Read a data set without a validation part, and split it, as `build_datasets` does."""
    whole = assemble(layout.parts[layout.training or ""]())
    require_boxes(whole)
    # By paths below the whole data set: images in a new folder of it leave the names of others.
    folder = os.path.relpath(whole.image_dir, layout.root).removeprefix(".")
    if split_file is not None and split_file.is_file():
        split = read_split(split_file)
    else:
        split = split_off(whole, config.val_share, config.group_by).below(folder)
    train, val = parts_of(whole, split, folder)
    if layout.format != "coco":  # which alone has ids of its own
        train, val = numbered(train), numbered(val)
    return train, val, split


def read_part(config: Config, layout: Layout, split: str, all_sizes: bool) -> DetectionDataset:
    """Read `train` or `val` of a data set that has parts, as `build_dataset` does."""
    part = layout.training if split == "train" else layout.validation
    if part is None:
        raise DatasetError(
            f"{config.data_dir}: has no {split} part ({layout.title}, {layout.place}), but "
            f"{', '.join(layout.parts)}"
        )
    if config.group_by is not None and layout.validation is not None:
        raise ConfigError(
            f"group_by={config.group_by} changes nothing: {config.data_dir} has a validation part"
        )
    # What a sample is does not depend on how many files there was time for; an evaluation's truths
    # do, so all of val's are looked at.
    seconds = SECONDS_FOR_SIZES if split == "train" and not all_sizes else None
    return assemble(layout.parts[part](), seconds)


def find_layout(config: Config) -> Layout:
    """Find out how the data set under the config's data_dir lies there."""
    if config.data_dir is None:
        raise ConfigError(
            "data_dir is not set: give data_dir=PATH, a folder with images and their annotations "
            "in one of the formats of docs/data.md (`mindssd demo` makes one to try)"
        )
    return recognise(Path(config.data_dir).expanduser(), config.format)


def training_classes(config: Config) -> tuple[str, ...] | None:
    """The classes of data_dir's training annotations; None where there are none."""
    if config.data_dir is None:
        return None
    layout = find_layout(config)
    return None if layout.training is None else layout.parts[layout.training]().class_names


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
        keeps_aspect=keeps_aspect(config),
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

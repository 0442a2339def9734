"""MindCV's published detectors by name: fetched once, made into models once, and then like any.

A model takes its place in the cache beside the checkpoint that it was made from, whole or not at
all. Making it needs no engine.
"""

from collections.abc import Callable
from pathlib import Path

import numpy as np

from mindssd.build.network import image_size, network_spec
from mindssd.config.load import load_config, to_tree
from mindssd.config.schema import Config
from mindssd.errors import MindSSDError, WeightsError
from mindssd.files import cache_dir
from mindssd.geometry.default_boxes import Grid
from mindssd.types import Array
from mindssd.weights.coco_categories import COCO_CATEGORIES
from mindssd.weights.download import DEFAULT_BASE_URL, fetch, sha256_of
from mindssd.weights.hub import is_hub_address, pull
from mindssd.weights.mindspore_checkpoint import read_checkpoint
from mindssd.weights.progress import show_progress
from mindssd.weights.published import PUBLISHED, PublishedDetector, find_published
from mindssd.weights.safetensors_file import ModelMetadata, read_metadata, write_model
from mindssd.weights.transfer import canonical_parameters, num_classes, shapes_of

Say = Callable[[str], None]
"""Takes a line for the user."""

LICENCE = (
    "MindCV is Apache-2.0; nothing is stated of the weights alone; trained on COCO 2017, whose "
    "annotations are CC BY 4.0"
)


def find_model(path_or_name: str | Path, say: Say | None = None) -> Path:
    """The file of a model that is named by its path, a published detector's name, or hf://ORG/NAME.

    A file of that name goes before the published one, a folder does not: no model is a folder.
    Anything else is given back, for whoever opens it to refuse. WeightsError for a backbone's name,
    and where fetching or converting fails.
    """
    path, name = Path(path_or_name).expanduser(), str(path_or_name)
    if is_hub_address(name) and not path.is_file():
        return pull(name)
    published = PUBLISHED.get(name)
    if published is None:
        return path
    if path.is_file():
        if say is not None:
            say(f"{name}: the file of this name here, not the published {published.kind}")
        return path
    if not isinstance(published, PublishedDetector):
        raise WeightsError(
            f"{name} is a published backbone, not a detector; backbone_ckpt_path={name} starts a "
            "training from it"
        )
    return _made_model(published, say)


def model_path(detector: PublishedDetector) -> Path:
    """Where the model of a published detector lies, or will lie, in the cache."""
    return (cache_dir() / detector.file_name).with_suffix(".safetensors")


def fetch_published(name: str, say: Say | None = None) -> Path:
    """What a published name stands for, fetched if absent: a backbone's checkpoint, or a model.

    WeightsError for an unknown name, and as of `weights.download.fetch`.
    """
    published = find_published(name)
    if isinstance(published, PublishedDetector):
        return _made_model(published, say)
    with show_progress(name) as progress:
        return fetch(name, progress)


def _made_model(detector: PublishedDetector, say: Say | None) -> Path:
    path = model_path(detector)
    if not _is_made(path, detector):
        with show_progress(detector.name) as progress:
            checkpoint = fetch(detector.name, progress)
        line = convert(detector, checkpoint, path)
        if say is not None:
            say(line)
    return path


def _is_made(path: Path, detector: PublishedDetector) -> bool:
    """Whether the model is there, whole, and of that very checkpoint."""
    try:
        found = read_metadata(path).origin.get("sha256", "")
    except MindSSDError:  # absent, damaged, or of a newer mindssd that shares the cache
        return False
    return found.startswith(detector.hash_prefix)


def convert(detector: PublishedDetector, checkpoint: Path, path: Path) -> str:
    """Write the model of a published detector's checkpoint to `path`; return a line that says so.

    Values are exactly the checkpoint's. WeightsError where it holds no detector of COCO's classes.
    """
    tensors = read_checkpoint(checkpoint)
    parameters, kind = canonical_parameters(checkpoint, tensors)
    classes = num_classes(shapes_of(parameters))
    if kind != "reference_ssd" or classes != len(COCO_CATEGORIES):
        raise WeightsError(
            f"{checkpoint}: holds no detector of COCO's {len(COCO_CATEGORIES)} classes (names: "
            f"{kind}, classes: {classes}); is it {detector.name}'s file?"
        )
    # A training starts its classes at a probability; these have been trained.
    config = load_config(detector.recipe, ["evaluation.protocol=mindcv", "head.class_prior=null"])
    holds = _described(tensors, len(parameters))
    metadata = ModelMetadata(
        config=to_tree(config),
        class_names=tuple(COCO_CATEGORIES.values()),
        category_ids=tuple(COCO_CATEGORIES),
        image_size=image_size(config),
        mean=config.normalization.mean,
        std=config.normalization.std,
        grids=grids_of(detector, config),
        metrics={"AP": detector.ap},
        engine="mindspore",
        origin={
            "name": detector.name,
            "source": f"{DEFAULT_BASE_URL}/{detector.path}",
            "sha256": sha256_of(checkpoint),
            "licence": LICENCE,
            "metrics": "as published by MindCV, of COCO val2017 by the protocol mindcv",
            "checkpoint": holds,
        },
    )
    write_model(path, parameters, metadata)
    return f"{detector.name}: MindCV's checkpoint ({holds}) is now the model {path}"


def _described(tensors: dict[str, Array], num_parameters: int) -> str:
    """What a checkpoint held, and what became of it."""
    half = sum(array.dtype == np.float16 for array in tensors.values())
    parts = [f"{num_parameters} tensors"]
    if half:
        parts.append(f"{half} of float16, taken as float32")
    if len(tensors) > num_parameters:
        parts.append(f"{len(tensors) - num_parameters} of training state set aside")
    return ", ".join(parts)


def grids_of(detector: PublishedDetector, config: Config) -> tuple[Grid, ...]:
    """(rows, columns) of each level, as its network has them."""
    num_levels = len(network_spec(config, num_classes=1).boxes_per_location)
    height, width = image_size(config)
    steps = [detector.finest_stride * 2**level for level in range(num_levels)]
    return tuple((-(-height // step), -(-width // step)) for step in steps)

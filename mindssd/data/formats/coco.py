"""COCO's annotation format, read into columns.

Layout and keys: https://cocodataset.org/#format-data.
"""

from dataclasses import replace
from pathlib import Path

import numpy as np

from mindssd.data.dataset import DetectionDataset
from mindssd.data.formats.annotations import read_annotations
from mindssd.data.formats.categories import names_of, read_categories, without_root
from mindssd.data.formats.coco_json import decode
from mindssd.data.formats.ids import as_numbers, positions
from mindssd.data.formats.images import read_images
from mindssd.data.formats.parsed import Parsed, assemble, without_collection
from mindssd.errors import DatasetError


def load_coco_split(
    data_dir: Path, split: str, seconds_for_sizes: float | None = None
) -> DetectionDataset:
    """Load split "train" or "val" of a folder in COCO 2017's layout.

    `annotations/instances_train2017.json` (or the reference's spelling,
    `instance_train2017.json`) with the images in `train2017/`; val alike. DatasetError names what
    is missing. `seconds_for_sizes` as in `load_coco`.
    """
    return load_coco(*require_split(data_dir.expanduser(), split), seconds_for_sizes)


def require_split(data_dir: Path, split: str) -> tuple[Path, Path]:
    """The annotation file and image folder of a split; DatasetError where one is missing."""
    image_dir = data_dir / f"{split}2017"
    first, second = annotation_files(data_dir, split)
    layout = f"expected {first} (or {second.name}) and the images in {image_dir}/"
    if not data_dir.is_dir():
        raise DatasetError(f"{data_dir}: no such folder; {layout}")
    annotation_file = find_annotations(data_dir, split)
    if annotation_file is None:
        raise DatasetError(f"{first}: no such file; {layout}")
    if not image_dir.is_dir():
        raise DatasetError(f"{image_dir}: no such folder; {layout}")
    return annotation_file, image_dir


def find_annotations(data_dir: Path, split: str) -> Path | None:
    """The annotation file of a split, None where there is none."""
    return next((path for path in annotation_files(data_dir, split) if path.is_file()), None)


def annotation_files(data_dir: Path, split: str) -> list[Path]:
    """Where it may be."""
    return [
        data_dir / "annotations" / f"{stem}_{split}2017.json" for stem in ("instances", "instance")
    ]


def load_coco(
    annotation_file: Path, image_dir: Path, seconds_for_sizes: float | None = None
) -> DetectionDataset:
    """Load an annotation file whose images lie in `image_dir`, as `assemble` does.

    DatasetError where the file is no such annotations too.
    """
    return assemble(parse_coco(annotation_file, image_dir), seconds_for_sizes)


def parse_coco(
    annotation_file: Path, image_dir: Path, elsewhere: frozenset[str] = frozenset()
) -> Parsed:
    """Read an annotation file: classes are its categories in the order of their ids."""
    with without_collection():
        return _parse(annotation_file, image_dir, elsewhere)


def _parse(annotation_file: Path, image_dir: Path, elsewhere: frozenset[str]) -> Parsed:
    decoded = decode(annotation_file)
    categories = read_categories(decoded.categories, annotation_file)
    keys = [category.key for category in categories]
    images, findings = read_images(decoded.images, annotation_file)
    annotations, dropped = read_annotations(
        decoded.annotations,
        lambda references: positions(references, images.keys, images.names),
        lambda references: positions(references, keys, lambda: names_of(categories)),
    )
    counts = np.bincount(annotations.categories, minlength=len(categories))
    classes, root = without_root(categories, counts.tolist(), annotation_file)
    class_of = np.zeros(len(categories), np.int64)
    class_of[classes] = np.arange(len(classes))
    return Parsed(
        source=str(annotation_file),
        image_dir=image_dir,
        class_names=tuple(categories[place].name for place in classes),
        category_ids=tuple(as_numbers(keys)[classes].tolist()),
        images=images,
        annotations=replace(annotations, categories=class_of[annotations.categories]),
        findings=[*root, *findings, *dropped],
        elsewhere=elsewhere,
    )

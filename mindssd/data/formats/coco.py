"""COCO's annotation format, read into columns.

Layout and keys: https://cocodataset.org/#format-data.
"""

import gc
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from mindssd.data.check import (
    Boxes,
    CheckReport,
    Finding,
    check_boxes,
    count_where,
    first_of_twins,
)
from mindssd.data.dataset import DetectionDataset
from mindssd.data.formats.annotations import Annotations, read_annotations
from mindssd.data.formats.categories import names_of, read_categories, without_root
from mindssd.data.formats.coco_json import decode
from mindssd.data.formats.ids import as_numbers, positions
from mindssd.data.formats.images import Images, merge_files, read_images
from mindssd.data.image_files import find_files
from mindssd.data.image_sizes import ImageSizes, settle_sizes
from mindssd.errors import DatasetError
from mindssd.types import Array


def load_coco_split(
    data_dir: Path, split: str, seconds_for_sizes: float | None = None
) -> DetectionDataset:
    """Load split "train" or "val" of a folder in COCO 2017's layout.

    `annotations/instances_train2017.json` (or the reference's spelling,
    `instance_train2017.json`) with the images in `train2017/`; val alike. DatasetError names what
    is missing. `seconds_for_sizes` as in `load_coco`.
    """
    data_dir = data_dir.expanduser()
    image_dir = data_dir / f"{split}2017"
    first, second = _annotation_files(data_dir, split)
    layout = f"expected {first} (or {second.name}) and the images in {image_dir}/"
    if not data_dir.is_dir():
        raise DatasetError(f"{data_dir}: no such folder; {layout}")
    annotation_file = find_annotations(data_dir, split)
    if annotation_file is None:
        raise DatasetError(f"{first}: no such file; {layout}")
    if not image_dir.is_dir():
        raise DatasetError(f"{image_dir}: no such folder; {layout}")
    return load_coco(annotation_file, image_dir, seconds_for_sizes)


def find_annotations(data_dir: Path, split: str) -> Path | None:
    """The annotation file of a split, None where there is none."""
    return next((path for path in _annotation_files(data_dir, split) if path.is_file()), None)


def _annotation_files(data_dir: Path, split: str) -> list[Path]:
    return [
        data_dir / "annotations" / f"{stem}_{split}2017.json" for stem in ("instances", "instance")
    ]


def read_class_names(annotation_file: Path) -> tuple[str, ...]:
    """The classes of an annotation file, as a data set loaded from it has them."""
    return _parse(annotation_file).class_names


def load_coco(
    annotation_file: Path, image_dir: Path, seconds_for_sizes: float | None = None
) -> DetectionDataset:
    """Load an annotation file whose images lie in `image_dir`.

    Classes are the file's categories in the order of their ids, which may have gaps. Images keep
    the file's order, and stay when they have no boxes. Boxes that cannot be truths are dropped and
    counted (`mindssd.data.check`); an image file that is missing is counted, and is background that
    does not count at training. Of each file's header the size is read, or of as many as
    `seconds_for_sizes` allow. DatasetError where the file is no such annotations, or nobody knows
    where its boxes lie.
    """
    with _without_collection():
        parsed = _parse(annotation_file)
    files = find_files(parsed.images.file_names, image_dir)
    images = replace(parsed.images, file_names=files.names)
    kept, places, merged = merge_files(images, annotation_file)
    images, present = images.at(kept), files.present[kept]
    annotations = replace(parsed.annotations, images=places[parsed.annotations.images])
    sizes = settle_sizes(
        images.sizes,
        images.file_names,
        present,
        image_dir,
        annotations.images,
        annotations.boxes_xywh,
        seconds_for_sizes,
    )
    annotations, box_findings = _sound(annotations, sizes.annotated, images, annotation_file)
    findings = [*parsed.findings, *files.findings, *merged, *sizes.findings, *box_findings]
    parsed = replace(parsed, images=images, annotations=annotations, findings=findings)
    return _dataset(parsed, sizes, annotation_file, image_dir)


def _dataset(
    parsed: "_Parsed", sizes: ImageSizes, annotation_file: Path, image_dir: Path
) -> DetectionDataset:
    """The data set of annotations that have been looked through, sorted by image."""
    order = np.argsort(parsed.annotations.images, kind="stable")
    annotations, images = parsed.annotations.at(order), parsed.images
    counts = np.bincount(annotations.images, minlength=len(images.keys))
    num_crowds = int(np.count_nonzero(annotations.is_crowd))
    return DetectionDataset(
        class_names=parsed.class_names,
        category_ids=parsed.category_ids,
        annotation_file=str(annotation_file),
        image_dir=str(image_dir),
        report=CheckReport(
            annotation_file=str(annotation_file),
            num_images=len(images.keys),
            num_boxes=len(annotations) - num_crowds,
            num_crowds=num_crowds,
            num_empty_images=int(np.count_nonzero(counts == 0)),
            findings=tuple(parsed.findings),
        ),
        image_ids=as_numbers(images.keys),
        file_names=images.file_names,
        sizes=sizes.annotated,
        file_sizes=sizes.of_files,
        starts=np.concatenate([[0], np.cumsum(counts)]),
        boxes_xywh=annotations.boxes_xywh,
        areas=annotations.areas,
        labels=annotations.categories.astype(np.int32) + 1,
        is_crowd=annotations.is_crowd,
    )


@dataclass(frozen=True)
class _Parsed:
    """What an annotation file says; the annotations' categories are positions among the classes."""

    class_names: tuple[str, ...]
    category_ids: tuple[int, ...]
    images: Images
    annotations: Annotations
    findings: list[Finding]


def _parse(annotation_file: Path) -> _Parsed:
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
    return _Parsed(
        class_names=tuple(categories[place].name for place in classes),
        category_ids=tuple(as_numbers(keys)[classes].tolist()),
        images=images,
        annotations=replace(annotations, categories=class_of[annotations.categories]),
        findings=[*root, *findings, *dropped],
    )


def _sound(
    annotations: Annotations, sizes: Array, images: Images, annotation_file: Path
) -> tuple[Annotations, list[Finding]]:
    """Keep the annotations that can be truths, with an area each."""
    boxes = Boxes(
        annotations.boxes_xywh,
        sizes[annotations.images],
        lambda row: images.file_names[annotations.images[row]],
    )
    try:
        keep, findings = check_boxes(boxes)
    except DatasetError as error:
        raise DatasetError(f"{annotation_file}: {error}") from error
    a = annotations
    first = first_of_twins(a.images, a.categories, a.boxes_xywh, a.is_crowd)
    findings += count_where(
        keep & ~first, "boxes annotated twice, of one class and image: kept once", boxes.example
    )
    keep &= first
    findings += count_where(
        keep & (a.areas <= 0), "areas of 0 or less: that of the box taken", boxes.example
    )
    a = a.at(keep)
    box_areas = a.boxes_xywh[:, 2] * a.boxes_xywh[:, 3]
    return replace(
        a, areas=np.where(np.isfinite(a.areas) & (a.areas > 0), a.areas, box_areas)
    ), findings


@contextmanager
def _without_collection() -> Iterator[None]:
    """Let the garbage collector rest: it would look a million lists through, again and again."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()

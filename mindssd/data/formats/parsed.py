"""What every format comes to, and the one way from there to a data set.

A format gives images, boxes and classes as `Parsed`; files are looked for, sizes settled, odd boxes
dropped and all of it counted here, the same for all.
"""

import gc
from collections.abc import Iterator, Sequence
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
from mindssd.data.file_headers import FileHeaders
from mindssd.data.formats.annotations import Annotations
from mindssd.data.formats.ids import as_numbers
from mindssd.data.formats.images import Images, merge_files
from mindssd.data.image_files import find_files
from mindssd.data.image_sizes import ImageSizes, settle_sizes, shown_sizes
from mindssd.errors import DatasetError
from mindssd.types import Array


@dataclass(frozen=True)
class Parsed:
    """What annotations say, of whatever format.

    `source` names them in messages. The annotations' categories are positions among the classes.
    With `in_shares`, boxes are shares of their pictures' width and height, upright, and the images
    have no sizes. Unless `sizes_expected`, it is nothing odd if an image has none. Files of
    `elsewhere` below `image_dir` are images of another part.
    """

    source: str
    image_dir: Path
    class_names: tuple[str, ...]
    category_ids: tuple[int, ...]
    images: Images
    annotations: Annotations
    findings: list[Finding]
    in_shares: bool = False
    sizes_expected: bool = True
    elsewhere: frozenset[str] = frozenset()


def assemble(parsed: Parsed, seconds_for_sizes: float | None = None) -> DetectionDataset:
    """Make the data set: boxes that cannot be truths are dropped, and all that is odd is counted.

    Images keep their order, and stay when they have no boxes. An image file that is missing is
    counted, and is background that does not count at training. Of each file's header the size is
    read, or of as many as `seconds_for_sizes` allow. DatasetError where nobody knows where boxes
    lie, or none of the files is there.
    """
    files = find_files(parsed.images.file_names, parsed.image_dir, parsed.elsewhere)
    images = replace(parsed.images, file_names=files.names)
    kept, places, merged = merge_files(images, parsed.source)
    images, present = images.at(kept), files.present[kept]
    annotations = replace(parsed.annotations, images=places[parsed.annotations.images])
    headers = FileHeaders(parsed.image_dir, images.file_names)
    unsized: list[Finding] = []
    if parsed.in_shares:
        images, annotations, unsized = _in_pixels(images, annotations, headers, present)
    sizes = settle_sizes(
        images.sizes,
        headers,
        present,
        annotations.images,
        annotations.boxes_xywh,
        seconds_for_sizes,
        parsed.sizes_expected,
    )
    annotations, box_findings = _sound(annotations, sizes.annotated, images, parsed.source)
    findings = [
        *(*parsed.findings, *files.findings, *merged),
        *(*sizes.findings, *unsized, *box_findings),
    ]
    parsed = replace(parsed, images=images, annotations=annotations, findings=findings)
    return _dataset(parsed, sizes)


def name_classes(names: Sequence[str], known: Sequence[str] = ()) -> tuple[tuple[str, ...], Array]:
    """Make classes of names that n annotations give: the classes, and each one's position (n,).

    `known` come first, in their order; then those of most annotations, of equally many by name.
    """
    found, where, counts = np.unique(
        np.array(names, np.str_), return_inverse=True, return_counts=True
    )
    places = {name: place for place, name in enumerate(known)}
    others = [row for row, name in enumerate(found.tolist()) if name not in places]
    others.sort(key=lambda row: (-counts[row], found[row]))
    for row in others:
        places[str(found[row])] = len(places)
    order = np.array([places[name] for name in found.tolist()], np.int64)
    return tuple(places), order[where]


def _in_pixels(
    images: Images, annotations: Annotations, headers: FileHeaders, present: Array
) -> tuple[Images, Annotations, list[Finding]]:
    """Multiply boxes by the sizes of their files; those of a file without a size are dropped."""
    headers.read(np.flatnonzero(present))
    sizes = shown_sizes(headers.columns, np.zeros_like(images.sizes))
    known = sizes[annotations.images].all(axis=1)
    findings = count_where(
        ~known,
        "boxes of images whose size is unknown: dropped",
        lambda row: images.file_names[annotations.images[row]],
    )
    annotations = annotations.at(known)
    scale = np.tile(sizes[annotations.images][:, ::-1], 2)
    boxes_xywh = annotations.boxes_xywh * scale
    return replace(images, sizes=sizes), replace(annotations, boxes_xywh=boxes_xywh), findings


def _dataset(parsed: Parsed, sizes: ImageSizes) -> DetectionDataset:
    """The data set of annotations that have been looked through, sorted by image."""
    order = np.argsort(parsed.annotations.images, kind="stable")
    annotations, images = parsed.annotations.at(order), parsed.images
    counts = np.bincount(annotations.images, minlength=len(images.keys))
    num_crowds = int(np.count_nonzero(annotations.is_crowd))
    return DetectionDataset(
        class_names=parsed.class_names,
        category_ids=parsed.category_ids,
        annotation_file=parsed.source,
        image_dir=str(parsed.image_dir),
        report=CheckReport(
            annotation_file=parsed.source,
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


def _sound(
    annotations: Annotations, sizes: Array, images: Images, source: str
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
        raise DatasetError(f"{source}: {error}") from error
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
def without_collection() -> Iterator[None]:
    """Let the garbage collector rest: it would look a million lists through, again and again."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()

"""COCO's annotation format, read into columns.

Only what detection needs is decoded: segmentations, nine tenths of COCO's file, are skipped over.
Layout and keys: https://cocodataset.org/#format-data.
"""

import itertools
import os
from concurrent.futures import ThreadPoolExecutor
from operator import attrgetter
from pathlib import Path

import msgspec
import numpy as np

from mindssd.annotations import Id, decode_annotations
from mindssd.data.check import CheckReport, Finding, check_boxes, count_where
from mindssd.data.dataset import DetectionDataset
from mindssd.errors import DatasetError, ImageError
from mindssd.images import read_image
from mindssd.types import Array, ImageSize

_ABSENT = -(2**63)
_LONGEST_SIDE = 2**20
"""OpenCV reads no longer one."""
_SUSPICIOUS_PIXELS = 1.0
"""A box that reaches further over its image than a careless rounding casts doubt on the size."""


# Not traced by the garbage collector (gc=False): a million of them would slow each collection, and
# none can be part of a cycle.
class _Image(msgspec.Struct, gc=False):
    id: Id
    file_name: str
    width: float | None = None
    height: float | None = None


class _Annotation(msgspec.Struct, gc=False):
    image_id: Id = _ABSENT
    category_id: Id = _ABSENT
    bbox: list[float] = []
    iscrowd: int | bool | None = 0


class _Category(msgspec.Struct, gc=False):
    id: Id
    name: str


class _Annotations(msgspec.Struct):
    images: list[_Image]
    annotations: list[_Annotation]
    categories: list[_Category]


def load_coco_split(data_dir: Path, split: str) -> DetectionDataset:
    """Load split "train" or "val" of a folder in COCO 2017's layout.

    `annotations/instances_train2017.json` (or the reference's spelling,
    `instance_train2017.json`) with the images in `train2017/`; val alike. DatasetError names what
    is missing.
    """
    data_dir = data_dir.expanduser()
    names = [f"{stem}_{split}2017.json" for stem in ("instances", "instance")]
    image_dir = data_dir / f"{split}2017"
    layout = (
        f"expected {data_dir}/annotations/{names[0]} (or {names[1]}) and the images in {image_dir}/"
    )
    if not data_dir.is_dir():
        raise DatasetError(f"{data_dir}: no such folder; {layout}")
    found = [path for path in (data_dir / "annotations" / name for name in names) if path.is_file()]
    if not found:
        raise DatasetError(f"{data_dir / 'annotations' / names[0]}: no such file; {layout}")
    if not image_dir.is_dir():
        raise DatasetError(f"{image_dir}: no such folder; {layout}")
    return load_coco(found[0], image_dir)


def load_coco(annotation_file: Path, image_dir: Path) -> DetectionDataset:
    """Load an annotation file whose images lie in `image_dir`.

    Classes are the file's categories in the order of their ids, which may have gaps. Images keep
    the file's order, and stay when they have no boxes. Boxes that cannot be truths are dropped and
    counted (`mindssd.data.check`); an image file that is missing is counted, and is background that
    does not count at training. DatasetError where the file is no such annotations.
    """
    decoded = decode_annotations(annotation_file, _Annotations)
    categories = _unique_categories(decoded.categories, annotation_file)
    images, findings = _unique_images(decoded.images, annotation_file)
    annotations = decoded.annotations
    del decoded  # so that each list can go as soon as its columns are made
    image_ids = np.fromiter(map(attrgetter("id"), images), np.int64, len(images))
    file_names = [image.file_name for image in images]
    findings += _missing_files(file_names, image_dir)
    sizes, size_findings = _image_sizes(images, image_dir)
    findings += size_findings
    del images

    category_ids = np.array([category.id for category in categories], np.int64)
    image_index, labels, corners, is_crowd, dropped = _annotation_columns(
        annotations, image_ids, category_ids
    )
    del annotations
    findings += dropped
    findings += _correct_sizes(sizes, image_index, corners, file_names, image_dir)
    # A size that is not known clips nothing.
    limits = np.where(sizes > 0, sizes, np.inf)[image_index]
    boxes, keep, box_findings = check_boxes(
        corners, limits[:, 1], limits[:, 0], lambda row: file_names[image_index[row]]
    )
    findings += box_findings
    rows = np.flatnonzero(keep)
    rows = rows[np.argsort(image_index[rows], kind="stable")]
    counts = np.bincount(image_index[rows], minlength=len(file_names))
    is_crowd = is_crowd[rows]
    return DetectionDataset(
        class_names=tuple(category.name for category in categories),
        category_ids=tuple(category.id for category in categories),
        annotation_file=str(annotation_file),
        image_dir=str(image_dir),
        report=CheckReport(
            annotation_file=str(annotation_file),
            num_images=len(file_names),
            num_boxes=int(np.count_nonzero(~is_crowd)),
            num_crowds=int(np.count_nonzero(is_crowd)),
            num_empty_images=int(np.count_nonzero(counts == 0)),
            findings=tuple(findings),
        ),
        image_ids=image_ids,
        file_names=file_names,
        sizes=sizes,
        starts=np.concatenate([[0], np.cumsum(counts)]),
        boxes=boxes[rows],
        labels=labels[rows],
        is_crowd=is_crowd,
    )


def _unique_categories(categories: list[_Category], annotation_file: Path) -> list[_Category]:
    """Sort the categories by id; an id may come twice only under one name."""
    by_id: dict[int, _Category] = {}
    for category in categories:
        first = by_id.setdefault(category.id, category)
        if first.name != category.name:
            raise DatasetError(
                f"{annotation_file}: category {category.id} is both {first.name!r} "
                f"and {category.name!r}; expected one name for each id"
            )
    if not by_id:
        raise DatasetError(f"{annotation_file}: has no categories; expected at least one")
    by_name: dict[str, _Category] = {}
    for category in by_id.values():
        first = by_name.setdefault(category.name, category)
        if first is not category:
            raise DatasetError(
                f"{annotation_file}: categories {first.id} and {category.id} are both "
                f"{category.name!r}; rename one, or give the annotations of both one id"
            )
    return [by_id[category_id] for category_id in sorted(by_id)]


def _unique_images(
    images: list[_Image], annotation_file: Path
) -> tuple[list[_Image], list[Finding]]:
    """Keep the first image of each id; an id may come twice only for one file."""
    if not images:
        raise DatasetError(f"{annotation_file}: has no images; expected at least one")
    by_id: dict[int, _Image] = {}
    repeated = ""
    for image in images:
        first = by_id.setdefault(image.id, image)
        if first is image:
            _require_sense(image, annotation_file)
            continue
        if first.file_name != image.file_name:
            raise DatasetError(
                f"{annotation_file}: image id {image.id} is both {first.file_name!r} "
                f"and {image.file_name!r}; expected one file for each id"
            )
        repeated = repeated or image.file_name
    count = len(images) - len(by_id)
    finding = Finding(count, "images listed more than once: kept once", repeated)
    return list(by_id.values()), [finding] if count else []


def _require_sense(image: _Image, annotation_file: Path) -> None:
    """Refuse a name that no file can have, and a size that no image can have."""
    try:
        possible = b"\0" not in os.fsencode(image.file_name)
    except UnicodeEncodeError:
        possible = False
    if not possible or not image.file_name:
        raise DatasetError(
            f"{annotation_file}: image {image.id} has file_name {image.file_name!r}, which no file "
            "can have; correct it"
        )
    for what, side in (("width", image.width), ("height", image.height)):
        if side is not None and _LONGEST_SIDE < side < np.inf:
            raise DatasetError(
                f"{annotation_file}: image {image.id} ({image.file_name}) has {what} {side:g}; "
                f"expected at most {_LONGEST_SIDE} pixels; correct it, or leave it out to have it "
                "read from the file"
            )


def _missing_files(file_names: list[str], image_dir: Path) -> list[Finding]:
    """Count the image files that are not there, listing each folder once."""
    present: dict[str, set[str]] = {}

    def exists(file_name: str) -> bool:
        folder, _, name = file_name.rpartition("/")
        if folder not in present:
            try:
                with os.scandir(f"{image_dir}/{folder}") as entries:
                    present[folder] = {entry.name for entry in entries}
            except OSError:
                present[folder] = set()
        return name in present[folder]

    missing = np.fromiter((not exists(name) for name in file_names), np.bool_, len(file_names))
    if missing.all():
        raise DatasetError(
            f"{image_dir}: has none of the {len(file_names)} annotated images, "
            f"such as {file_names[0]}; expected them there"
        )
    what = "image files missing: not trained on"
    return count_where(missing, what, file_names.__getitem__)


def _image_sizes(images: list[_Image], image_dir: Path) -> tuple[Array, list[Finding]]:
    """Collect heights and widths, (N, 2) int32, from the files where the annotations have none.

    An image that cannot be read either has size (0, 0).
    """
    sizes = np.array([(image.height or 0, image.width or 0) for image in images], np.float64)
    unknown = ~(np.isfinite(sizes) & (sizes >= 1)).all(axis=1)
    for index in np.flatnonzero(unknown):
        try:
            sizes[index] = read_image(image_dir / images[index].file_name).shape[:2]
        except ImageError:
            sizes[index] = 0
    what = "images without width and height: read from their files"
    findings = count_where(unknown, what, lambda index: images[index].file_name)
    return sizes.astype(np.int32), findings


def _correct_sizes(
    sizes: Array, image_index: Array, corners: Array, file_names: list[str], image_dir: Path
) -> list[Finding]:
    """Take the size of the file, in `sizes`, for images over which a box reaches: it is right.

    Only these are read, for reading all takes minutes. An image that cannot be read keeps its size.
    """
    heights, widths = sizes[image_index].T
    over = np.isfinite(corners).all(axis=1) & (heights > 0)
    over &= (corners[:, 2] > widths + _SUSPICIOUS_PIXELS) | (
        corners[:, 3] > heights + _SUSPICIOUS_PIXELS
    )
    suspects = np.unique(image_index[over])

    def size_of(index: int) -> ImageSize:
        height, width = (int(side) for side in sizes[index])
        try:
            image = read_image(image_dir / file_names[index], (height, width))
        except ImageError:
            return height, width
        return image.shape[0], image.shape[1]

    with ThreadPoolExecutor() as pool:
        read = np.array(list(pool.map(size_of, suspects.tolist())), np.int32).reshape(-1, 2)
    wrong = (read != sizes[suspects]).any(axis=1)
    sizes[suspects] = read
    what = "images of another size than annotated: the file is right"
    return count_where(wrong, what, lambda row: file_names[suspects[row]])


def _annotation_columns(
    annotations: list[_Annotation], image_ids: Array, category_ids: Array
) -> tuple[Array, Array, Array, Array, list[Finding]]:
    """Turn annotations into columns, without those that name no box, image or category.

    Gives the index of each one's image (n,), labels (n,) int32, corners (n, 4) float64, is_crowd
    (n,) bool, and what was dropped.
    """
    num_annotations = len(annotations)
    owners = np.fromiter(map(attrgetter("image_id"), annotations), np.int64, num_annotations)
    classes = np.fromiter(map(attrgetter("category_id"), annotations), np.int64, num_annotations)
    crowds = np.fromiter(map(attrgetter("iscrowd"), annotations), np.bool_, num_annotations)
    boxes = [annotation.bbox for annotation in annotations]
    incomplete = np.fromiter(map(len, boxes), np.int64, num_annotations) != 4
    incomplete |= (owners == _ABSENT) | (classes == _ABSENT)
    image_index, unknown_image = _positions(owners, image_ids)
    class_index, unknown_category = _positions(classes, category_ids)
    unknown_image &= ~incomplete
    unknown_category &= ~incomplete & ~unknown_image

    def place(row: int) -> str:
        return f"annotations[{row}]"

    findings = [
        *count_where(incomplete, "annotations without image, category or box: dropped", place),
        *count_where(
            unknown_image,
            "annotations of an image that is not listed: dropped",
            lambda row: f"image id {owners[row]}",
        ),
        *count_where(
            unknown_category,
            "annotations of a category that is not listed: dropped",
            lambda row: f"category id {classes[row]}",
        ),
    ]
    rows = np.flatnonzero(~(incomplete | unknown_image | unknown_category))
    kept = itertools.chain.from_iterable(boxes[row] for row in rows.tolist())
    corners = np.fromiter(kept, np.float64, 4 * len(rows)).reshape(-1, 4)
    corners[:, 2:] += corners[:, :2]  # COCO's boxes are (x, y, width, height)
    labels = (class_index[rows] + 1).astype(np.int32)
    return image_index[rows], labels, corners, crowds[rows], findings


def _positions(values: Array, ids: Array) -> tuple[Array, Array]:
    """Find each value among the unique ids: its index there, and whether it is unknown."""
    order = np.argsort(ids)
    places = np.minimum(np.searchsorted(ids, values, sorter=order), len(ids) - 1)
    positions = order[places]
    return positions, ids[positions] != values

"""The truths that detections are scored against, with the areas that COCO sorts them by size with.

COCO's area of an object is that of its segmentation, which only the annotation file knows; so this
reads the file again, without what evaluation does not need.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec
import numpy as np

from mindssd.annotations import Id, decode_annotations
from mindssd.evaluation.protocol import AnnotatedImages
from mindssd.types import Array

_ABSENT = -(2**63)


@dataclass(frozen=True, eq=False)
class Truths:
    """The annotated boxes of some images, in columns.

    `image_ids` (n,) int64 in the order of the file; `class_ids` (n,) int64 from 0; `boxes_xywh`
    (n, 4) float64 in pixels; `areas` (n,) float64; `is_crowd` (n,) bool.
    """

    image_ids: Array
    class_ids: Array
    boxes_xywh: Array
    areas: Array
    is_crowd: Array

    def __len__(self) -> int:
        return len(self.image_ids)


class _Annotation(msgspec.Struct, gc=False):
    image_id: Id = _ABSENT
    category_id: Id = _ABSENT
    bbox: list[float] = []
    area: float | None = None
    iscrowd: int | bool | None = 0


class _Annotations(msgspec.Struct):
    annotations: list[_Annotation]


def read_truths(dataset: AnnotatedImages, indices: Sequence[int]) -> Truths:
    """Read the truths of the images at `indices` of a data set.

    From its annotation file where that is JSON: boxes as they stand there, also those reaching over
    their image, as COCO scores them; those that the data set drops (not finite, without area,
    wholly outside the image) are no truths here either. An annotation without `area` has that of
    its box, one without `iscrowd` is none. In another format boxes and areas are the data set's.
    """
    if not dataset.annotation_file.endswith(".json"):
        return _truths_of_records(dataset, indices)
    path = Path(dataset.annotation_file)
    sizes = {}
    for index in indices:
        record = dataset[index]
        sizes[record.image_id] = (record.width or np.inf, record.height or np.inf)
    class_ids = {category_id: index for index, category_id in enumerate(dataset.category_ids)}
    annotations = [
        annotation
        for annotation in decode_annotations(path, _Annotations).annotations
        if annotation.image_id in sizes
        and annotation.category_id in class_ids
        and len(annotation.bbox) == 4
    ]
    boxes = np.array([annotation.bbox for annotation in annotations], np.float64).reshape(-1, 4)
    box_areas = boxes[:, 2] * boxes[:, 3]
    areas = np.array(
        [np.nan if annotation.area is None else annotation.area for annotation in annotations],
        np.float64,
    )
    limits = np.array([sizes[a.image_id] for a in annotations], np.float64).reshape(-1, 2)
    with np.errstate(invalid="ignore"):
        keep = np.isfinite(boxes).all(axis=1) & (boxes[:, 2:] > 0).all(axis=1)
        keep &= ((boxes[:, :2] < limits) & (boxes[:, :2] + boxes[:, 2:] > 0)).all(axis=1)
    return Truths(
        image_ids=np.array([a.image_id for a in annotations], np.int64)[keep],
        class_ids=np.array([class_ids[a.category_id] for a in annotations], np.int64)[keep],
        boxes_xywh=boxes[keep],
        areas=np.where(np.isfinite(areas), areas, box_areas)[keep],
        is_crowd=np.array([bool(a.iscrowd) for a in annotations], np.bool_)[keep],
    )


def _truths_of_records(dataset: AnnotatedImages, indices: Sequence[int]) -> Truths:
    records = [dataset[index] for index in indices]
    boxes = np.concatenate([np.zeros((0, 4)), *(record.boxes for record in records)])
    boxes_xywh = np.concatenate([boxes[:, :2], boxes[:, 2:] - boxes[:, :2]], axis=1)
    empty = np.zeros(0, np.int64)
    return Truths(
        image_ids=np.repeat(
            np.array([record.image_id for record in records], np.int64),
            np.array([len(record.boxes) for record in records], np.int64),
        ),
        class_ids=np.concatenate([empty, *(record.labels for record in records)]) - 1,
        boxes_xywh=boxes_xywh,
        areas=boxes_xywh[:, 2] * boxes_xywh[:, 3],
        is_crowd=np.concatenate([empty != 0, *(record.is_crowd for record in records)]),
    )

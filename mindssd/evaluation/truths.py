"""The truths that detections are scored against, with the areas that tell small from large."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from mindssd.evaluation.protocol import AnnotatedImages
from mindssd.types import Array


@dataclass(frozen=True, eq=False)
class Truths:
    """The annotated boxes of some images, in columns.

    `image_ids` (n,) int64; `class_ids` (n,) int64 from 0; `boxes_xywh` (n, 4) float64 in pixels;
    `areas` (n,) float64; `is_crowd` (n,) bool.
    """

    image_ids: Array
    class_ids: Array
    boxes_xywh: Array
    areas: Array
    is_crowd: Array

    def __len__(self) -> int:
        return len(self.image_ids)


def read_truths(dataset: AnnotatedImages, indices: Sequence[int]) -> Truths:
    """Collect the truths of the images at `indices` of a data set.

    Boxes as they were annotated, also those reaching over their image, as COCO scores them, and
    with COCO's areas: those of segmentations, where the annotations have them.
    """
    records = [dataset[index] for index in indices]
    counts = [len(record.labels) for record in records]
    ids = np.array([record.image_id for record in records], np.int64)
    empty = np.zeros(0, np.int64)
    return Truths(
        image_ids=np.repeat(ids, np.array(counts, np.int64)),
        class_ids=np.concatenate([empty, *(record.labels for record in records)]) - 1,
        boxes_xywh=np.concatenate([np.zeros((0, 4)), *(record.boxes_xywh for record in records)]),
        areas=np.concatenate([np.zeros(0), *(record.areas for record in records)]),
        is_crowd=np.concatenate([empty != 0, *(record.is_crowd for record in records)]),
    )

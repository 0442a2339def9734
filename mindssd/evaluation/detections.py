"""The detections of a data set's images, which devices can share."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from mindssd.errors import DatasetError, ImageError
from mindssd.evaluation.protocol import COCO, AnnotatedImages, Protocol
from mindssd.inference.predictor import Predictor
from mindssd.types import Array, Detections

Progress = Callable[[int, int], None]
"""Told (images done, images in all) after each image."""


@dataclass(frozen=True, eq=False)
class DetectionTable:
    """The detections of many images, in columns.

    `image_ids` (n,) int64; `class_ids` (n,) int32 into the data set's classes; `boxes` (n, 4)
    float32; `scores` (n,) float32. Best first in each image. `unreadable` says which images could
    not be read, and so have none; `seconds` is what reading and detecting took.
    """

    image_ids: Array
    class_ids: Array
    boxes: Array
    scores: Array
    unreadable: tuple[str, ...] = ()
    seconds: float = 0.0

    def __len__(self) -> int:
        return len(self.image_ids)

    @classmethod
    def from_detections(
        cls, image_ids: Sequence[int], detections: Sequence[Detections]
    ) -> "DetectionTable":
        """Stack the detections of each image; `class_ids` must be those of the data set."""
        counts = [len(found) for found in detections]
        return cls(
            image_ids=np.repeat(np.array(image_ids, np.int64), np.array(counts, np.int64)),
            class_ids=np.concatenate(
                [np.zeros(0, np.int32), *(found.class_ids for found in detections)]
            ),
            boxes=np.concatenate(
                [np.zeros((0, 4), np.float32), *(found.boxes for found in detections)]
            ),
            scores=np.concatenate(
                [np.zeros(0, np.float32), *(found.scores for found in detections)]
            ),
        )

    @classmethod
    def merge(cls, parts: Sequence["DetectionTable"]) -> "DetectionTable":
        """Join what several devices found, each in its own images; the slowest gives the time."""
        return cls(
            image_ids=np.concatenate([part.image_ids for part in parts]),
            class_ids=np.concatenate([part.class_ids for part in parts]),
            boxes=np.concatenate([part.boxes for part in parts]),
            scores=np.concatenate([part.scores for part in parts]),
            unreadable=tuple(name for part in parts for name in part.unreadable),
            seconds=max(part.seconds for part in parts),
        )


def detect_images(
    predictor: Predictor,
    dataset: AnnotatedImages,
    indices: Sequence[int],
    protocol: Protocol = COCO,
    progress: Progress | None = None,
) -> DetectionTable:
    """Detect in the images at `indices` of a data set: the part that devices can share.

    Classes are the same by name; those that the data set lacks are not detected, for they can be
    neither right nor wrong. DatasetError where it has none of the detector's.
    """
    class_ids = _class_ids(predictor.class_names, dataset)
    chosen = predictor.postprocess.class_ids
    if (class_ids < 0).any():
        known = np.flatnonzero(class_ids >= 0).tolist()
        chosen = tuple(i for i in known if chosen is None or i in chosen)
    postprocess = replace(predictor.postprocess, selection=protocol.selection, class_ids=chosen)
    predictor = replace(predictor, postprocess=postprocess)
    image_ids: list[int] = []
    detections: list[Detections] = []
    unreadable: list[str] = []
    predictor.warm_up()
    start = time.perf_counter()
    results = predictor.stream(dataset[index] for index in indices)
    for done, (index, result) in enumerate(zip(indices, results, strict=True), start=1):
        if isinstance(result, ImageError):
            unreadable.append(str(result))
        else:
            image_ids.append(dataset[index].image_id)
            renamed = class_ids[result.class_ids]
            detections.append(replace(result, class_ids=renamed, class_names=dataset.class_names))
        if progress is not None:
            progress(done, len(indices))
    seconds = time.perf_counter() - start
    table = DetectionTable.from_detections(image_ids, detections)
    return replace(table, unreadable=tuple(unreadable), seconds=seconds)


def _class_ids(class_names: tuple[str, ...], dataset: AnnotatedImages) -> Array:
    """The data set's class id for each class of a detector, (C,) int32, -1 where it has none."""
    if class_names == dataset.class_names:
        return np.arange(len(class_names), dtype=np.int32)
    places = {name: index for index, name in enumerate(dataset.class_names)}
    class_ids = np.array([places.get(name, -1) for name in class_names], np.int32)
    if (class_ids < 0).all():
        raise DatasetError(
            f"{dataset.annotation_file}: has none of the model's classes "
            f"({_some(class_names)}), only {_some(dataset.class_names)}"
        )
    return class_ids


def _some(names: Sequence[str]) -> str:
    return ", ".join(names[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "")

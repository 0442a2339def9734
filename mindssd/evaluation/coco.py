"""COCO's twelve numbers, and each class's, computed by faster-coco-eval (C++).

Equal to pycocotools'. What has no truths has no AP: that is None here, where pycocotools says -1,
and does not count in a mean. No detections at all give AP 0.
"""

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np

from mindssd.errors import DatasetError, ImageError
from mindssd.evaluation.protocol import (
    COCO,
    MINDCV,
    PROTOCOLS,
    AnnotatedImages,
    Protocol,
    chosen_images,
)
from mindssd.evaluation.truths import Truths, read_truths
from mindssd.predictor import Predictor
from mindssd.types import Array, Detections

__all__ = [
    "COCO",
    "MINDCV",
    "PROTOCOLS",
    "AnnotatedImages",
    "ClassResult",
    "DetectionTable",
    "Evaluation",
    "Progress",
    "Protocol",
    "chosen_images",
    "detect_images",
    "evaluate",
    "score",
]

Progress = Callable[[int, int], None]
"""Told (images done, images in all) after each image."""

ANNOTATIONS_AT_ONCE = 50_000
"""faster-coco-eval takes a Python dict for each box, so classes are scored a few at a time: their
numbers do not depend on each other, and 500,000 boxes of val2017 need not be dicts at once."""

_AREAS = {"all": 0, "small": 1, "medium": 2, "large": 3}
_MAX_DETECTIONS = (1, 10, 100)
_AP50, _AP75 = 0, 5  # places of IoU 0.50 and 0.75 in 0.50, 0.55, … 0.95


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


@dataclass(frozen=True)
class ClassResult:
    """One class's numbers, over all sizes and at 100 detections; None where it has no truths."""

    name: str
    num_truths: int
    ap: float | None
    ap50: float | None
    ar100: float | None


@dataclass(frozen=True)
class Evaluation:
    """A detector's figures on a data set, with all that they depend on.

    AP and AR as COCO defines them: means over IoU 0.50 to 0.95 unless a number says otherwise, over
    the classes that have truths; small is an area below 32², large above 96². None where there are
    no truths.
    """

    ap: float | None
    ap50: float | None
    ap75: float | None
    ap_small: float | None
    ap_medium: float | None
    ap_large: float | None
    ar1: float | None
    ar10: float | None
    ar100: float | None
    ar_small: float | None
    ar_medium: float | None
    ar_large: float | None
    per_class: tuple[ClassResult, ...]
    protocol: Protocol
    num_images: int
    num_truths: int
    num_crowds: int
    num_detections: int
    seconds: float
    unreadable: tuple[str, ...] = ()

    @property
    def images_per_second(self) -> float | None:
        """Images read and detected in a second; None where that was not timed."""
        return self.num_images / self.seconds if self.seconds > 0 else None

    def twelve_numbers(self) -> dict[str, float | None]:
        """COCO's twelve, in its order, under its names."""
        return {
            "AP": self.ap,
            "AP50": self.ap50,
            "AP75": self.ap75,
            "APs": self.ap_small,
            "APm": self.ap_medium,
            "APl": self.ap_large,
            "AR1": self.ar1,
            "AR10": self.ar10,
            "AR100": self.ar100,
            "ARs": self.ar_small,
            "ARm": self.ar_medium,
            "ARl": self.ar_large,
        }

    def as_dict(self) -> dict[str, Any]:
        """Everything in plain JSON types; what is undefined is null, never NaN."""
        return {
            **self.twelve_numbers(),
            "per_class": [asdict(result) for result in self.per_class],
            "protocol": self.protocol.as_dict(),
            "num_images": self.num_images,
            "num_truths": self.num_truths,
            "num_crowds": self.num_crowds,
            "num_detections": self.num_detections,
            "seconds": self.seconds,
            "images_per_second": self.images_per_second,
            "unreadable": list(self.unreadable),
        }


def evaluate(
    predictor: Predictor,
    dataset: AnnotatedImages,
    protocol: Protocol = COCO,
    progress: Progress | None = None,
) -> Evaluation:
    """Detect in the images that a protocol scores, and score what was found.

    The protocol's selection replaces the predictor's; classes that the predictor was told to leave
    out stay so. An image that cannot be read has no detections; its truths count as missed.
    """
    indices = chosen_images(dataset, protocol)
    table = detect_images(predictor, dataset, indices, protocol, progress)
    return score(table, dataset, indices, protocol)


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


def score(
    table: DetectionTable,
    dataset: AnnotatedImages,
    indices: Sequence[int],
    protocol: Protocol = COCO,
) -> Evaluation:
    """Score detections in the images at `indices` of a data set against its truths.

    Detections in other images do not count. `protocol` is only noted: it was applied before.
    """
    image_ids = np.unique(np.array([dataset[index].image_id for index in indices], np.int64))
    truths = read_truths(dataset, indices)
    num_classes = len(dataset.class_names)
    precision, recall = _precision_and_recall(table, truths, image_ids, num_classes)
    num_truths = np.bincount(truths.class_ids[~truths.is_crowd], minlength=num_classes)
    per_class = tuple(
        ClassResult(
            name=name,
            num_truths=int(num_truths[index]),
            ap=_mean(precision[:, index, 0]),
            ap50=_mean(precision[_AP50, index, 0]),
            ar100=_mean(recall[:, index, 0, 2]),
        )
        for index, name in enumerate(dataset.class_names)
    )
    return Evaluation(
        ap=_mean(precision[:, :, 0]),
        ap50=_mean(precision[_AP50, :, 0]),
        ap75=_mean(precision[_AP75, :, 0]),
        ap_small=_mean(precision[:, :, _AREAS["small"]]),
        ap_medium=_mean(precision[:, :, _AREAS["medium"]]),
        ap_large=_mean(precision[:, :, _AREAS["large"]]),
        ar1=_mean(recall[:, :, 0, 0]),
        ar10=_mean(recall[:, :, 0, 1]),
        ar100=_mean(recall[:, :, 0, 2]),
        ar_small=_mean(recall[:, :, _AREAS["small"], 2]),
        ar_medium=_mean(recall[:, :, _AREAS["medium"], 2]),
        ar_large=_mean(recall[:, :, _AREAS["large"], 2]),
        per_class=per_class,
        protocol=protocol,
        num_images=len(indices),
        num_truths=int(num_truths.sum()),
        num_crowds=int(np.count_nonzero(truths.is_crowd)),
        num_detections=int(np.isin(table.image_ids, image_ids).sum()),
        seconds=table.seconds,
        unreadable=table.unreadable,
    )


def _class_ids(class_names: tuple[str, ...], dataset: AnnotatedImages) -> Array:
    """Give the data set's class for each of a detector's, (C,) int32, -1 where it has none."""
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


def _mean(values: Array) -> float | None:
    """Average what is defined, that is not -1; None where nothing is."""
    defined = values[values > -1]
    return float(defined.mean()) if defined.size else None


def _precision_and_recall(
    table: DetectionTable, truths: Truths, image_ids: Array, num_classes: int
) -> tuple[Array, Array]:
    """Match and accumulate, for T = 10 IoU thresholds, C classes, 4 sizes and 3 limits.

    Precision (T, C, 4) at 100 detections of a class and image, averaged over the recalls 0 to 1;
    recall (T, C, 4, 3); -1 where there are no truths.
    """
    precision = np.full((10, num_classes, len(_AREAS)), -1.0)
    recall = np.full((10, num_classes, len(_AREAS), len(_MAX_DETECTIONS)), -1.0)
    scored = np.isin(table.image_ids, image_ids)
    # Places among the sorted ids stand for image ids: COCO breaks ties of score by their order.
    truth_images = np.searchsorted(image_ids, truths.image_ids)
    found_images = np.where(scored, np.searchsorted(image_ids, table.image_ids), -1)
    num_truths = np.bincount(truths.class_ids, minlength=num_classes)
    num_found = np.bincount(table.class_ids[scored], minlength=num_classes)
    for classes in _groups(num_truths + num_found, np.flatnonzero(num_truths)):
        truth_rows = np.flatnonzero(np.isin(truths.class_ids, classes))
        found_rows = np.flatnonzero(np.isin(table.class_ids, classes) & scored)
        found_xywh = table.boxes[found_rows].astype(np.float64)
        found_xywh[:, 2:] -= found_xywh[:, :2]
        precision[:, classes], recall[:, classes] = _evaluate_classes(
            _annotations(
                truth_images[truth_rows],
                truths.class_ids[truth_rows],
                truths.boxes_xywh[truth_rows],
                areas=truths.areas[truth_rows],
                is_crowd=truths.is_crowd[truth_rows],
            ),
            _annotations(
                found_images[found_rows],
                table.class_ids[found_rows],
                found_xywh,
                areas=found_xywh[:, 2] * found_xywh[:, 3],
                scores=table.scores[found_rows],
            ),
            classes,
        )
    return precision, recall


def _groups(num_boxes: Array, classes: Iterable[int]) -> Iterator[list[int]]:
    """Put classes together while they have at most ANNOTATIONS_AT_ONCE boxes, or are one."""
    group: list[int] = []
    total = 0
    for class_id in classes:
        if group and total + num_boxes[class_id] > ANNOTATIONS_AT_ONCE:
            yield group
            group, total = [], 0
        group.append(int(class_id))
        total += int(num_boxes[class_id])
    if group:
        yield group


def _annotations(
    image_ids: Array,
    class_ids: Array,
    boxes_xywh: Array,
    areas: Array,
    is_crowd: Array | None = None,
    scores: Array | None = None,
) -> list[dict[str, Any]]:
    """Make the dicts that faster-coco-eval takes; ids from 1, for 0 would mean unmatched."""
    crowds = np.zeros(len(image_ids), np.int64) if is_crowd is None else is_crowd.astype(np.int64)
    columns = zip(
        image_ids.tolist(),
        class_ids.tolist(),
        boxes_xywh.tolist(),
        areas.tolist(),
        crowds.tolist(),
        strict=True,
    )
    annotations: list[dict[str, Any]] = [
        {"id": number, "image_id": i, "category_id": c, "bbox": b, "area": a, "iscrowd": k}
        for number, (i, c, b, a, k) in enumerate(columns, start=1)
    ]
    if scores is not None:
        for annotation, value in zip(annotations, scores.tolist(), strict=True):
            annotation["score"] = value
    return annotations


def _evaluate_classes(
    truths: list[dict[str, Any]], found: list[dict[str, Any]], classes: list[int]
) -> tuple[Array, Array]:
    """Let faster-coco-eval score some classes; the shapes of `_precision_and_recall`."""
    from faster_coco_eval import COCO as Annotations  # noqa: N811 (COCO is a protocol here)
    from faster_coco_eval import COCOeval_faster

    # An image with neither truths nor detections of these classes changes nothing.
    image_ids = sorted({annotation["image_id"] for annotation in (*truths, *found)})
    images = [{"id": image_id} for image_id in image_ids]
    categories = [{"id": class_id} for class_id in classes]
    evaluator = COCOeval_faster(
        Annotations({"images": images, "annotations": truths, "categories": categories}),
        Annotations({"images": images, "annotations": found, "categories": categories}),
        iouType="bbox",
    )
    evaluator.params.maxDets = list(_MAX_DETECTIONS)
    evaluator.evaluate()
    evaluator.accumulate()
    precision = np.asarray(evaluator.eval["precision"])  # (T, R, C, 4, 3)
    recall = np.asarray(evaluator.eval["recall"])  # (T, C, 4, 3)
    return precision[..., -1].mean(axis=1), recall

"""COCO's twelve numbers, and each class's, computed by faster-coco-eval (C++).

Equal to pycocotools'. What has no truths has no AP: that is None here, where pycocotools says -1,
and does not count in a mean. No detections at all give AP 0.
"""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy as np

from mindssd.evaluation.detections import DetectionTable, Progress, detect_images
from mindssd.evaluation.protocol import COCO, AnnotatedImages, Protocol, chosen_images
from mindssd.evaluation.scores import ClassResult, Evaluation
from mindssd.evaluation.truths import Truths, read_truths
from mindssd.inference.predictor import Predictor
from mindssd.types import Array

ANNOTATIONS_AT_ONCE = 50_000
"""faster-coco-eval takes a Python dict for each box, so classes are scored a few at a time: their
numbers do not depend on each other, and 500,000 boxes of val2017 need not be dicts at once."""

_AREAS = {"all": 0, "small": 1, "medium": 2, "large": 3}
_MAX_DETECTIONS = (1, 10, 100)

_AP50, _AP75 = 0, 5  # places of IoU 0.50 and 0.75 in 0.50, 0.55, … 0.95


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

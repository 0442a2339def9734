"""Truths and detections for tests: written by hand, or drawn at random with every kind of error."""

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from mindssd.evaluation.detections import DetectionTable
from mindssd.evaluation.truths import Truths

Box = tuple[float, float, float, float]
Found = tuple[int, int, Box, float]
"""Image id, class from 0, (x1, y1, x2, y2), score."""
Truth = tuple[int, int, Box]
"""Image id, class from 0, (x1, y1, x2, y2)."""


def table_of(found: Sequence[Found]) -> DetectionTable:
    return DetectionTable(
        image_ids=np.array([image_id for image_id, _, _, _ in found], np.int64),
        class_ids=np.array([class_id for _, class_id, _, _ in found], np.int32),
        boxes=np.array([corners for _, _, corners, _ in found], np.float32).reshape(-1, 4),
        scores=np.array([value for _, _, _, value in found], np.float32),
    )


def truths_of(truths: Sequence[Truth], crowds: Sequence[int] = ()) -> Truths:
    """`crowds`: the rows that are crowds."""
    boxes = np.array([corners for _, _, corners in truths], np.float64).reshape(-1, 4)
    boxes[:, 2:] -= boxes[:, :2]
    return Truths(
        image_ids=np.array([image_id for image_id, _, _ in truths], np.int64),
        class_ids=np.array([class_id for _, class_id, _ in truths], np.int64),
        boxes_xywh=boxes,
        areas=boxes[:, 2] * boxes[:, 3],
        is_crowd=np.isin(np.arange(len(truths)), crowds),
    )


def drawn(
    seed: int, num_images: int, num_classes: int, crowd_share: float = 0.1, ties: bool = True
) -> tuple[DetectionTable, Truths]:
    """Draw truths in whole pixels, and detections right, shifted, of other classes, twice, stray.

    The images are 1, 3, 5, …; the last class has no truths, if there is another. With `ties` half
    of the scores are of ten values and some boxes stand twice.
    """
    rng = np.random.default_rng(seed)
    truths: list[Truth] = []
    found: list[Found] = []
    for image_id in range(1, 2 * num_images, 2):
        for _ in range(int(rng.integers(0, 8))):
            class_id = int(rng.integers(max(1, num_classes - 1)))
            x, y = (float(value) for value in rng.integers(0, 60, 2))
            width, height = (float(value) for value in rng.integers(4, 40, 2))
            corners = (x, y, x + width, y + height)
            truths.append((image_id, class_id, corners))
            for _ in range(int(rng.integers(0, 4))):
                shift = rng.integers(-3, 4, 4) * rng.integers(0, 4)
                x1, y1, x2, y2 = (float(value) for value in corners + shift)
                guess = class_id if rng.random() < 0.7 else int(rng.integers(num_classes))
                score = float(rng.random())
                if ties and rng.random() < 0.5:
                    score = max(0.1, round(score, 1))
                box = (x1, y1, max(x2, x1 + 1), max(y2, y1 + 1))
                found.extend([(image_id, guess, box, score)] * (1 + (ties and rng.random() < 0.1)))
        for _ in range(int(rng.integers(0, 3))):
            x, y = (float(value) for value in rng.integers(0, 100, 2))
            stray = (x, y, x + 10, y + 10)
            found.append((image_id, int(rng.integers(num_classes)), stray, float(rng.random() / 2)))
    crowds = np.flatnonzero(rng.random(len(truths)) < crowd_share)
    return table_of(found), truths_of(truths, crowds.tolist())


def as_coco(
    table: DetectionTable, truths: Truths, image_ids: Iterable[int], num_classes: int
) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """COCO's annotations and results of the same; every id is a row, or a class, plus 1."""
    annotations = [
        {
            "id": row + 1,
            "image_id": int(truths.image_ids[row]),
            "category_id": int(truths.class_ids[row]) + 1,
            "bbox": truths.boxes_xywh[row].tolist(),
            "area": float(truths.areas[row]),
            "iscrowd": int(truths.is_crowd[row]),
        }
        for row in range(len(truths))
    ]
    xywh = table.boxes.astype(np.float64)
    xywh[:, 2:] -= xywh[:, :2]
    results = [
        {
            "id": row + 1,
            "image_id": int(table.image_ids[row]),
            "category_id": int(table.class_ids[row]) + 1,
            "bbox": xywh[row].tolist(),
            "area": float(xywh[row, 2] * xywh[row, 3]),
            "score": float(table.scores[row]),
        }
        for row in range(len(table))
    ]
    contents = {
        "images": [{"id": image_id} for image_id in image_ids],
        "annotations": annotations,
        "categories": [{"id": number + 1, "name": str(number)} for number in range(num_classes)],
    }
    return contents, results

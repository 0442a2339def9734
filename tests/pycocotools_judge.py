"""What pycocotools says of the same truths and detections."""

import contextlib
import io
from typing import Any

import numpy as np
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from mindssd.evaluation.detections import DetectionTable
from mindssd.evaluation.truths import Truths


def judge(
    table: DetectionTable, truths: Truths, image_ids: list[int], num_classes: int
) -> COCOeval:
    """Evaluate and accumulate; ids of truths and detections are their rows plus 1."""
    annotations: list[dict[str, Any]] = [
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
    categories = [{"id": number + 1, "name": str(number)} for number in range(num_classes)]
    images = [{"id": image_id} for image_id in image_ids]
    with contextlib.redirect_stdout(io.StringIO()):
        sides = []
        for rows in (annotations, results):
            side = COCO()
            side.dataset = {"images": images, "annotations": rows, "categories": categories}
            side.createIndex()
            sides.append(side)
        evaluator = COCOeval(sides[0], sides[1], "bbox")
        evaluator.evaluate()
        evaluator.accumulate()
    return evaluator

"""What pycocotools says of the same truths and detections."""

import contextlib
import io

from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from mindssd.evaluation.detections import DetectionTable
from mindssd.evaluation.truths import Truths
from tests.drawn_detections import as_coco


def judge(
    table: DetectionTable, truths: Truths, image_ids: list[int], num_classes: int
) -> COCOeval:
    """Evaluate and accumulate; ids of truths and detections are their rows plus 1."""
    contents, results = as_coco(table, truths, image_ids, num_classes)
    with contextlib.redirect_stdout(io.StringIO()):
        sides = []
        for annotations in (contents["annotations"], results):
            side = COCO()
            side.dataset = {**contents, "annotations": annotations}
            side.createIndex()
            sides.append(side)
        evaluator = COCOeval(sides[0], sides[1], "bbox")
        evaluator.evaluate()
        evaluator.accumulate()
    return evaluator

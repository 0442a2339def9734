"""Every object and every detection of an evaluation as CSV, with what became of it."""

import csv
import io
from collections.abc import Iterable

import numpy as np

from mindssd.evaluation.decomposition import KINDS
from mindssd.explain.examples import corners, name_of
from mindssd.explain.measured import IOU, Measured

BOX = ("x1", "y1", "x2", "y2")


def objects_csv(measured: Measured) -> str:
    """A row for each truth: found, missed, or crowd, at IoU 0.50 and the page's threshold.

    `score` is that of the detection that found it; `best_iou` the default boxes', where known.
    """
    result = measured.outcomes
    detection_of = result.detection_of[result.at(IOU)]
    boxes = corners(result.truths.boxes_xywh)
    rows = []
    for row, (image, class_id) in enumerate(
        zip(result.truth_images.tolist(), result.truths.class_ids.tolist(), strict=True)
    ):
        outcome = "found" if measured.found[row] else "missed"
        if result.truths.is_crowd[row]:
            outcome = "crowd"
        detection, best = int(detection_of[row]), float(measured.best_iou[row])
        score = f"{result.table.scores[detection]:.6f}" if outcome == "found" else ""
        rows.append(
            [
                name_of(measured, image),
                measured.class_names[class_id],
                *(f"{value:.3f}" for value in boxes[row].tolist()),
                score,
                outcome,
                "" if np.isnan(best) else f"{best:.4f}",
            ]
        )
    return _written(["image", "class", *BOX, "score", "outcome", "best_iou"], rows)


def detections_csv(measured: Measured) -> str:
    """A row for each detection that counts, best first, at IoU 0.50: right, crowd, or a kind.

    The kinds of error are TIDE's: Cls, Loc, Both, Dupe and Bkg.
    """
    result = measured.outcomes
    at = result.at(IOU)
    right, ignored = result.right[at], result.ignored[at]
    rows = []
    for row, (image, class_id) in enumerate(
        zip(result.detection_images.tolist(), result.table.class_ids.tolist(), strict=True)
    ):
        if right[row]:
            outcome = "right"
        else:
            outcome = "crowd" if ignored[row] else KINDS[int(measured.errors.kind_of[row])]
        rows.append(
            [
                name_of(measured, image),
                measured.class_names[class_id],
                *(f"{value:.3f}" for value in result.table.boxes[row].tolist()),
                f"{result.table.scores[row]:.6f}",
                outcome,
            ]
        )
    return _written(["image", "class", *BOX, "score", "outcome"], rows)


def _written(headings: list[str], rows: Iterable[list[str]]) -> str:
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(headings)
    writer.writerows(rows)
    return file.getvalue()

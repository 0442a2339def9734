"""Which images and objects of a report are shown: the worst, by stated rules."""

from collections import Counter
from dataclasses import dataclass

import numpy as np

from mindssd.drawing.colours import Colour
from mindssd.drawing.visualize import Mark
from mindssd.evaluation.decomposition import BKG, BOTH, CLS, DUPE, LOC
from mindssd.explain.measured import Measured
from mindssd.types import Array

IMAGES, WRONG, MISSED, PAIRS, OF_A_PAIR = 12, 24, 24, 8, 4
"""So many are shown of each."""

TRUTH: Colour = (96, 178, 255)
RIGHT: Colour = (70, 200, 150)
WRONG_COLOUR: Colour = (255, 150, 60)
"""Light blue, green and orange: told apart without red or green too, and truths by their dashes."""

FEW_LABELS = 14
"""An image with more boxes has words at those alone that are wrong or missed."""

_WHAT = {
    LOC: "badly placed",
    BOTH: "another class, and badly placed",
    DUPE: "found twice",
    BKG: "nothing there",
}


@dataclass(frozen=True, eq=False)
class Example:
    """What is shown: an image by its place among the scored ones, whole or around a box (4,).

    `detection` and `truth` are the rows that it is about, -1 for none.
    """

    image: int
    words: str
    around: Array | None = None
    detection: int = -1
    truth: int = -1


def corners(boxes_xywh: Array) -> Array:
    """(x, y, width, height) to (x1, y1, x2, y2): (n, 4) both."""
    return np.concatenate([boxes_xywh[:, :2], boxes_xywh[:, :2] + boxes_xywh[:, 2:]], axis=1)


def worst_images(measured: Measured) -> list[Example]:
    """Those with the lowest F1 at the threshold, of equal ones those with the most errors."""
    num_images = len(measured.outcomes.image_ids)
    right, wrong = measured.right, measured.wrong
    images = measured.outcomes.detection_images
    num_right = np.bincount(images[right], minlength=num_images)
    num_wrong = np.bincount(images[wrong], minlength=num_images)
    num_missed = np.bincount(measured.outcomes.truth_images[measured.missed], minlength=num_images)
    errors = num_wrong + num_missed
    f1 = 2 * num_right / np.maximum(2 * num_right + errors, 1)
    order = np.lexsort((-errors, f1))
    chosen = [image for image in order.tolist() if errors[image]][:IMAGES]
    return [
        Example(
            image,
            f"{num_right[image]} right, {num_wrong[image]} wrong, {num_missed[image]} missed: "
            f"{name_of(measured, image)}",
        )
        for image in chosen
    ]


def confident_wrong(measured: Measured) -> list[Example]:
    """The wrong detections of the highest scores."""
    return [
        _wrong_example(measured, row) for row in np.flatnonzero(measured.wrong)[:WRONG].tolist()
    ]


def missed_objects(measured: Measured) -> list[Example]:
    """The largest missed truths, one of each class in turn."""
    truths = measured.outcomes.truths
    rows = np.flatnonzero(measured.missed)
    areas = truths.boxes_xywh[rows, 2] * truths.boxes_xywh[rows, 3]
    rows = rows[np.argsort(-areas, kind="stable")]
    turns = np.zeros(len(rows), np.int64)
    seen: Counter[int] = Counter()
    for place, class_id in enumerate(truths.class_ids[rows].tolist()):
        turns[place] = seen[class_id]
        seen[class_id] += 1
    rows = rows[np.argsort(turns, kind="stable")][:MISSED]
    return [_missed_example(measured, row) for row in rows.tolist()]


def confused_pairs(measured: Measured) -> list[tuple[str, str, int, list[Example]]]:
    """The pairs of classes most often confused: truth, detected as, how often, and some of them."""
    names, found = measured.class_names, measured.confusion
    counts = found.counts[:-1, :-1].copy()
    np.fill_diagonal(counts, 0)
    pairs = []
    truth_classes = np.append(measured.outcomes.truths.class_ids, -1)[found.truth_of]
    for place in np.argsort(-counts, axis=None, kind="stable")[:PAIRS].tolist():
        truth, taken = divmod(place, len(names))
        if not counts[truth, taken]:
            break
        rows = np.flatnonzero(
            (found.truth_of >= 0)
            & (truth_classes == truth)
            & (measured.outcomes.table.class_ids == taken)
        )
        shown = [
            _example(
                measured,
                f"{names[truth]} detected as {_found(measured, row)}",
                row,
                int(found.truth_of[row]),
            )
            for row in rows[:OF_A_PAIR].tolist()
        ]
        pairs.append((names[truth], names[taken], int(counts[truth, taken]), shown))
    return pairs


def marks(measured: Measured, example: Example) -> list[Mark]:
    """What is drawn on the image of an example, what it is about first.

    Truths in light blue dashes, detections above the threshold in solid green where right and in
    orange where wrong. Around a box, only what reaches into it.
    """
    result = measured.outcomes
    right, wrong = measured.right, measured.wrong
    truths = np.flatnonzero((result.truth_images == example.image) & ~result.truths.is_crowd)
    shown = (right | wrong) & (result.detection_images == example.image)
    if example.detection >= 0:
        shown[example.detection] = True
    rows = np.flatnonzero(shown)
    is_full = len(truths) + len(rows) > FEW_LABELS or example.around is not None
    boxes = corners(result.truths.boxes_xywh)
    drawn: list[tuple[int, Mark]] = []
    for row in rows.tolist():
        is_subject = row == example.detection
        named = is_subject or not is_full or (example.around is None and wrong[row])
        words = _found(measured, row) if named else ""
        colour = RIGHT if right[row] else WRONG_COLOUR
        drawn.append((0 if is_subject else 2, Mark(result.table.boxes[row], words, colour)))
    for row in truths.tolist():
        is_subject = row == example.truth
        is_missed = bool(measured.missed[row])
        named = is_subject or (example.around is None and is_missed)
        words = measured.class_names[int(result.truths.class_ids[row])] if named else ""
        drawn.append((1 if is_subject else 3, Mark(boxes[row], words, TRUTH, is_dashed=True)))
    ordered = [mark for _, mark in sorted(drawn, key=lambda entry: entry[0])]
    if example.around is None:
        return ordered
    x1, y1, x2, y2 = example.around
    return [
        mark
        for mark in ordered
        if mark.box[0] < x2 and mark.box[1] < y2 and mark.box[2] > x1 and mark.box[3] > y1
    ]


def name_of(measured: Measured, image: int) -> str:
    """The file name of a scored image."""
    return measured.detected.dataset.file_names[int(measured.places[image])]


def _found(measured: Measured, row: int) -> str:
    table = measured.outcomes.table
    return f"{measured.class_names[int(table.class_ids[row])]} {table.scores[row]:.2f}"


def _wrong_example(measured: Measured, row: int) -> Example:
    kind, truth = int(measured.errors.kind_of[row]), int(measured.errors.truth_near[row])
    what = _WHAT.get(kind, "")
    if kind == CLS:
        what = f"in truth {measured.class_names[int(measured.outcomes.truths.class_ids[truth])]}"
    return _example(measured, f"{_found(measured, row)}, {what}", row, truth)


def _missed_example(measured: Measured, row: int) -> Example:
    class_name = measured.class_names[int(measured.outcomes.truths.class_ids[row])]
    best = float(measured.best_iou[row])
    reached = ""
    if not np.isnan(best):
        can = "cannot" if measured.unreachable[row] else "could"
        reached = f"; a default box {can} reach it (IoU {best:.2f})"
    return _example(measured, f"{class_name}, missed{reached}", -1, row)


def _example(measured: Measured, words: str, detection: int, truth: int) -> Example:
    result = measured.outcomes
    boxes = [result.table.boxes[[detection]]] if detection >= 0 else []
    boxes += [corners(result.truths.boxes_xywh[[truth]])] if truth >= 0 else []
    joined = np.concatenate(boxes)
    around = np.concatenate([joined[:, :2].min(axis=0), joined[:, 2:].max(axis=0)])
    images = result.detection_images if detection >= 0 else result.truth_images
    image = int(images[detection if detection >= 0 else truth])
    return Example(image, f"{words}: {name_of(measured, image)}", around, detection, truth)

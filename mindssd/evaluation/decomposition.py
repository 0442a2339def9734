"""Where the missing AP went: six kinds of error, each by the AP that mending it would give.

TIDE, arXiv:2008.08115, as its authors' `tidecv` 1.0.1 computes it, whose figures these equal. Two
things are COCO's here instead: a class without truths has no part in the mean (there its AP is 0
where something is detected of it), and 100 detections of each class count in an image (there of all
classes together).
"""

from dataclasses import dataclass

import numpy as np

from mindssd.evaluation.curves import envelope_at_recalls
from mindssd.evaluation.outcomes import Outcomes
from mindssd.evaluation.overlaps import Overlaps, overlaps
from mindssd.types import Array

KINDS = ("Cls", "Loc", "Both", "Dupe", "Bkg", "Miss")
"""Of a wrong detection the first five, in places 0 to 4; the sixth is a truth's."""

CLS, LOC, BOTH, DUPE, BKG = range(5)

_POINTS: Array = np.arange(101) / 100
"""tidecv's recalls. Where a recall is reached to the last bit, 0.35 say, pycocotools' `linspace`
lies just above."""


@dataclass(frozen=True, eq=False)
class Decomposition:
    """What each kind of error costs, and which detections and truths it is.

    Cls: of another class, but placed well (IoU >= foreground). Loc: of the right class, but placed
    badly (IoU from background to foreground). Both: of another class and placed badly. Dupe: on a
    truth that a better detection has. Bkg: on nothing (IoU <= background). Miss: a truth that no
    detection found, nor a Cls or Loc error would find if it were mended.

    `ap` is the mean AP at the foreground IoU, of the classes with truths. `losses` is what it would
    gain if a kind alone were mended: Cls and Loc by making right the best such detection of a truth
    and dropping the others, Both, Dupe and Bkg by dropping them, Miss by counting the truth no
    more; a gain below 0 counts as 0. They do not add up to 1 - `ap`. `false_positives` is the gain
    if all wrong detections ranked last, `false_negatives` if no truth that was not found counted.
    All are fractions of 1; None without truths.

    `kind_of` (n,) int8 is the kind of each wrong detection, -1 of the others. `truth_near` (n,)
    int32 is the truth that a Cls, Loc or Dupe error has to do with, -1 otherwise. `missed` (m,)
    bool. `counts` are the detections, or truths, of each kind.
    """

    ap: float | None
    losses: dict[str, float | None]
    false_positives: float | None
    false_negatives: float | None
    counts: dict[str, int]
    kind_of: Array
    truth_near: Array
    missed: Array


@dataclass(frozen=True, eq=False)
class _Points:
    """What AP is made of: each detection's class, -1 if it does not count, and the truths."""

    class_ids: Array  # (n,)
    right: Array  # (n,) bool
    num_truths: Array  # (C,)


def decompose(
    outcomes: Outcomes, foreground: float = 0.5, background: float = 0.1
) -> Decomposition:
    """Tell the errors apart, and what AP would be without each kind.

    `foreground` must be among the outcomes' thresholds. Detections that a crowd holds are neither
    right nor wrong, but may become right by mending, as in tidecv. No truths: all is None, and
    every detection Bkg. No detections: every truth is missed, and Miss is all that there is to
    gain.
    """
    at = outcomes.at(foreground)
    right = (outcomes.truth_of[at] >= 0) & ~outcomes.ignored[at]
    ignored = outcomes.ignored[at]
    unfound = (outcomes.detection_of[at] < 0) & ~outcomes.truths.is_crowd
    kinds, near = _kinds(outcomes, at, foreground, background)
    kinds[right], near[right] = -1, -1

    claims = np.flatnonzero(np.isin(kinds, (CLS, LOC)))
    claims = claims[unfound[near[claims]]]
    mended = claims[np.unique(near[claims], return_index=True)[1]]  # rows rise: each truth's best
    missed = unfound.copy()
    missed[near[claims]] = False

    class_ids = np.where(ignored, -1, outcomes.table.class_ids.astype(np.int64))
    base = _Points(class_ids, right, outcomes.num_truths)
    ap = _mean_ap(base, base.num_truths > 0)

    def gain(points: _Points) -> float | None:
        if ap is None:
            return None
        mended_ap = _mean_ap(points, base.num_truths > 0)
        return (1.0 if mended_ap is None else mended_ap) - ap

    losses = {
        name: gain(_mend(base, kinds == kind, mended, outcomes.truths.class_ids[near[mended]]))
        for kind, name in enumerate(KINDS[:5])
    }
    losses["Miss"] = gain(_without_truths(base, outcomes.truths.class_ids[missed]))
    only_right = _Points(np.where(right, class_ids, -1), right, base.num_truths)
    kinds[ignored], near[ignored] = -1, -1
    counts = np.bincount(kinds[kinds >= 0], minlength=5).tolist()
    return Decomposition(
        ap=ap,
        losses={name: None if loss is None else max(loss, 0.0) for name, loss in losses.items()},
        false_positives=gain(only_right),
        false_negatives=gain(_without_truths(base, outcomes.truths.class_ids[unfound])),
        counts=dict(zip(KINDS, [*counts, int(missed.sum())], strict=True)),
        kind_of=kinds,
        truth_near=near,
        missed=missed,
    )


def _kinds(
    outcomes: Outcomes, at: int, foreground: float, background: float
) -> tuple[Array, Array]:
    """The kind that each detection has if it is wrong, (n,) int8, and the truth near it, (n,)."""
    truths = outcomes.truths
    pairs = overlaps(
        outcomes.table,
        truths,
        outcomes.detection_images,
        np.where(truths.is_crowd, -1, outcomes.truth_images),  # a crowd is no truth to be near to
        least_iou=background,
    )
    same = outcomes.table.class_ids[pairs.detections] == truths.class_ids[pairs.truths]
    used = outcomes.detection_of[at, pairs.truths] >= 0
    num = len(outcomes.table)
    same_iou, same_truth = _best(pairs, same, num)
    other_iou, other_truth = _best(pairs, ~same, num)
    used_iou, used_truth = _best(pairs, same & used, num)
    is_loc = (same_iou >= background) & (same_iou <= foreground)
    is_cls = other_iou >= foreground
    is_dupe = used_iou >= foreground
    is_background = np.maximum(same_iou, other_iou) <= background
    tests = [is_loc, is_cls, is_dupe, is_background]  # the first that holds, in this order
    kinds = np.select(tests, [LOC, CLS, DUPE, BKG], BOTH).astype(np.int8)
    near = np.select(tests, [same_truth, other_truth, used_truth, -1], -1).astype(np.int32)
    return kinds, near


def _best(pairs: Overlaps, chosen: Array, num_detections: int) -> tuple[Array, Array]:
    """Each detection's highest IoU and its truth, the first of equal ones, among some pairs.

    (n,) both; 0 and -1 where there is no pair.
    """
    detections, truths = pairs.detections[chosen], pairs.truths[chosen]
    ious = pairs.ious[chosen]
    order = np.lexsort((truths, -ious, detections))
    firsts = order[np.unique(detections[order], return_index=True)[1]]
    best_iou = np.zeros(num_detections)
    best_truth = np.full(num_detections, -1, np.int32)
    best_iou[detections[firsts]] = ious[firsts]
    best_truth[detections[firsts]] = truths[firsts]
    return best_iou, best_truth


def _mend(points: _Points, chosen: Array, mended: Array, mended_classes: Array) -> _Points:
    """Drop the `chosen` detections, (n,) bool, but those among the rows `mended`: they are right,
    and of the class of their truth."""
    class_ids, right = points.class_ids.copy(), points.right.copy()
    class_ids[chosen] = -1
    now_right = chosen[mended]
    class_ids[mended[now_right]] = mended_classes[now_right]
    right[mended[now_right]] = True
    return _Points(class_ids, right, points.num_truths)


def _without_truths(points: _Points, class_ids: Array) -> _Points:
    """Count some truths no more, given by their classes."""
    fewer = points.num_truths - np.bincount(class_ids, minlength=len(points.num_truths))
    return _Points(points.class_ids, points.right, fewer)


def _mean_ap(points: _Points, classes: Array) -> float | None:
    """Mean AP over some classes, (C,) bool.

    One that is left without truths has AP 0, and no part in the mean if it has no detections
    either. None if no class has a part.
    """
    order = np.argsort(points.class_ids, kind="stable")
    bounds = np.searchsorted(points.class_ids[order], np.arange(len(classes) + 1))
    aps = []
    for class_id in np.flatnonzero(classes).tolist():
        right = points.right[order[bounds[class_id] : bounds[class_id + 1]]]
        num_truths = int(points.num_truths[class_id])
        if num_truths:
            num_right, num_wrong = np.cumsum(right), np.cumsum(~right)
            aps.append(envelope_at_recalls(num_right, num_wrong, num_truths, _POINTS)[0].mean())
        elif len(right):
            aps.append(0.0)
    return float(np.mean(aps)) if aps else None

"""The figures of a report in plain JSON types: what is undefined is null, never NaN."""

from dataclasses import asdict
from typing import Any

import numpy as np

from mindssd.evaluation.curves import ScoreCurve
from mindssd.explain.folder import KIND
from mindssd.explain.measured import IOU, Measured
from mindssd.explain.words import sentences
from mindssd.types import Array

NUM_POINTS = 101
"""Of a curve against the score."""


def tree(measured: Measured) -> dict[str, Any]:
    """Everything that the page shows as figures."""
    result, errors = measured.outcomes, measured.errors
    reliability, intervals = measured.reliability, measured.intervals
    return {
        "kind": KIND,
        "model": str(measured.detected.path),
        "data_dir": str(measured.detected.config.data_dir),
        "advice": sentences(measured),
        "evaluation": measured.evaluation.as_dict(),
        "intervals": {
            "covered": intervals.covered,
            "num_resamples": intervals.num_resamples,
            "AP": asdict(intervals.ap),
            "AP50": asdict(intervals.ap50),
            "per_class": [
                {"name": name, "ap": asdict(ap), "ap50": asdict(ap50)}
                for name, ap, ap50 in zip(
                    result.class_names, intervals.class_ap, intervals.class_ap50, strict=True
                )
            ],
        },
        "precision_recall": {
            "recall": measured.curves.recalls.tolist(),
            **{
                f"IoU {iou:.2f}": _by_class(measured, measured.curves.precision[result.at(iou)].T)
                for iou in (0.5, 0.75)
            },
        },
        "score_curves": {
            "all": score_points(measured.score_curve),
            "per_class": dict(
                zip(result.class_names, map(score_points, measured.class_curves), strict=True)
            ),
        },
        "threshold": measured.counted.one,
        "counted": measured.counted.as_dict(measured.class_names),
        "errors": {
            "AP50": errors.ap,
            "losses": errors.losses,
            "counts": errors.counts,
            "false_positives": errors.false_positives,
            "false_negatives": errors.false_negatives,
        },
        "confusion": {
            "iou": IOU,
            "score_threshold": measured.counted.one,
            "classes": [*result.class_names, "background"],
            "counts": measured.confusion.counts.tolist(),
        },
        "reliability": {
            "expected_error": reliability.expected_error,
            "edges": reliability.edges.tolist(),
            "num_right": reliability.num_right.tolist(),
            "num_wrong": reliability.num_wrong.tolist(),
            "mean_scores": plain(reliability.mean_scores),
            "shares_right": plain(reliability.shares_right),
        },
        "recall_by": {
            name: [asdict(group) for group in groups] for name, groups in measured.by.items()
        },
        "num_images_looked_at": measured.num_looked_at,
        "missed": missed_counts(measured),
    }


def missed_counts(measured: Measured) -> dict[str, int]:
    """How many truths were missed, and of how many of them a default box was in reach."""
    missed = measured.missed
    known = missed & ~np.isnan(measured.best_iou)
    unreachable = int((known & measured.unreachable).sum())
    return {
        "num_missed": int(missed.sum()),
        "within_reach": int(known.sum()) - unreachable,
        "out_of_reach": unreachable,
    }


def score_points(curve: ScoreCurve) -> dict[str, Any]:
    """Precision, recall and F1 at scores 0, 0.01, … 1; null where nothing scores so high."""
    scores = np.linspace(0, 1, NUM_POINTS)
    places = curve.places(scores)
    best = curve.best_f1

    def at(values: Array) -> list[float | None]:
        return [plain_number(values[place]) if place >= 0 else None for place in places.tolist()]

    return {
        "scores": scores.tolist(),
        "precision": at(curve.precision),
        "recall": at(curve.recall),
        "f1": at(curve.f1),
        "best_f1": None
        if best is None
        else {
            "threshold": curve.threshold(best),
            "f1": float(curve.f1[best]),
            "precision": float(curve.precision[best]),
            "recall": float(curve.recall[best]),
        },
    }


def plain(values: Array) -> list[float | None]:
    """(n,) as JSON has it."""
    return [plain_number(value) for value in values.tolist()]


def plain_number(value: float) -> float | None:
    return None if np.isnan(value) else float(value)


def _by_class(measured: Measured, values: Array) -> dict[str, list[float | None]]:
    return dict(zip(measured.class_names, map(plain, values), strict=True))

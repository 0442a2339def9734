"""The charts of a report."""

import numpy as np

from mindssd.evaluation.curves import PrecisionRecall, ScoreCurve
from mindssd.evaluation.intervals import mean_of_defined
from mindssd.evaluation.thresholds import figures_above
from mindssd.explain.measured import Measured
from mindssd.explain.tree import score_points
from mindssd.pages import html
from mindssd.pages.charts import Line, Spot, bar_chart, key, line_chart
from mindssd.types import Array

MOST_CLASSES = 20
"""A confusion matrix has so many at most, those most often confused."""

_RIGHT, _WRONG = 2, 1
"""Styles of the bars."""


def precision_recall_chart(curves: PrecisionRecall, class_id: int | None = None) -> str:
    """Precision against recall at IoU 0.50 and 0.75, of one class, or the mean over the classes."""
    lines = []
    for style, iou in enumerate((0.5, 0.75)):
        at = int(np.abs(curves.iou_thresholds - iou).argmin())
        values = curves.precision[at]  # (R, C)
        mean = mean_of_defined(values) if class_id is None else values[:, class_id]
        points = [(r, p) for r, p in zip(curves.recalls.tolist(), mean.tolist(), strict=True)]
        ap = float(np.mean(mean))
        lines.append(Line(f"IoU {iou:.2f}, AP {ap:.3f}", points, style))
    words = "Precision against recall: " + "; ".join(line.name for line in lines)
    return html.chart(line_chart(words, "recall", "precision", lines), key(lines))


def score_chart(curve: ScoreCurve, saved: float | None = None) -> str:
    """Precision, recall and F1 against the score threshold, the highest F1 marked.

    So are all three at the threshold that the model has `saved`, if it has.
    """
    points = score_points(curve)
    lines = [
        Line(
            name,
            [
                (score, value)
                for score, value in zip(points["scores"], points[name.lower()], strict=True)
                if value is not None
            ],
            style,
        )
        for style, name in enumerate(("Precision", "Recall", "F1"))
    ]
    best, spots, words = points["best_f1"], [], "Precision, recall and F1 against the score"
    if best is not None:
        said = f"F1 {best['f1']:.2f} at {best['threshold']:.2f}"
        spots = [Spot(best["threshold"], best["f1"], said, 2)]
        words += f": {said}"
    caption = key(lines)
    if saved is not None:
        found = figures_above(curve, saved)
        values = {"precision": found.precision, "recall": found.recall, "F1": found.f1}
        known = {name: value for name, value in values.items() if value is not None}
        spots += [Spot(saved, value, style=style) for style, value in enumerate(known.values())]
        figures = ", ".join(f"{name} {value:.2f}" for name, value in known.items())
        said = f"at the saved threshold, {saved:.2f}: {figures or 'nothing'}"
        words += f"; {said}"
        caption += html.text(f"Circles {said}.")
    drawn = line_chart(words, "score threshold", "", lines, spots)
    return html.chart(drawn, caption)


def reliability_chart(measured: Measured) -> str:
    """The share of right detections against the score, and the line on which they would agree."""
    found = measured.reliability
    points = [
        (x, y)
        for x, y in zip(found.mean_scores.tolist(), found.shares_right.tolist(), strict=True)
        if not np.isnan(x)
    ]
    lines = [
        Line("measured", points, 0),
        Line("scores that mean what they say", [(0, 0), (1, 1)], 5),
    ]
    error = found.expected_error
    words = "Share of right detections against their score"
    words += "" if error is None else f": calibration error {error:.3f}"
    drawn = line_chart(words, "score", "share right", lines, [Spot(x, y) for x, y in points])
    return html.chart(drawn, html.text(f"{words}. ") + key(lines))


def histogram_chart(measured: Measured) -> str:
    """How many detections of each score are right and wrong."""
    found = measured.reliability
    words = "Detections by score: right ones below, wrong ones upon them"
    series = [found.num_right.tolist(), found.num_wrong.tolist()]
    drawn = bar_chart(words, "score", "detections", series, [_RIGHT, _WRONG])
    return html.chart(
        drawn,
        f'<span class="swatch s{_RIGHT}"></span>right '
        f'<span class="swatch s{_WRONG}"></span>wrong, at IoU 0.50',
    )


def confusion_table(counts: Array, names: tuple[str, ...]) -> str:
    """Truths by row, what they were detected as by column, background last; (C + 1, C + 1)."""
    chosen = _most_confused(counts)
    shown = counts[np.ix_(chosen, chosen)]
    words = [*names, "background"]
    totals = np.maximum(counts[chosen].sum(axis=1), 1)
    head = "".join(f"<th scope=col>{html.text(words[i])}</th>" for i in chosen)
    body = []
    for place, (row, total) in enumerate(zip(shown.tolist(), totals.tolist(), strict=True)):
        cells = "".join(
            f'<td class="{"hit" if column == place else "err"}" style="--a:{count / total:.2f}">'
            f"{f'{count:,}' if count else ''}</td>"
            for column, count in enumerate(row)
        )
        body.append(f"<tr><th scope=row>{html.text(words[chosen[place]])}</th>{cells}</tr>")
    table = (
        f'<table class="matrix"><thead><tr><td>truth ↓ detected as →</td>{head}</tr></thead>'
        f"<tbody>{''.join(body)}</tbody></table>"
    )
    return html.wide(table, "Confusion matrix")


def _most_confused(counts: Array) -> list[int]:
    """The classes to show, background among them, in their order."""
    num_classes = len(counts) - 1
    if num_classes <= MOST_CLASSES:
        return list(range(len(counts)))
    others = counts[:-1, :-1] * (1 - np.eye(num_classes, dtype=counts.dtype))
    confused = others.sum(axis=0) + others.sum(axis=1)
    order = np.argsort(-confused, kind="stable")[:MOST_CLASSES]
    return [*sorted(order.tolist()), num_classes]

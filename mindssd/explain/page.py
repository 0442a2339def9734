"""A report as one page: nothing is fetched, pictures and charts are inside."""

from mindssd.evaluation.decomposition import KINDS
from mindssd.evaluation.intervals import Estimate
from mindssd.evaluation.report import protocol_lines
from mindssd.evaluation.thresholds import Figures, figures_above
from mindssd.explain import charts
from mindssd.explain.measured import IOU, Measured
from mindssd.explain.page_pictures import Pictures
from mindssd.explain.tree import missed_counts
from mindssd.explain.words import sentences
from mindssd.pages import html

KIND_WORDS = {
    "Cls": "another class, placed well",
    "Loc": "right class, placed badly",
    "Both": "another class, placed badly",
    "Dupe": "found twice",
    "Bkg": "nothing there",
    "Miss": "not found",
}

MANY_CLASSES = 12
"""From more on, their curves are folded together."""

CLASS_CURVES = 100
"""Each class's own curves are on the page where there are no more classes; report.json has all."""


def page(measured: Measured) -> str:
    """The page as text."""
    name = "/".join(measured.detected.path.parts[-2:])
    pictures = Pictures(measured)
    body = [
        f"<header><h1>{html.text(name)}</h1>",
        f"<p>{html.text(str(measured.detected.config.data_dir))}</p></header>",
        f'<section class="advice"><h2>What to do</h2>{html.prose(sentences(measured))}</section>',
        *html.section("In numbers", _numbers(measured)),
        *html.section("Classes", _classes(measured)),
        *html.section("Precision and recall", _curves(measured)),
        *html.section("Where the missing AP went", _errors(measured)),
        *html.section("Confusion", _confusion(measured)),
        *html.section("What the scores mean", _scores(measured)),
        *html.section("What is found, and what is missed", _recall(measured)),
        *html.section("Worst images", pictures.worst()),
        *html.section("Most confident wrong detections", pictures.wrong()),
        *html.section("Missed objects", pictures.missed()),
        *html.section("Classes that are confused", pictures.confused()),
        *pictures.wholes(),
    ]
    return html.page(f"{name}: mindssd eval", body)


def _estimate(value: Estimate) -> str:
    if value.value is None:
        return "–"
    if value.low is None or value.high is None:
        return f"{value.value:.3f}"
    return f"{value.value:.3f} {_range(value.low, value.high, 3)}"


def _range(low: float, high: float, digits: int) -> str:
    return f'<small class="range">{low:.{digits}f}–{high:.{digits}f}</small>'


def _number(value: float | None, digits: int = 3) -> str:
    return "–" if value is None else f"{value:.{digits}f}"


def _numbers(measured: Measured) -> list[str]:
    e, intervals = measured.evaluation, measured.intervals
    rows = [
        ["AP", _estimate(intervals.ap), *map(_number, (e.ap_small, e.ap_medium, e.ap_large))],
        ["AR, 100 detections", *map(_number, (e.ar100, e.ar_small, e.ar_medium, e.ar_large))],
        ["AP at IoU 0.50", _estimate(intervals.ap50), "", "", ""],
        ["AP at IoU 0.75", _number(e.ap75), "", "", ""],
        ["AR, 10 detections", _number(e.ar10), "", "", ""],
        ["AR, 1 detection", _number(e.ar1), "", "", ""],
    ]
    words = (
        f"Small print is the interval that holds {intervals.covered:.0%} of "
        f"{intervals.num_resamples:,} resamples of the images."
    )
    return [
        html.table(("COCO’s numbers", "all", "small", "medium", "large"), rows),
        f'<p class="soft">{words}</p>',
        html.bullets(protocol_lines(e)),
    ]


def _classes(measured: Measured) -> list[str]:
    order = sorted(
        range(len(measured.class_names)),
        key=lambda i: -1.0 if (ap := measured.evaluation.per_class[i].ap) is None else -ap,
    )
    order.sort(key=lambda i: measured.evaluation.per_class[i].ap is None)
    counted, rows = measured.counted, []
    for i in order:
        result = measured.evaluation.per_class[i]
        share = 100 * (result.ap or 0.0)
        bar = f'<span class="bar"><span style="width:{share:.1f}%"></span></span>'
        curve = measured.class_curves[i]
        best = curve.best_f1
        row = [
            html.text(result.name) + bar,
            _estimate(measured.intervals.class_ap[i]),
            _estimate(measured.intervals.class_ap50[i]),
            _number(result.ar100),
            "–" if best is None else f"{curve.f1[best]:.2f} at {curve.threshold(best):.2f}",
        ]
        if counted.are_saved:
            row.append(f"{_number(counted.of_classes[i].f1, 2)} at {counted.thresholds[i]:.2f}")
        rows.append([*row, f"{result.num_truths:,}"])
    saved = ["F1, saved"] if counted.are_saved else []
    return [html.table(("class", "AP", "AP50", "AR100", "best F1", *saved, "truths"), rows)]


def _curves(measured: Measured) -> list[str]:
    if not measured.outcomes.num_truths.any():
        return []
    counted, is_saved = measured.counted, measured.counted.are_saved
    parts = [
        "<h3>All classes</h3>",
        html.charts(
            (
                charts.precision_recall_chart(measured.curves),
                charts.score_chart(measured.score_curve, counted.one if is_saved else None),
            )
        ),
        *_saved(measured),
    ]
    names = measured.class_names
    if len(names) > CLASS_CURVES:
        return [*parts, f"<p>report.json has the curves of all {len(names)} classes.</p>"]
    of_classes = [
        html.details(
            name,
            html.charts(
                (
                    charts.precision_recall_chart(measured.curves, class_id),
                    charts.score_chart(
                        measured.class_curves[class_id],
                        float(counted.thresholds[class_id]) if is_saved else None,
                    ),
                )
            ),
        )
        for class_id, name in enumerate(names)
        if measured.outcomes.num_truths[class_id] and len(names) > 1
    ]
    if len(of_classes) > MANY_CLASSES:
        return [*parts, html.details(f"Each of {len(of_classes)} classes", "".join(of_classes))]
    return [*parts, *of_classes]


def _saved(measured: Measured) -> list[str]:
    """What the model's saved thresholds give, beside the highest F1; nothing where it has none."""
    counted, curve = measured.counted, measured.score_curve
    if not counted.are_saved:
        return []
    rows = []
    if (best := curve.best_f1) is not None:
        threshold = curve.threshold(best)
        rows.append(_figures("highest F1", f"{threshold:.2f}", figures_above(curve, threshold)))
    score = "each class’s" if counted.one is None else f"{counted.one:.2f}"
    chosen = f" ({counted.by})" if counted.by else ""
    rows.append(_figures(f"saved in the model{chosen}", score, counted.together))
    return [
        html.table(("threshold", "score above", "precision", "recall", "F1"), rows),
        '<p class="soft">Where objects of several classes overlap, <code>mindssd predict</code> '
        "shows fewer detections than are counted here, and <code>mindssd threshold</code> states "
        "its figures.</p>",
    ]


def _figures(name: str, score: str, figures: Figures) -> list[str]:
    numbers = map(_number, (figures.precision, figures.recall, figures.f1))
    return [html.text(name), score, *numbers]


def _errors(measured: Measured) -> list[str]:
    errors = measured.errors
    if errors.ap is None:
        return []
    most = max(0.001, *(value or 0.0 for value in errors.losses.values()))
    rows = []
    for kind in KINDS:
        cost = errors.losses[kind] or 0.0
        bar = f'<span class="bar"><span style="width:{100 * cost / most:.1f}%"></span></span>'
        rows.append(
            [
                f"{KIND_WORDS[kind]} <small>{kind}</small>{bar}",
                f"{cost:.3f}",
                f"{errors.counts[kind]:,}",
            ]
        )
    rows.append(["all wrong detections", _number(errors.false_positives), ""])
    rows.append(["all missed objects", _number(errors.false_negatives), ""])
    return [
        f"<p>AP at IoU 0.50 is {errors.ap:.3f}. If one kind of error alone were mended, it would "
        "rise by:</p>",
        html.table(("kind of error", "AP", "count"), rows),
        '<p class="soft">After TIDE, arXiv:2008.08115. Gains do not add up. All detections are '
        "counted, also those of low score.</p>",
    ]


def _confusion(measured: Measured) -> list[str]:
    counts = measured.confusion.counts
    if not counts.any():
        return []
    parts = [
        f"<p>At IoU {IOU:.2f}, of detections above {html.text(measured.counted.words)}.</p>",
        charts.confusion_table(counts, measured.class_names),
    ]
    if len(measured.class_names) > charts.MOST_CLASSES:
        parts.append(
            f'<p class="soft">The {charts.MOST_CLASSES} classes that are confused most; '
            "report.json has all.</p>"
        )
    return parts


def _scores(measured: Measured) -> list[str]:
    if measured.reliability.expected_error is None:
        return []
    return [html.charts((charts.reliability_chart(measured), charts.histogram_chart(measured)))]


def _recall(measured: Measured) -> list[str]:
    if not measured.outcomes.num_truths.any():
        return []
    counts = missed_counts(measured)
    known = counts["within_reach"] + counts["out_of_reach"]
    parts = [
        f"<p>{counts['num_missed']:,} of {int(measured.outcomes.num_truths.sum()):,} objects are "
        f"missed at IoU {IOU:.2f} by detections above {html.text(measured.counted.words)}.</p>"
    ]
    if known:
        parts.append(
            f"<p>Of {known:,} missed ones {counts['within_reach']:,} have a default box with IoU "
            f"over {measured.reach_threshold:g}, so the network could have found them; for "
            f"{counts['out_of_reach']:,} none fits so well.</p>"
        )
    tables = []
    for name, groups in measured.by.items():
        rows = []
        for group in groups:
            bar = f'<span class="bar"><span style="width:{100 * group.recall:.1f}%"></span></span>'
            rows.append(
                [
                    html.text(group.label) + bar,
                    f"{group.recall:.2f} {_range(group.low, group.high, 2)}",
                    f"{group.num_truths:,}",
                ]
            )
        if rows:
            tables.append(f"<div>{html.table((html.text(name), 'recall', 'truths'), rows)}</div>")
    num_images = len(measured.outcomes.image_ids)
    if measured.num_looked_at < num_images:
        tables.append(
            f'<p class="soft">Brightness and sharpness are those of {measured.num_looked_at:,} of '
            f"the {num_images:,} images, drawn at random.</p>"
        )
    return [*parts, html.charts(tables)]

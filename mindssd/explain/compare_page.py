"""A comparison as one page: nothing is fetched, pictures and charts are inside."""

from collections.abc import Sequence

import numpy as np

from mindssd.drawing.visualize import Mark
from mindssd.evaluation.paired import Difference
from mindssd.explain.compare import IOU, Comparison
from mindssd.explain.compare_log import Points
from mindssd.explain.compare_tree import verdicts
from mindssd.explain.examples import RIGHT, TRUTH, WRONG_COLOUR, corners
from mindssd.pages import html
from mindssd.pages.charts import Line, Spot, key, line_chart, round_end
from mindssd.pages.pictures import CLOSE, Album
from mindssd.types import Array

OBJECTS = 12
"""So many objects are shown that one model finds and the other misses."""

FEW_POINTS = 30
"""A line of so few is drawn with its points."""

TWELVE = ("AP", "AP50", "AP75", "APs", "APm", "APl", "AR1", "AR10", "AR100", "ARs", "ARm", "ARl")


def page(comparison: Comparison) -> str:
    """The page as text."""
    names = [model.name for model in comparison.models]
    title = " and ".join([", ".join(names[:-1]), names[-1]])
    album = Album()
    count = f"{len(comparison.places):,} validation images"
    body = [
        f"<header><h1>{html.text(title)}</h1><p>{count}</p></header>",
        f'<section class="advice"><h2>In short</h2>'
        f"{html.bullets([*verdicts(comparison), *comparison.lines])}</section>",
        *html.section("In numbers", _numbers(comparison)),
        *html.section("Classes", _classes(comparison)),
        *html.section("Training", _training(comparison)),
        *html.section("Objects found", _objects(comparison)),
    ]
    for model in range(1, len(names)):
        body += html.section(
            f"Found by {html.text(names[model])}, missed by {html.text(names[0])}",
            _pictures(comparison, album, comparison.only(model)),
        )
        body += html.section(
            f"Found by {html.text(names[0])}, missed by {html.text(names[model])}",
            _pictures(comparison, album, comparison.only(0, model)),
        )
    return html.page(f"{title}: mindssd compare", body)


def _numbers(comparison: Comparison) -> list[str]:
    """The twelve numbers of each model, and the differences with intervals where there are some."""
    first, *others = comparison.models
    headings = ["", html.text(first.name)]
    for model in others:
        headings += [html.text(model.name), "difference"]
    base = first.evaluation.twelve_numbers()
    rows = []
    for number in TWELVE:
        row = [number, _number(base[number])]
        for model, found in zip(others, comparison.differences, strict=True):
            value = model.evaluation.twelve_numbers()[number]
            known = getattr(found, number.lower(), None)  # those by size have no interval
            row += [_number(value), _change(base[number], value, known)]
        rows.append(row)
    return [
        html.table(headings, rows),
        '<p class="soft">In brackets 95 % of 1,000 resamples of the images, the same for all '
        "models. Bold: more than chance.</p>",
    ]


def _classes(comparison: Comparison) -> list[str]:
    first, *others = comparison.models
    headings = ["class", html.text(first.name)]
    for model in others:
        headings += [html.text(model.name), "difference"]
    of_models = [[found.ap for found in model.evaluation.per_class] for model in comparison.models]
    rows = []
    for class_id, name in enumerate(comparison.class_names):
        row = [html.text(name), _number(of_models[0][class_id])]
        for aps, found in zip(of_models[1:], comparison.differences, strict=True):
            row += [
                _number(aps[class_id]),
                _change(of_models[0][class_id], aps[class_id], found.class_ap[class_id]),
            ]
        rows.append(row)
    return [html.table(headings, rows)]


def _training(comparison: Comparison) -> list[str]:
    """The curves of the runs' logs over each other."""
    with_log = [(model.name, model.curves) for model in comparison.models if model.curves]
    drawn = [
        _curves("AP", "AP of the run's own evaluations", [(n, c.ap) for n, c in with_log]),
        _curves("loss", "Training loss", [(n, c.loss) for n, c in with_log]),
    ]
    return [html.charts(drawn)] if any(drawn) else []


def _curves(name: str, words: str, runs: Sequence[tuple[str, Points]]) -> str:
    """Values by epoch, a line for each run that has some; nothing where none has."""
    shown = [(style, run, points) for style, (run, points) in enumerate(runs) if points]
    if not shown:
        return ""
    last = round_end(max(epoch for *_, points in shown for epoch, _ in points))
    most = round_end(max(value for *_, points in shown for _, value in points))
    lines = [
        Line(run, [(epoch / last, max(0.0, value) / most) for epoch, value in points], style)
        for style, run, points in shown
    ]
    spots = [
        Spot(*point, style=line.style)
        for line in lines
        for point in (line.points if len(line.points) <= FEW_POINTS else ())
    ]
    said = "; ".join(f"{run} ends at {points[-1][1]:.3f}" for _, run, points in shown)
    chart = line_chart(f"{words} by epoch: {said}", "epoch", name, lines, spots, (last, most))
    return html.chart(chart, f"{html.text(words)}. {key(lines)}")


def _objects(comparison: Comparison) -> list[str]:
    first, *others = comparison.models
    num = int((~comparison.truths.is_crowd).sum())
    if not num:
        return []
    rows = [
        [
            html.text(model.name),
            f"{comparison.both(place):,}",
            f"{len(comparison.only(place)):,}",
            f"{len(comparison.only(0, place)):,}",
            f"{comparison.neither(place):,}",
        ]
        for place, model in enumerate(others, start=1)
    ]
    at = ", ".join(f"{model.threshold:.2f} for {model.name}" for model in comparison.models)
    said = (
        f"Of {num:,} objects, at IoU {IOU:.2f} and above the score of each model's highest F1 "
        f"here: {at}. Compared with {first.name}:"
    )
    headings = ("", "both find", "it alone", f"{html.text(first.name)} alone", "neither")
    return [f"<p>{html.text(said)}</p>", html.table(headings, rows)]


def _pictures(comparison: Comparison, album: Album, rows: Array) -> list[str]:
    """An object in each row, as every model sees it."""
    parts = []
    for row in rows[:OBJECTS].tolist():
        box = corners(comparison.truths.boxes_xywh[[row]])[0]
        name = comparison.class_names[int(comparison.truths.class_ids[row])]
        image = int(comparison.models[0].outcomes.truth_images[row])
        dataset = comparison.models[0].detected.dataset
        shown = []
        for place, model in enumerate(comparison.models):
            verb = "finds" if model.found[row] else "misses"
            words = f"{model.name} {verb} {name}: {comparison.file_name(row)}"
            marks = _marks(comparison, place, image, row)
            where = int(comparison.places[image])
            address = album.marked(dataset, where, marks, around=box, side=CLOSE)
            shown.append(html.figure(address, words))
        parts.append(html.figures(shown, "pair" if len(shown) == 2 else "small"))
    if not any(parts):
        return []
    more = len(rows) - OBJECTS
    end = [f'<p class="soft">The largest {OBJECTS} of {len(rows):,}.</p>'] if more > 0 else []
    return [_LEGEND, *parts, *end]


_LEGEND = (
    '<p class="soft">The object in light blue dashes; detections in green where they found an '
    "object, in orange where not.</p>"
)


def _marks(comparison: Comparison, place: int, image: int, row: int) -> list[Mark]:
    """A model's detections in an image above its threshold, and the truth that it is about."""
    model = comparison.models[place]
    result, table = model.outcomes, model.outcomes.table
    at = result.at(IOU)
    shown = (result.detection_images == image) & (table.scores > model.threshold)
    marks = [Mark(corners(result.truths.boxes_xywh[[row]])[0], "", TRUTH, is_dashed=True)]
    for found in np.flatnonzero(shown & ~result.ignored[at]).tolist():
        is_right = bool(result.truth_of[at, found] >= 0)
        name = comparison.class_names[int(table.class_ids[found])]
        words = f"{name} {table.scores[found]:.2f}"
        marks.append(Mark(table.boxes[found], words, RIGHT if is_right else WRONG_COLOUR))
    return marks


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:.3f}"


def _change(base: float | None, value: float | None, known: Difference | None) -> str:
    """The difference, with its interval where that is known."""
    if base is None or value is None:
        return "–"
    said = f"{value - base:+.3f}"
    if known is None or known.estimate.low is None or known.estimate.high is None:
        return said
    between = f"{known.estimate.low:+.3f} to {known.estimate.high:+.3f}"
    said = f"<strong>{said}</strong>" if known.is_more_than_chance else said
    return f'{said} <span class="range">({between})</span>'

"""`mindssd compare`: what is better of two models or more, for which objects, and is it chance."""

from json import dumps
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mindssd.cli.options import JsonFile
from mindssd.errors import printable

if TYPE_CHECKING:
    from rich.table import Table

    from mindssd.evaluation.paired import Difference
    from mindssd.explain.compare import Comparison


def compare(
    words: Annotated[
        list[str],
        typer.Argument(
            metavar="MODEL… [KEY=VALUE]…",
            help="Runs' folders, models' files or published names, and data_dir=PATH.",
            show_default=False,
        ),
    ],
    html: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE", help="Write one page, with pictures, too.", show_default=False
        ),
    ] = None,
    json: JsonFile = None,
) -> None:
    """Compare models on the same validation images.

    `mindssd compare runs/a runs/b`

    Each against the first one: the difference of AP, with the interval that says whether it is more
    than chance, each class's, and which objects one finds and the other misses. Runs know their
    data set; `data_dir=PATH` names another. Classes are those that all models have, by name.
    """
    from rich.console import Console

    from mindssd.explain import compare as job
    from mindssd.explain.compare_page import page
    from mindssd.explain.compare_tree import tree, verdicts
    from mindssd.files import require_writable, write_file

    for path in (html, json):
        if path is not None:
            require_writable(path)
    settings = [word for word in words if "=" in word and not Path(word).exists()]
    models = [word for word in words if word not in settings]
    console = Console()
    comparison = job.compare(models, settings, console)
    console.print(_numbers(comparison))
    console.print(_objects(comparison))
    written = []
    if html is not None:
        write_file(html, page(comparison).encode("utf-8", "replace"))
        written.append(html)
    if json is not None:
        text = dumps(tree(comparison), indent=1, allow_nan=False, ensure_ascii=False)
        write_file(json, text.encode("utf-8", "replace"))
        written.append(json)
    said = [*verdicts(comparison), *comparison.lines, *(f"written: {path}" for path in written)]
    for line in said:
        console.print(line, highlight=False, markup=False, soft_wrap=True)


def _numbers(comparison: "Comparison") -> "Table":
    """AP, AP50 and each class's AP: a row for each, and one below it for each interval."""
    from rich.table import Table
    from rich.text import Text

    table = Table(title=f"{len(comparison.places)} validation images", title_justify="left")
    for heading in ("", *(model.name for model in comparison.models)):
        table.add_column(
            Text(printable(heading)), justify="right" if heading else "left", overflow="fold"
        )
    of_models = [_figures(comparison, place) for place in range(len(comparison.models))]
    for row, name in enumerate(("AP", "AP50", *comparison.class_names)):
        cells = [_number(of_models[0][row])]
        for place in range(1, len(comparison.models)):
            difference = _differences(comparison, place)[row]
            cells.append(f"{_number(of_models[place][row])}{_change(difference)}")
        table.add_row(Text(printable(name)), *map(Text, cells), end_section=row == 1)
    return table


def _figures(comparison: "Comparison", place: int) -> list[float | None]:
    evaluation = comparison.models[place].evaluation
    return [evaluation.ap, evaluation.ap50, *(found.ap for found in evaluation.per_class)]


def _differences(comparison: "Comparison", place: int) -> "list[Difference]":
    found = comparison.differences[place - 1]
    return [found.ap, found.ap50, *found.class_ap]


def _change(difference: "Difference") -> str:
    estimate = difference.estimate
    if estimate.value is None:
        return ""
    said = f"\n{estimate.value:+.3f}"
    if estimate.low is not None and estimate.high is not None:
        said += f" ({estimate.low:+.3f} to {estimate.high:+.3f})"
    return said + (" *" if difference.is_more_than_chance else "")


def _objects(comparison: "Comparison") -> "Table":
    from rich.table import Table
    from rich.text import Text

    first, *others = comparison.models
    table = Table(title="Objects found (* above: more than chance)", title_justify="left")
    for heading in ("", "both find", "it alone", f"{first.name} alone", "neither"):
        table.add_column(
            Text(printable(heading)), justify="right" if heading else "left", overflow="fold"
        )
    for place, model in enumerate(others, start=1):
        counts = (
            comparison.both(place),
            len(comparison.only(place)),
            len(comparison.only(0, place)),
            comparison.neither(place),
        )
        table.add_row(Text(printable(model.name)), *map(str, counts))
    return table


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:.3f}"

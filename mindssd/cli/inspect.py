"""`mindssd inspect`: what a data set is like, what is odd in it, and whether a recipe fits it."""

from pathlib import Path
from typing import Annotated

import typer

from mindssd.cli.options import DEFAULT_RECIPE, JsonFile, Overrides, Recipe
from mindssd.errors import ConfigError


def inspect(
    data_dir: Annotated[Path, typer.Argument(help="The data set's folder.", show_default=False)],
    overrides: Overrides = None,
    config: Recipe = None,
    html: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE", help="Write a page with pictures and charts too.", show_default=False
        ),
    ] = None,
    json: JsonFile = None,
) -> None:
    """Look at a data set before training on it.

    `mindssd inspect my_data --html report.html`

    Counts images, boxes and classes, names what is odd in them, finds images that are nearly the
    same, above all in both train and val, and boxes that look like mistakes, and tries whether the
    recipe's default boxes reach the objects: if not, which settings would.
    """
    from rich.console import Console
    from rich.progress import Progress

    from mindssd.config.load import load_config
    from mindssd.files import require_writable
    from mindssd.inspect.job import inspect as look
    from mindssd.inspect.job import write_json
    from mindssd.inspect.page import write_page
    from mindssd.inspect.summary import print_summary

    key, separator, value = str(data_dir).partition("=")
    if separator and key == "data_dir":  # as the other commands have it
        data_dir = Path(value)
    for word in overrides or ():
        if word.partition("=")[0] == "data_dir":
            raise ConfigError(f"{word}: the data set is {data_dir}; name one")
    for path in (html, json):
        if path is not None:
            require_writable(path)
    recipe = DEFAULT_RECIPE if config is None else config
    settings = load_config(recipe, [*(overrides or ()), f"data_dir={data_dir}"])
    console = Console()
    with Progress(console=console, transient=True) as bar:
        task = bar.add_task("reading images", total=None)
        inspection, datasets = look(
            settings,
            recipe,
            overrides or (),
            lambda done, total: bar.update(task, completed=done, total=total),
        )
    print_summary(inspection, console)
    if html is not None:
        write_page(inspection, datasets, html)
    if json is not None:
        write_json(inspection, json)
    for path in (html, json):
        if path is not None:
            console.print(f"written: {path}", highlight=False, markup=False, soft_wrap=True)

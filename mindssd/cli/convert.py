"""`mindssd convert`: a data set written anew, in another format or clean."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer


class Target(StrEnum):
    coco = "coco"
    yolo = "yolo"
    voc = "voc"


class Source(StrEnum):
    auto = "auto"
    coco = "coco"
    yolo = "yolo"
    voc = "voc"
    labelme = "labelme"
    cvat = "cvat"
    via = "via"
    csv = "csv"


def convert(
    source: Annotated[Path, typer.Argument(help="The data set: a folder, or a .zip of one.")],
    to: Annotated[Target, typer.Option(help="The format to write.")],
    out: Annotated[Path, typer.Option(help="A new or empty folder for it.")],
    val: Annotated[
        float | None,
        typer.Option(
            min=0.01, max=0.99, help="Split off this share for validation.", metavar="SHARE"
        ),
    ] = None,
    group_by: Annotated[
        str | None,
        typer.Option(
            metavar="PATTERN",
            help="A regular expression: images in whose names it finds the same stay together.",
        ),
    ] = None,
    fix: Annotated[
        bool,
        typer.Option(
            "--fix",
            help="Leave out unreadable images and copies, cut boxes to their image, and list every "
            "change in changes.csv.",
        ),
    ] = False,
    format: Annotated[Source, typer.Option(help="The format to read.")] = Source.auto,
) -> None:
    """Write a data set in another format; the one it is read from stays as it is.

    `mindssd convert my_folder --to coco --out my_data --val 0.2`

    Reads whatever `data_dir` takes. Images are copied. What the format cannot
    hold is said: YOLO has no crowds, only COCO has areas.
    """
    from rich.console import Console
    from rich.progress import Progress

    from mindssd.data.convert.job import Settings
    from mindssd.data.convert.job import convert as run

    console = Console()

    def say(line: str) -> None:
        console.print(line, highlight=False, markup=False, soft_wrap=True)

    settings = Settings(str(to), str(format), val, group_by, fix)
    disable = not console.is_terminal
    with Progress(console=console, transient=True, disable=disable) as progress:
        task = progress.add_task("copying", total=None)

        def show(done: int, total: int) -> None:
            progress.update(task, completed=done, total=total)

        run(source.expanduser(), out.expanduser(), settings, say, show)

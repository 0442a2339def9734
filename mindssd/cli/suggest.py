"""`mindssd suggest`: which images to label next."""

from pathlib import Path
from typing import Annotated

import typer


def suggest(
    model: Annotated[
        str, typer.Argument(help="A model's file or a published name.", show_default=False)
    ],
    folder: Annotated[
        Path, typer.Argument(help="A folder with unlabelled images.", show_default=False)
    ],
    out: Annotated[
        Path, typer.Option(metavar="FOLDER", help="A new folder for them.", show_default=False)
    ],
    count: Annotated[int, typer.Option(min=1, help="How many images.")] = 100,
    form: Annotated[
        str, typer.Option(help="Of the pre-labels: coco, yolo, voc or labelstudio.")
    ] = "coco",
    score: Annotated[
        float, typer.Option(min=0, max=1, help="From this on a detection is a pre-label.")
    ] = 0.3,
    device: Annotated[
        str | None, typer.Option(help="As for mindssd predict.", show_default=False)
    ] = None,
    engine: Annotated[
        str | None, typer.Option(help="mindspore or torch.", show_default=False)
    ] = None,
) -> None:
    """Choose the images whose labels would teach a model most.

    `mindssd suggest runs/first/best.safetensors unlabelled --out to_label --count 100`

    Those that the model is unsure of, and that differ from each other; of images that are nearly
    the same, one. They are copied into a data set of their own, with what the model finds as
    labels to correct in an editor, and a page to look at.
    """
    from rich.console import Console
    from rich.progress import Progress

    from mindssd.review.suggest import Settings
    from mindssd.review.suggest import suggest as choose

    console = Console()

    def say(line: str) -> None:
        console.print(line, highlight=False, markup=False, soft_wrap=True)

    settings = Settings(count, form, score, device, engine)
    with Progress(console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task("reading images", total=None)
        choose(
            model,
            folder,
            out,
            settings,
            say,
            lambda done, total: bar.update(task, completed=done, total=total),
        )

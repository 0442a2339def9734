"""`mindssd tune`: which settings suit a data set, by cross-validation on its training images."""

import time
from pathlib import Path
from typing import Annotated

import typer

from mindssd.cli.train import DEFAULT_RECIPE
from mindssd.errors import ConfigError


def tune(
    overrides: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[KEY=VALUE]…", help="Settings laid over the recipe.", show_default=False
        ),
    ] = None,
    config: Annotated[
        str | None,
        typer.Option(
            "--config",
            "-c",
            help=f"A recipe's name or a YAML file.  [default: {DEFAULT_RECIPE}]",
            show_default=False,
        ),
    ] = None,
    minutes: Annotated[
        float, typer.Option(min=0.1, help="How long it may take, the last training included.")
    ] = 30.0,
    folds: Annotated[int, typer.Option(min=2, max=10, help="Parts of the training images.")] = 3,
    resume: Annotated[
        Path | None,
        typer.Option(metavar="FOLDER", help="Go on with a search: its folder.", show_default=False),
    ] = None,
) -> None:
    """Choose settings for a data set, and train by them.

    `mindssd tune data_dir=PATH --minutes 30`

    Tries the recipe as it is and one change of it at a time: learning rate, frozen layers,
    augmentation, a larger image. Each is trained on all folds of the training images but one and
    scored on that one; the better half goes on to the next fold. A change wins if it is better on
    every fold. The validation images are used once, at the end, for the winner.

    The folder, under `tunes/`, has the table, `tuned.yaml`, a recipe for `--config`, and
    `final/`, the winner's run.
    """
    from rich.console import Console

    from mindssd.config.load import load_config
    from mindssd.tune.job import Job, begin, table

    if resume is not None:
        if config is not None or overrides:
            raise ConfigError("--resume goes on with the search's own settings; leave others out")
        folder = resume
    else:
        recipe = DEFAULT_RECIPE if config is None else config
        settings = load_config(recipe, overrides or ())
        data = Path(settings.data_dir or ".").resolve().name
        name = settings.name or f"{Path(recipe).stem}-{data}-{time.strftime('%Y%m%d-%H%M%S')}"
        folder = Path("tunes") / name
        begin(folder, settings, folds)
    console = Console()
    tuned = Job(folder, 60 * minutes, console).run()
    console.print(table(tuned))
    chosen = " ".join(tuned.winner.choice.settings)
    console.print(
        f"chosen: {tuned.winner.choice.name}" + (f" ({chosen})" if chosen else ""),
        f"as a recipe: {tuned.recipe}",
        sep="\n",
        highlight=False,
        soft_wrap=True,
    )
    if tuned.metrics is None:
        console.print(
            f"no time was left to train it on all images: mindssd tune --resume {folder}",
            soft_wrap=True,
        )
        return
    ap, ap50 = tuned.metrics["AP"], tuned.metrics["AP50"]
    assert ap is not None and ap50 is not None
    console.print(
        f"validation images, used this once: mAP {ap:.4f}, AP50 {ap50:.4f}",
        f"try it:  mindssd predict {folder / 'final' / 'best.safetensors'} PHOTO",
        sep="\n",
        highlight=False,
        soft_wrap=True,
    )

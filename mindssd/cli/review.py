"""`mindssd review`: labels that look wrong, by models that were not trained on their images."""

from pathlib import Path
from typing import Annotated

import typer

from mindssd.cli.options import DEFAULT_RECIPE, Overrides, Recipe
from mindssd.errors import ConfigError

DEFAULT_FOLDS = 5

NO_EFFECT = {
    *("runs_dir", "name", "val_share"),
    *("evaluation.every_epochs", "evaluation.patience", "evaluation.smoothing"),
}
"""Settings that a review decides: its folder, and that a training is scored at its end."""


def review(
    overrides: Overrides = None,
    config: Recipe = None,
    folds: Annotated[
        int | None,
        typer.Option(
            min=2,
            max=20,
            help=f"Parts of the images, and so trainings.  [default: {DEFAULT_FOLDS}]",
            show_default=False,
        ),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(metavar="FOLDER", help="Where the review is kept.", show_default=False),
    ] = None,
    minutes: Annotated[
        float | None,
        typer.Option(
            min=0.1, help="Stop after so long; the same command goes on.", show_default=False
        ),
    ] = None,
    resume: Annotated[
        Path | None,
        typer.Option(metavar="FOLDER", help="Go on with a review: its folder.", show_default=False),
    ] = None,
    apply: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Write a corrected copy: mistakes.csv of the review --out, with decisions.",
            show_default=False,
        ),
    ] = None,
    to: Annotated[
        Path | None,
        typer.Option(
            metavar="FOLDER",
            help="Where --apply writes the copy: a new folder.",
            show_default=False,
        ),
    ] = None,
) -> None:
    """Find labels that are likely wrong.

    `mindssd review data_dir=my_data --out review`

    Trains on all training images but a fold's, looks for objects in that fold, and so for each
    fold. What models that have not seen an image find there is compared with its labels: missing
    labels, wrong classes, boxes in the wrong place and labels of nothing, the likeliest first, with
    a page, a table, and forms for CVAT, Label Studio and COCO. The same trainings give a
    cross-validated mAP. The same command goes on where it was cut off.
    """
    from rich.console import Console

    from mindssd.config.load import load_config, read_overrides
    from mindssd.review import job, trainings

    console = Console()
    if apply is not None or to is not None:
        if apply is None or to is None or out is None:
            raise ConfigError("--apply FILE needs --out REVIEW and --to FOLDER beside it")
        if overrides or config is not None or folds is not None or resume is not None:
            raise ConfigError("--apply takes the review's own settings; leave others out")
        job.apply(out, apply, to, console)
        return
    if resume is not None:
        if config is not None or overrides or folds is not None or out is not None:
            raise ConfigError("--resume goes on with the review's own settings; leave others out")
        folded = trainings.resume(resume)
    else:
        if out is None:
            raise ConfigError("--out FOLDER says where the review is kept, such as --out review")
        for key in read_overrides(overrides or ()):
            if key in NO_EFFECT:
                raise ConfigError(f"{key} changes nothing here: see `mindssd review --help`")
        recipe = DEFAULT_RECIPE if config is None else config
        folded = trainings.begin(out, load_config(recipe, overrides or ()), folds or DEFAULT_FOLDS)
    job.review(folded, console, None if minutes is None else 60 * minutes)

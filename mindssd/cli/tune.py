"""`mindssd tune`: which settings suit a data set, by cross-validation on its training images."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mindssd.cli.options import DEFAULT_RECIPE, Overrides, Recipe
from mindssd.errors import ConfigError

if TYPE_CHECKING:
    from rich.console import Console

DEFAULT_FOLDS = 3

NO_EFFECT = {
    "runs_dir",
    *("evaluation.every_epochs", "evaluation.patience", "evaluation.smoothing"),
}
"""Settings that a search decides: where its folder is, and that a training is scored at its end."""


def tune(
    overrides: Overrides = None,
    config: Recipe = None,
    minutes: Annotated[
        float,
        typer.Option(
            min=0.1, help="How long it may take, give or take a tenth; the winner's training too."
        ),
    ] = 30.0,
    folds: Annotated[
        int | None,
        typer.Option(
            min=2,
            max=10,
            help=f"Parts of the training images.  [default: {DEFAULT_FOLDS}]",
            show_default=False,
        ),
    ] = None,
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
    every fold, and by 0.02 of mAP on average. The validation images are used once, at the end, for
    the winner.

    The folder, under `tunes/`, has the table, `tuned.yaml`, a recipe for `--config`, and the
    winner's run, `final-…`.
    """
    from rich.console import Console

    from mindssd.build.run import run_folder
    from mindssd.config.load import load_config, read_overrides
    from mindssd.platform import as_typed
    from mindssd.tune.job import Job, table

    console, seconds = Console(), 60 * minutes
    if resume is not None:
        if config is not None or overrides or folds is not None:
            raise ConfigError("--resume goes on with the search's own settings; leave others out")
        job = Job.resume(resume, seconds, console)
    else:
        for key in read_overrides(overrides or ()):
            if key in NO_EFFECT:
                raise ConfigError(f"{key} changes nothing here: see `mindssd tune --help`")
        recipe = DEFAULT_RECIPE if config is None else config
        settings = load_config(recipe, overrides or ())
        folder = Path("tunes") / run_folder(settings, Path(recipe).stem).name
        job = Job.begin(folder, settings, folds or DEFAULT_FOLDS, seconds, console)
    tuned = job.search()
    chosen = " ".join(tuned.winner.choice.settings)
    console.print(table(tuned))
    _say(
        console,
        f"chosen: {tuned.winner.choice.name}" + (f" ({chosen})" if chosen else ""),
        f"as a recipe:  mindssd train --config {as_typed(tuned.recipe)}",
    )
    trained = job.train_winner(tuned.winner)
    if trained is None:
        _say(
            console,
            f"no time was left to train it: mindssd tune --resume {as_typed(job.folder)}",
        )
        return
    run, evaluation = trained
    ap = "AP undefined without truths"
    if evaluation["AP"] is not None:
        ap = f"mAP {evaluation['AP']:.4f}, AP50 {evaluation['AP50']:.4f}"
    _say(
        console,
        f"validation images, used this once: {ap}",
        f"try it:  mindssd predict {as_typed(run / 'best.safetensors')} PHOTO",
    )


def _say(console: "Console", *lines: str) -> None:
    for line in lines:
        console.print(line, highlight=False, markup=False, soft_wrap=True)

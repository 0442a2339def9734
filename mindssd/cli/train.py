"""`mindssd train`: a new run, or the rest of one."""

from pathlib import Path
from typing import Annotated

import typer

from mindssd.cli.options import DEFAULT_RECIPE, Overrides, Recipe, require_beside
from mindssd.errors import ConfigError


def train(
    context: typer.Context,
    overrides: Overrides = None,
    config: Recipe = None,
    resume: Annotated[
        Path | None,
        typer.Option(metavar="RUN", help="Go on with a run: its folder.", show_default=False),
    ] = None,
    devices: Annotated[
        int, typer.Option(min=1, metavar="N", help="Train on so many devices of this machine.")
    ] = 1,
    adapt: Annotated[
        bool,
        typer.Option(
            "--adapt", help="With --resume: go on although settings, devices or data have changed."
        ),
    ] = False,
    restarts: Annotated[
        int,
        typer.Option(
            min=0, metavar="K", help="With --devices: begin again so often after a failure."
        ),
    ] = 0,
    patience: Annotated[
        float,
        typer.Option(
            min=1, metavar="SECONDS", help="With --devices: end when a process hangs for so long."
        ),
    ] = 1800.0,
) -> None:
    """Train a detector.

    `mindssd train data_dir=PATH`

    Recipes: `small_data` (tens to thousands of images: it fits itself to them), `small_data_416`,
    `finetune_mobilenetv2`, `finetune_mobilenetv3`, `finetune_resnet50_fpn` (such sets from MindCV's
    detectors of COCO, fetched once),
    `ssd_mobilenetv2`, `ssd_mobilenetv3`, `ssd_resnet50_fpn` (MindCV's, for COCO),
    `ssd_mobilenetv2_atss`, `demo`.

    Often set: `epochs=30 image_size=416 batch_size=16 device=CPU name=first_try`.
    The run's folder, under `runs/`, has the configuration with every key, the log, TensorBoard's
    events, `best.safetensors` and `last/`.
    """
    from mindssd.launch.mpi import outlive_mpirun

    outlive_mpirun()
    from mindssd.build.run import resume_run, start_run
    from mindssd.config.load import load_config

    changes = list(overrides or ())
    if resume is not None and config is not None:
        raise ConfigError("--resume goes on with the run's own config; leave --config out")
    recipe = DEFAULT_RECIPE if config is None else config
    for word in changes if config is None and resume is None else ():
        if "=" not in word:
            raise ConfigError(f"{word!r} is not key=value; did you mean --config {word}?")
    if adapt and resume is None:
        raise ConfigError("--adapt is for --resume: a new run has nothing to adapt to")
    if devices > 1:
        raise typer.Exit(_launch(recipe, resume, changes, adapt, devices, restarts, patience))
    require_beside(context, "devices", "patience")
    if restarts:
        raise ConfigError("--restarts is for --devices 2 and more")
    if resume is not None:
        resume_run(resume, changes, adapt)
    else:
        start_run(load_config(recipe, changes), recipe=Path(recipe).stem)


def _launch(
    recipe: str,
    resume: Path | None,
    changes: list[str],
    adapt: bool,
    devices: int,
    restarts: int,
    patience: float,
) -> int:
    from mindssd.build.run import run_folder, saved_config
    from mindssd.config.load import load_config, override
    from mindssd.launch.job import launch

    if resume is None:
        settings = load_config(recipe, changes)
        folder = run_folder(settings, recipe=Path(recipe).stem)
        first = ["train", "--config", recipe, *changes, f"name={folder.name}"]
        again = ["train", "--resume", str(folder)]
    else:
        folder = resume
        settings = override(saved_config(folder), changes)
        adapted = ["--adapt"] if adapt else []
        # Said again, settings and --adapt change nothing that they have changed already.
        first = again = ["train", "--resume", str(folder), *changes, *adapted]
    return launch(first, again, folder, devices, restarts, patience, settings.engine)

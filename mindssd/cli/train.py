"""`mindssd train`: a new run, or the rest of one."""

from pathlib import Path
from typing import Annotated

import typer

from mindssd.cli.options import require_beside
from mindssd.errors import ConfigError


def train(
    context: typer.Context,
    overrides: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[KEY=VALUE]…", help="Settings laid over the recipe.", show_default=False
        ),
    ] = None,
    config: Annotated[
        str | None,
        typer.Option("--config", "-c", help="A recipe's name or a YAML file.", show_default=False),
    ] = None,
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

    `mindssd train --config ssd_mobilenetv2 data_dir=PATH backbone_ckpt_path=PATH`

    Recipes: `ssd_mobilenetv2`, `ssd_mobilenetv3`, `ssd_resnet50_fpn` (MindCV's, for COCO),
    `small_data` (a few hundred images), `demo`.

    Often set: `batch_size=16 epochs=30 schedule.learning_rate=0.02 device=CPU name=first_try`.
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
    if resume is None and config is None:
        recipe = next((f"; did you mean --config {c}?" for c in changes if "=" not in c), "")
        raise ConfigError(
            f"--config is missing: a recipe's name or a YAML file (see --help){recipe}"
        )
    if adapt and resume is None:
        raise ConfigError("--adapt is for --resume: a new run has nothing to adapt to")
    if devices > 1:
        raise typer.Exit(_launch(config, resume, changes, adapt, devices, restarts, patience))
    require_beside(context, "devices", "patience")
    if restarts:
        raise ConfigError("--restarts is for --devices 2 and more")
    if resume is not None:
        resume_run(resume, changes, adapt)
    elif config is not None:
        start_run(load_config(config, changes), recipe=Path(config).stem)


def _launch(
    config: str | None,
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

    if config is not None:
        settings = load_config(config, changes)
        folder = run_folder(settings, recipe=Path(config).stem)
        first = ["train", "--config", config, *changes, f"name={folder.name}"]
        again = ["train", "--resume", str(folder)]
    else:
        assert resume is not None
        folder = resume
        settings = override(saved_config(folder), changes)
        adapted = ["--adapt"] if adapt else []
        # Said again, settings and --adapt change nothing that they have changed already.
        first = again = ["train", "--resume", str(folder), *changes, *adapted]
    return launch(first, again, folder, devices, restarts, patience, settings.engine)

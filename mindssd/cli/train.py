"""`mindssd train`: a new run, or the rest of one."""

from pathlib import Path
from typing import Annotated

import typer

from mindssd.cli.options import Overrides, Recipe, require_beside


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
    from mindssd.api import train as begin

    if devices == 1:
        require_beside(context, "devices", "patience")
    begin(
        list(overrides or ()),
        config=config,
        resume=resume,
        adapt=adapt,
        devices=devices,
        restarts=restarts,
        patience=patience,
    )

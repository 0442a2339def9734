"""`mindssd eval`: COCO's numbers of a trained model."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from mindssd.cli.options import JsonFile


class ProtocolName(StrEnum):
    coco = "coco"
    mindcv = "mindcv"


def evaluate(
    model: Annotated[
        Path,
        typer.Argument(
            help="A trained model: best.safetensors, a published name, or a .ckpt.",
            show_default=False,
        ),
    ],
    overrides: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[KEY=VALUE]…", help="data_dir=PATH, and others.", show_default=False
        ),
    ] = None,
    config: Annotated[
        str | None,
        typer.Option(
            "--config",
            "-c",
            help="For a .ckpt, which does not say what network it is: a recipe or YAML file.",
            show_default=False,
        ),
    ] = None,
    protocol: Annotated[
        ProtocolName | None,
        typer.Option(help="What is scored, see above; by default the model's own."),
    ] = None,
    json: JsonFile = None,
    report: Annotated[
        Path | None,
        typer.Option(
            metavar="FOLDER",
            help="Write a page that says what is missed and why, with its figures as JSON and CSV.",
            show_default=False,
        ),
    ] = None,
) -> None:
    """Evaluate a model on the validation images under `data_dir`.

    `mindssd eval runs/NAME/best.safetensors data_dir=PATH`

    `mindssd eval ssd_mobilenetv2 data_dir=coco2017` scores a published detector, see `mindssd
    models`.

    `--protocol coco`: every image, crowds ignored, 100 detections an image: COCO's own numbers.
    `--protocol mindcv`: as MindCV's SSD example scores itself: detections above 0.1, at most 100 a
    class, and only images with boxes and without crowds. Its mAP is not COCO's.
    """
    from rich.console import Console
    from rich.progress import Progress

    from mindssd.build.evaluation import detect_with_model
    from mindssd.evaluation.report import print_report, write_json
    from mindssd.explain.folder import PAGE, claim
    from mindssd.explain.job import write_report
    from mindssd.explain.words import sentences
    from mindssd.files import require_writable

    if json is not None:
        require_writable(json)
    if report is not None:
        claim(report)
    console = Console()
    detected = detect_with_model(
        model, config, list(overrides or ()), protocol.value if protocol else None, console
    )
    measured = None
    if report is not None:
        with Progress(console=console, transient=True, disable=not console.is_terminal) as bar:
            task = bar.add_task("looking at images", total=None)
            measured = write_report(
                detected,
                report,
                lambda done, total: bar.update(task, completed=done, total=total),
            )
    evaluation = detected.evaluation() if measured is None else measured.evaluation
    print_report(evaluation, console)
    if report is not None and measured is not None:
        lines = [*sentences(measured), f"written: {report / PAGE}"]
        for line in lines:
            console.print(line, highlight=False, markup=False, soft_wrap=True)
    if json is not None:
        write_json(evaluation, json)
        console.print(f"written: {json}", highlight=False, markup=False, soft_wrap=True)

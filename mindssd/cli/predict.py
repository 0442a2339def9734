"""`mindssd predict`: detections in images, drawn and as JSON."""

from pathlib import Path
from typing import Annotated

import typer


def predict(
    model: Annotated[
        Path, typer.Argument(help="A trained model: best.safetensors.", show_default=False)
    ],
    sources: Annotated[
        list[str],
        typer.Argument(
            metavar="SOURCE…", help="Images, folders, or globs in quotes.", show_default=False
        ),
    ],
    out: Annotated[Path, typer.Option(help="Where drawn images and JSON go.")] = Path(
        "predictions"
    ),
    score: Annotated[
        float, typer.Option(min=0, max=1, help="Show detections above this score.")
    ] = 0.3,
    sheet: Annotated[
        bool, typer.Option(help="Also one picture of all of them, contact_sheet.jpg.")
    ] = False,
    device: Annotated[
        str | None,
        typer.Option(help="CPU, GPU, MPS or Ascend; by default the fastest.", show_default=False),
    ] = None,
    engine: Annotated[
        str | None,
        typer.Option(help="mindspore or torch; by default the one there is.", show_default=False),
    ] = None,
) -> None:
    """Detect objects in images.

    `mindssd predict runs/NAME/best.safetensors photo.jpg folder/ 'more/*.png'`

    Writes each image with its detections drawn, under its own name, and `detections.json` in
    COCO's layout. A file that cannot be read is reported and skipped, and the exit status is 1.
    """
    from rich.console import Console

    from mindssd.predict import predict_files

    unreadable = predict_files(model, sources, out, score, sheet, device, Console(), engine)
    if unreadable:
        raise typer.Exit(1)

"""`mindssd predict`: detections in images and videos, drawn and as files."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from mindssd.cli.options import (
    Device,
    Engine,
    PrecisionName,
    RuntimeName,
    Threads,
    require_beside,
)


class AnchorName(StrEnum):
    centre = "centre"
    bottom = "bottom"


def predict(
    context: typer.Context,
    model: Annotated[
        Path,
        typer.Argument(
            help="A trained model, best.safetensors, one that `mindssd export` made, or the name "
            "of a published one, such as ssd_mobilenetv2.",
            show_default=False,
        ),
    ],
    sources: Annotated[
        list[str],
        typer.Argument(
            metavar="SOURCE…",
            help="Images, videos, folders, globs in quotes, a camera's number, a stream's "
            "address, or - for what is piped in.",
            show_default=False,
        ),
    ],
    out: Annotated[Path, typer.Option(help="Where the results go.")] = Path("predictions"),
    save: Annotated[
        str,
        typer.Option(metavar="LIST", help="What to write: some of drawn, json, csv, yolo, crops."),
    ] = "drawn,json",
    score: Annotated[
        float | None,
        typer.Option(
            min=0,
            max=1,
            help="Detections above this score; by default the model's own, or 0.3.",
            show_default=False,
        ),
    ] = None,
    classes: Annotated[
        str | None,
        typer.Option(metavar="LIST", help="Of these classes alone.", show_default=False),
    ] = None,
    max_detections: Annotated[
        int | None,
        typer.Option(
            min=1,
            metavar="N",
            help="So many of an image at most, the best; by default 100.",
            show_default=False,
        ),
    ] = None,
    tile: Annotated[
        int | None,
        typer.Option(
            metavar="PIXELS",
            help="Look at squares of this size too: for small objects in large images.",
            show_default=False,
        ),
    ] = None,
    overlap: Annotated[
        float, typer.Option(min=0, max=0.9, help="How much of a tile the next one shares.")
    ] = 0.2,
    sheet: Annotated[
        bool, typer.Option(help="Also one picture of all of them, contact_sheet.jpg.")
    ] = False,
    batch: Annotated[int, typer.Option(min=1, help="Images that the network takes at once.")] = 1,
    track: Annotated[
        bool, typer.Option("--track", help="Follow objects through videos, each by a number.")
    ] = False,
    count_line: Annotated[
        list[str] | None,
        typer.Option(
            metavar="[NAME=]X1,Y1,X2,Y2",
            help="Count what crosses this line, in pixels or in fractions of the picture; to its "
            "left, seen from the first point to the second, is in. May be repeated.",
            show_default=False,
        ),
    ] = None,
    count_zone: Annotated[
        list[str] | None,
        typer.Option(
            metavar="FILE.json",
            help="Count what enters and leaves a polygon, [[x, y], …]. May be repeated.",
            show_default=False,
        ),
    ] = None,
    count_anchor: Annotated[
        AnchorName, typer.Option(help="The point of a box that counts.")
    ] = AnchorName.centre,
    reconnect: Annotated[
        bool,
        typer.Option("--reconnect", help="Wait for a camera or stream that breaks off."),
    ] = False,
    reconnect_limit: Annotated[
        float, typer.Option(metavar="SECONDS", help="So long at most, each time.")
    ] = 300.0,
    device: Device = None,
    engine: Engine = None,
    runtime: RuntimeName = None,
    precision: PrecisionName = None,
    threads: Threads = None,
) -> None:
    """Detect objects in images, videos and streams.

    `mindssd predict model.onnx photo.jpg folder/ 'more/*.png' clip.mp4`

    `mindssd predict ssd_mobilenetv2 photo.jpg` takes MindCV's detector of COCO's 80 classes, which
    it fetches once; `mindssd models` lists what can be named.

    `mindssd predict model.onnx 0` looks through the first camera until Ctrl-C.

    `mindssd predict model.onnx clip.mp4 --track --count-line 0,0.5,1,0.5` follows and counts.

    Writes each image and video with its detections drawn, under its own name, and
    `detections.json` in COCO's layout; `--save` chooses. A file that cannot be read or written is
    reported, the others are done, and the exit status is 1. Whatever ends it, as Ctrl-C, keeps
    what was seen.
    """
    require_beside(context, "tile", "overlap")
    require_beside(context, "track", "count_line", "count_zone", "count_anchor")
    require_beside(context, "reconnect", "reconnect_limit")

    from mindssd.predict.call import predict as detect
    from mindssd.predict.stop import StopSignals, end_past_hanging_threads

    stop = StopSignals()
    done = detect(
        model,
        sources,
        out=out,
        save=save,
        score=score,
        classes=classes,
        max_detections=max_detections,
        tile=tile,
        overlap=None if tile is None else overlap,
        sheet=sheet,
        batch=batch,
        track=track,
        count_line=count_line or (),
        count_zone=count_zone or (),
        count_anchor="bottom" if count_anchor is AnchorName.bottom else "centre",
        reconnect=reconnect,
        reconnect_limit=reconnect_limit,
        device=device,
        engine=engine,
        runtime=None if runtime is None else runtime.value,
        precision=None if precision is None else precision.value,
        threads=threads,
        stop=stop,
    )
    status = 128 + stop.number if stop.number is not None else int(bool(done.errors))
    end_past_hanging_threads(status)
    raise typer.Exit(status)

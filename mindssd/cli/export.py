"""`mindssd export`: a trained model as a file that runs without a training framework."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from mindssd.cli.options import require_beside


class Format(StrEnum):
    onnx = "onnx"
    openvino = "openvino"
    tflite = "tflite"
    ncnn = "ncnn"
    mindir = "mindir"
    ckpt = "ckpt"
    web = "web"


def export(
    context: typer.Context,
    model: Annotated[
        Path,
        typer.Argument(
            help="A trained model: best.safetensors, or a published name.", show_default=False
        ),
    ],
    overrides: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[data_dir=PATH]",
            help="Its data set, to compare mAP and to calibrate int8.",
            show_default=False,
        ),
    ] = None,
    format: Annotated[Format, typer.Option("--format", "-f", help="What to write.")] = Format.onnx,
    out: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="By default beside the model, by its name; of a published one, here.",
            show_default=False,
        ),
    ] = None,
    nms: Annotated[
        bool, typer.Option("--nms", help="Put NMS into the graph: detections come out.")
    ] = False,
    nms_score: Annotated[
        float, typer.Option(min=0, max=1, help="With --nms: detections above this score.")
    ] = 0.01,
    nms_iou: Annotated[
        float, typer.Option(min=0, max=1, help="With --nms: what overlaps more is suppressed.")
    ] = 0.6,
    nms_detections: Annotated[
        int, typer.Option(min=1, help="With --nms: so many rows for each image.")
    ] = 300,
    batch: Annotated[
        int | None,
        typer.Option(
            min=1,
            help="The graph takes so many images at once; by default any number.",
            show_default=False,
        ),
    ] = None,
    int8: Annotated[
        bool, typer.Option("--int8", help="In int8, calibrated on training images of data_dir.")
    ] = False,
    float16: Annotated[
        bool, typer.Option("--float16", help="Weights in float16; for tflite and ncnn.")
    ] = False,
    max_loss: Annotated[
        float, typer.Option(min=0, help="With --int8 or --float16: the mAP that it may lose.")
    ] = 0.01,
    force: Annotated[
        bool, typer.Option("--force", help="With --int8 or --float16: keep it whatever it loses.")
    ] = False,
    runtime_archive: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="For web: onnxruntime-web's archive of npm, instead of fetching it.",
            show_default=False,
        ),
    ] = None,
) -> None:
    """Write a model for other machines, and verify it before it gets its name.

    `mindssd export runs/NAME/best.safetensors data_dir=PATH`

    `onnx`, `openvino`, `tflite` and `ncnn` run without a training framework, in `mindssd predict`
    too. `mindir` is for MindSpore Lite and Ascend, `ckpt` for the scripts of MindCV's SSD example.
    `web` is a folder for any static server: a page that looks at pictures, or the webcam, in the
    browser. Sample images go through the engine and the file; with `data_dir` both are evaluated.
    What differs by more than rounding is an error, and leaves no file.
    """
    require_beside(context, "nms", "nms_score", "nms_iou", "nms_detections")
    if not float16:
        require_beside(context, "int8", "max_loss", "force")
    from mindssd.api import export as write

    write(
        model,
        list(overrides or ()),
        format=format.value,
        out=out,
        nms=nms,
        nms_score=nms_score,
        nms_iou=nms_iou,
        nms_detections=nms_detections,
        batch=batch,
        int8=int8,
        float16=float16,
        max_loss=max_loss,
        force=force,
        runtime_archive=runtime_archive,
    )

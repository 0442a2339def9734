"""The `mindssd` command. Each command is one file; what is slow to import, it imports itself."""

import io
import sys
import traceback
from functools import partial
from importlib import metadata
from typing import Annotated

import typer

from mindssd.cli.bench import bench
from mindssd.cli.card import card
from mindssd.cli.compare import compare
from mindssd.cli.convert import convert
from mindssd.cli.demo import demo
from mindssd.cli.doctor import doctor
from mindssd.cli.evaluate import evaluate
from mindssd.cli.export import export
from mindssd.cli.inspect import inspect
from mindssd.cli.models import models
from mindssd.cli.options import Command
from mindssd.cli.predict import predict
from mindssd.cli.review import review
from mindssd.cli.serve import serve
from mindssd.cli.suggest import suggest
from mindssd.cli.threshold import threshold
from mindssd.cli.train import train
from mindssd.cli.tune import tune
from mindssd.cli.weights import weights
from mindssd.errors import MindSSDError

app = typer.Typer(
    add_completion=False,
    no_args_is_help=True,
    rich_markup_mode="markdown",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _version(asked: bool) -> None:
    if asked:
        typer.echo(f"mindssd {metadata.version('mindssd')}")
        raise typer.Exit


@app.callback()
def options(
    version: Annotated[
        bool,
        typer.Option("--version", callback=_version, is_eager=True, help="Show it and exit."),
    ] = False,
    debug: Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")] = False,
) -> None:
    """SSD object detection on MindCV's backbones.

    To try it, without any data:  `mindssd demo`, then

    `mindssd train --config demo data_dir=data/demo`

    Without any training:  `mindssd predict ssd_mobilenetv2 photo.jpg`

    Your own images: a folder of them with annotations of COCO, YOLO, Pascal VOC, LabelMe, CVAT,
    VIA or in a CSV is all it takes, in parts or not.
    """


_command = partial(app.command, cls=Command)
_command()(train)
_command()(tune)
_command()(review)
_command()(suggest)
_command()(inspect)
_command("eval")(evaluate)
_command()(threshold)
_command()(compare)
_command()(predict)
_command()(serve)
_command()(export)
_command()(bench)
_command()(convert)
_command()(demo)
_command()(models)
_command()(weights)
_command()(card)
_command()(doctor)


EXTRAS = {
    "train": ("grain", "faster_coco_eval", "tensorboardX", "google"),
    "mindspore": ("mindspore", "mindcv"),
    "torch": ("torch",),
    "export": ("onnx", "onnxscript"),
    "runtime": ("onnxruntime",),
    "openvino": ("openvino",),
    "tflite": ("ai_edge_litert", "flatbuffers"),
    "ncnn": ("ncnn",),
    "serve": ("fastapi", "starlette", "uvicorn", "prometheus_client", "python_multipart"),
    "hub": ("huggingface_hub",),
}
"""Who needs only to detect installs no more: what the other commands import, by its extra."""


def main() -> None:
    """Run the command line; a user's error is one line and exit status 1."""
    debug = "--debug" in sys.argv
    if isinstance(sys.stdout, io.TextIOWrapper):  # None where it is closed
        # A name that the terminal's encoding lacks is no reason to end a run.
        sys.stdout.reconfigure(errors="backslashreplace")
    try:
        app()
    except MindSSDError as error:
        _fail(str(error), debug)
    except ModuleNotFoundError as error:
        package = (error.name or "").split(".")[0]
        extra = next((name for name, brings in EXTRAS.items() if package in brings), None)
        if extra is None:
            raise
        _fail(f"this needs {package}; pip install 'mindssd[{extra}]'", debug)
    except OSError as error:
        _fail(f"{error.filename or 'the system'}: {error.strerror or error}", debug)
    except RuntimeError as error:
        if "home directory" not in str(error):
            raise
        _fail("a path begins with ~ and no known user; write it in full", debug)  # pathlib's
    except KeyboardInterrupt:
        print("mindssd: interrupted", file=sys.stderr)
        sys.exit(130)


def _fail(message: str, debug: bool) -> None:
    if debug:
        traceback.print_exc()
    print(f"mindssd: {' '.join(message.splitlines())}", file=sys.stderr)
    sys.exit(1)

"""Options that several commands have, and those that mean nothing without another one."""

import math
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperCommand

from mindssd.api import DEFAULT_RECIPE as DEFAULT_RECIPE
from mindssd.errors import ConfigError


class Runtime(StrEnum):
    onnxruntime = "onnxruntime"
    openvino = "openvino"
    litert = "litert"
    ncnn = "ncnn"


class Precision(StrEnum):
    float32 = "float32"
    bfloat16 = "bfloat16"
    float16 = "float16"


Overrides = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="[KEY=VALUE]…", help="Settings laid over the recipe.", show_default=False
    ),
]
Recipe = Annotated[
    str | None,
    typer.Option(
        "--config",
        "-c",
        help=f"A recipe's name or a YAML file.  [default: {DEFAULT_RECIPE}]",
        show_default=False,
    ),
]
JsonFile = Annotated[
    Path | None,
    typer.Option(metavar="FILE", help="Write everything as JSON too.", show_default=False),
]
Device = Annotated[
    str | None,
    typer.Option(help="CPU, GPU, MPS or Ascend; by default the fastest.", show_default=False),
]
Engine = Annotated[
    str | None,
    typer.Option(help="mindspore or torch; by default the one there is.", show_default=False),
]
RuntimeName = Annotated[
    Runtime | None,
    typer.Option(help="What runs an exported model; by default what is installed."),
]
PrecisionName = Annotated[
    Precision | None,
    typer.Option(help="OpenVINO's arithmetic; by default the file's own."),
]
Threads = Annotated[
    int | None,
    typer.Option(min=1, help="Of an exported model; by default all.", show_default=False),
]


class Command(TyperCommand):
    """A command whose numbers are numbers: a range of Typer's lets `nan` through."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        rest = super().parse_args(ctx, args)
        for name, value in ctx.params.items():
            if isinstance(value, float) and math.isnan(value):
                raise ConfigError(f"{_option(name)} is nan: expected a number")
        return rest


def require_beside(context: typer.Context, needed: str, *names: str) -> None:
    """ConfigError where one of the named options was given without the one it belongs to."""
    source = context.get_parameter_source(needed)
    if source is not None and source.name == "COMMANDLINE":
        return
    for name in names:
        given = context.get_parameter_source(name)
        if given is not None and given.name == "COMMANDLINE":
            raise ConfigError(f"{_option(name)} is for {_option(needed)}: give both, or neither")


def _option(name: str) -> str:
    return f"--{name.replace('_', '-')}"

"""Options that several commands have, and those that mean nothing without another one."""

from pathlib import Path
from typing import Annotated

import typer

from mindssd.api import DEFAULT_RECIPE as DEFAULT_RECIPE
from mindssd.errors import ConfigError

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

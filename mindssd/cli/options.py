"""Options that mean nothing without another one."""

import typer

from mindssd.errors import ConfigError


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

"""`mindssd doctor`: is this machine, installation and data set fit for work, and if not, why."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mindssd.errors import ConfigError

if TYPE_CHECKING:
    from mindssd.doctor.finding import Finding


def doctor(
    words: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="data_dir=PATH",
            help="A data set to look at as well.",
            show_default=False,
        ),
    ] = None,
    timeout: Annotated[
        float, typer.Option(help="Seconds that an engine may take to start and compute.")
    ] = 120.0,
) -> None:
    """Look at the machine, the installation and, if asked, a data set.

    Each line is ok, a warning (it works, but slowly or at a risk) or a problem,
    with the way out below it. The exit status is 1 if there is a problem. Run it
    first on a new machine, and put its output into a report of a fault.

    `mindssd doctor data_dir=PATH` looks at a data set too; `mindssd inspect PATH`
    looks closer.
    """
    from mindssd.doctor.checks import all_findings

    data_dir = _data_dir(words or [])
    num_problems = 0
    for finding in all_findings(data_dir, timeout):
        _print(finding)
        num_problems += finding.level == "problem"
    if num_problems:
        raise typer.Exit(1)


def _data_dir(words: Sequence[str]) -> Path | None:
    if not words:
        return None
    key, separator, value = words[0].partition("=")
    if len(words) > 1 or (separator and key != "data_dir"):
        raise ConfigError(f"`mindssd doctor {' '.join(words)}`: expected data_dir=PATH and no more")
    return Path(value if separator else key).expanduser()


def _print(finding: "Finding") -> None:
    from rich.console import Console
    from rich.text import Text

    colours = {"ok": "green", "warning": "yellow", "problem": "bold red"}
    line = Text.assemble(
        (f"{finding.level:<8}", colours[finding.level]), f"{finding.subject:<11}{finding.text}"
    )
    console = Console()
    console.print(line, soft_wrap=True)
    if finding.way_out:
        console.print(Text(f"{'':<19}→ {finding.way_out}"), soft_wrap=True)

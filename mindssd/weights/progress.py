"""What a person sees while a file is fetched."""

from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import (
    BarColumn,
    DownloadColumn,
    TextColumn,
    TimeRemainingColumn,
    TransferSpeedColumn,
)
from rich.progress import Progress as Bar

from mindssd.weights.download import Progress


@contextmanager
def show_progress(description: str) -> Iterator[Progress]:
    """Yield a function of (bytes there, bytes of the whole) that draws a bar on standard error.

    Nothing is drawn where standard error is not a terminal, or before the first byte comes.
    """
    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        DownloadColumn(),
        TransferSpeedColumn(),
        TimeRemainingColumn(),
    )
    console = Console(stderr=True)
    disable = not console.is_terminal
    with Bar(*columns, console=console, transient=True, disable=disable) as bar:
        task = bar.add_task(description, total=None, visible=False)

        def show(have: int, total: int | None) -> None:
            bar.update(task, completed=have, total=total, visible=True)

        yield show

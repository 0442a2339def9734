"""`mindssd demo`: a small data set to try everything with."""

from pathlib import Path
from typing import Annotated

import typer


def demo(
    data_dir: Annotated[Path, typer.Argument(help="Where to put it; made if need be.")] = Path(
        "data/demo"
    ),
    seed: Annotated[int, typer.Option(min=0, help="Another seed draws other pictures.")] = 0,
) -> None:
    """Draw a small data set in COCO's layout: pictures, boxes, several classes.

    Drawn on this machine, so nothing is downloaded. Then:

    `mindssd train --config demo data_dir=data/demo`
    """
    from rich.console import Console
    from rich.progress import Progress

    from mindssd.demo.generate import generate_demo
    from mindssd.platform import available_cores

    console = Console()
    with Progress(console=console, transient=True) as progress:
        task = progress.add_task("drawing", total=None)

        def show(done: int, total: int) -> None:
            progress.update(task, completed=done, total=total)

        generate_demo(data_dir, seed=seed, num_workers=available_cores(), progress=show)
    console.print(f"{data_dir}: ready", highlight=False, markup=False, soft_wrap=True)

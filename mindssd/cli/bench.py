"""`mindssd bench`: how long detection in an image takes, step by step."""

from pathlib import Path
from typing import Annotated

import typer

from mindssd.cli.options import JsonFile


def bench(
    model: Annotated[
        Path,
        typer.Argument(
            help="An exported model, best.safetensors, or a published name.", show_default=False
        ),
    ],
    images: Annotated[
        list[Path] | None,
        typer.Argument(
            help="JPEG or other files to detect in; by default a drawn one of 640×480.",
            show_default=False,
        ),
    ] = None,
    runs: Annotated[
        int, typer.Option(min=5, help="Images one by one, after some to warm up.")
    ] = 100,
    batch: Annotated[int, typer.Option(min=1, help="Images at once, for the throughput.")] = 8,
    threads: Annotated[
        int | None, typer.Option(min=1, help="By default all cores.", show_default=False)
    ] = None,
    json: JsonFile = None,
) -> None:
    """Measure detection from a file's bytes to detections, on this machine as it is.

    `mindssd bench model.onnx`

    One image at a time: the median and the slowest tenth and hundredth, and where the time goes.
    Then many, with decoding beside the network. Each runtime and precision that is there has its
    line, and a process of its own, so that memory is its own too.
    """
    from rich.console import Console

    from mindssd.deploy.bench import bench_model, print_results, write_results
    from mindssd.files import require_writable

    if json is not None:
        require_writable(json)
    results = bench_model(model, list(images or ()), runs, batch, threads)
    print_results(results, Console())
    if json is not None:
        write_results(results, json)

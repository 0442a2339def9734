"""`mindssd serve`: detections over HTTP, and a page to try them."""

import os
from typing import Annotated

import typer

from mindssd.cli.options import Device, Engine, PrecisionName, RuntimeName, Threads
from mindssd.errors import ConfigError


def serve(
    models: Annotated[
        list[str],
        typer.Argument(
            metavar="MODEL…",
            help="Trained or exported models, or published names; several as NAME=MODEL.",
            show_default=False,
        ),
    ],
    host: Annotated[
        str, typer.Option(help="The address to listen at; 0.0.0.0 for all of this machine's.")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="0 takes a free one.")] = 8000,
    max_batch: Annotated[
        int, typer.Option(min=1, max=256, help="Images that a model takes at once.")
    ] = 8,
    max_wait_ms: Annotated[
        float, typer.Option(min=0, max=10_000, help="How long a batch waits for images to come.")
    ] = 5,
    queue: Annotated[
        int, typer.Option(min=1, help="Images and tiles that wait; past them it answers 429.")
    ] = 64,
    timeout_s: Annotated[
        float, typer.Option(min=0.1, max=86_400, help="What is not answered within this gets 503.")
    ] = 30,
    max_body_mb: Annotated[
        int, typer.Option(min=1, max=1024, help="The size of a request, at most.")
    ] = 32,
    max_images: Annotated[int, typer.Option(min=1, help="Of a request, at most.")] = 16,
    max_megapixels: Annotated[
        float, typer.Option(min=0.01, max=100_000, help="Of an image, at most.")
    ] = 50,
    max_connections: Annotated[int, typer.Option(min=1, help="At the same time.")] = 1000,
    cors: Annotated[
        list[str] | None,
        typer.Option(metavar="ORIGIN", help="A site whose pages may ask too; may be repeated."),
    ] = None,
    access_log: Annotated[
        bool, typer.Option(help="A line of JSON on standard output for each answer.")
    ] = True,
    device: Device = None,
    engine: Engine = None,
    runtime: RuntimeName = None,
    precision: PrecisionName = None,
    threads: Threads = None,
) -> None:
    """Serve models over HTTP, with a page to try them on.

    `mindssd serve model.onnx` and then `curl -T photo.jpg -X POST
    http://127.0.0.1:8000/v1/detect`, or open http://127.0.0.1:8000/ in a browser.

    Where MINDSSD_TOKEN is set, requests must bear it. A model's file that is replaced is opened
    again. SIGTERM and Ctrl-C end it once what was asked is answered. Needs `mindssd[serve]`.
    """
    from mindssd.serve.job import serve as serve_models
    from mindssd.serve.settings import TOKEN_VARIABLE, Limits, Settings

    token = os.environ.get(TOKEN_VARIABLE)
    if token is not None and not token.strip():
        raise ConfigError(f"{TOKEN_VARIABLE} is empty: give it a value, or unset it")
    limits = Limits(
        max_body_bytes=max_body_mb << 20,
        max_images=max_images,
        max_pixels=round(max_megapixels * 1e6),
        queue_size=queue,
        timeout_s=timeout_s,
        max_connections=max_connections,
        buffered_bytes=max(Limits.buffered_bytes, 4 * max_body_mb << 20),
    )
    settings = Settings(
        host=host,
        port=port,
        max_batch=max_batch,
        max_wait_s=max_wait_ms / 1000,
        origins=tuple(cors or ()),
        token=None if token is None else token.strip(),
        access_log=access_log,
        limits=limits,
    )
    model_settings = {
        "device": device,
        "engine": engine,
        "runtime": None if runtime is None else runtime.value,
        "precision": None if precision is None else precision.value,
        "threads": threads,
    }
    serve_models(models, model_settings, settings)

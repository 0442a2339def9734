"""Serve models until a signal says that it is enough."""

import asyncio
import contextlib
import logging
import socket
import sys
from collections.abc import Mapping, Sequence
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import uvicorn

from mindssd.build.published import find_model
from mindssd.errors import ConfigError, EngineError
from mindssd.files import shown
from mindssd.platform import allow_open_files, available_cores
from mindssd.serve.app import Service, build_app
from mindssd.serve.connections import Server, protocol
from mindssd.serve.detecting import Detecting
from mindssd.serve.metrics import Metrics
from mindssd.serve.models import Models, named
from mindssd.serve.runner import Batched, Runner
from mindssd.serve.settings import TOKEN_VARIABLE, Settings

_BACKLOG = 2048
_SPARE_FILES = 64
"""Descriptors beside those of connections: libraries, models, standard streams."""


def serve(words: Sequence[str], model_settings: Mapping[str, Any], settings: Settings) -> None:
    """Open the models and serve them; ends at SIGINT or SIGTERM, once what was asked is answered.

    `words` are MODEL or NAME=MODEL, `model_settings` those of `build.model.open_model`.
    MindSSDError where a model cannot be opened or the port cannot be had.
    """
    _log_to_stderr()
    _require_files(settings.limits.max_connections)
    paths = {name: find_model(model, _say) for name, model in named(list(words)).items()}
    with contextlib.closing(listen(settings.host, settings.port)) as listener:
        service = build_service(paths, model_settings, settings)
        try:
            _tell(service, listener, settings)
            asyncio.run(build_server(service).serve([listener]))
        finally:
            service.models.close()
            service.detecting.close()


def build_service(
    paths: Mapping[str, Path], model_settings: Mapping[str, Any], settings: Settings
) -> Service:
    """Open the models."""
    metrics = Metrics()

    def batched(name: str) -> Batched:
        sizes, seconds = metrics.batch_size.labels(name), metrics.batch_seconds.labels(name)

        def tell(size: int, taken: float) -> None:
            sizes.observe(size)
            seconds.observe(taken)

        return tell

    num_cores = model_settings.get("threads") or available_cores()
    models = Models(
        paths,
        model_settings,
        start=lambda opening, tell: Runner(
            opening, settings.max_batch, settings.max_wait_s, tell, num_cores
        ),
        batched=batched,
        reloaded=lambda name, taken: metrics.reloads.labels(name, str(taken).lower()).inc(),
    )
    limits = settings.limits
    detecting = Detecting(settings.num_threads, limits.queue_size, limits.max_pixels)
    return Service(settings, metrics, models, detecting)


def build_server(service: Service) -> Server:
    """What answers, on a socket that is given to it."""
    settings = service.settings
    limits = settings.limits
    config = uvicorn.Config(
        build_app(service),
        http=protocol(limits.max_connections, limits.idle_s, settings.drain_s),
        ws="none",
        loop="asyncio",
        lifespan="off",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        backlog=_BACKLOG,
        timeout_keep_alive=int(limits.idle_s) + 1,
        timeout_graceful_shutdown=int(limits.timeout_s + settings.drain_s) + 5,
    )

    async def watch() -> None:
        await service.models.watch(settings.reload_s)

    return Server(config, [watch], service.end)


def listen(host: str, port: int) -> socket.socket:
    """A socket that takes connections; ConfigError where it cannot be had."""
    try:
        family, _, _, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        return socket.create_server(address[:2], family=family, backlog=_BACKLOG)
    except (OSError, UnicodeError) as error:
        said = str(getattr(error, "strerror", None) or error)
        reason = said.partition(" (while ")[0]  # Python repeats the address
        raise ConfigError(
            f"{host} port {port}: {reason}; choose others by --host, --port"
        ) from error


def _tell(service: Service, listener: socket.socket, settings: Settings) -> None:
    host, port = listener.getsockname()[:2]
    shown_host = f"[{host}]" if ":" in host else host
    for served in service.models.by_name.values():
        _say(f"{served.name}: {shown(served.path)}, {served.opened.description}")
    _say(f"serves at http://{shown_host}:{port}/ until Ctrl-C")
    if settings.token is None and not ip_address(host.partition("%")[0]).is_loopback:
        _say(
            f"whoever reaches {shown_host} may use it: set {TOKEN_VARIABLE} to ask for a token, "
            "or put a proxy before it (docs/serve.md)"
        )


def _require_files(max_connections: int) -> None:
    """Allow as many open files as there may be connections."""
    needed = max_connections + _SPARE_FILES
    allowed = allow_open_files(needed)
    if allowed < needed:
        raise EngineError(
            f"{max_connections} connections need {needed} open files, and the system allows "
            f"{allowed}: give a lower --max-connections, or raise it (ulimit -Hn)"
        )


def _say(line: str) -> None:
    with contextlib.suppress(OSError, ValueError):
        print(line, file=sys.stderr, flush=True)


def _log_to_stderr() -> None:
    """Warnings as a line each, but not of damaged requests, which anyone can cause."""
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s %(name)s: %(message)s")
    for name in ("uvicorn.error", "python_multipart", "mindssd.images"):
        logging.getLogger(name).setLevel(logging.ERROR)

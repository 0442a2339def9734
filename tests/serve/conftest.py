"""A service on a model that is a formula, and plain ways to speak to it."""

import asyncio
import http.client
import json
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
import pytest

from mindssd.types import Array
from tests.deploy.conftest import deploy, writer

__all__ = ["deploy"]

if TYPE_CHECKING:
    from mindssd.serve.app import Service

NEEDED = ("onnxruntime", "fastapi", "uvicorn", "prometheus_client", "python_multipart")
if not all(map(find_spec, NEEDED)):
    collect_ignore_glob = ["test_*.py"]  # mindssd[serve] is not installed

PATIENCE_S = 60.0


@dataclass(frozen=True)
class Answer:
    """What came back."""

    status: int
    headers: Any
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def error(self) -> str:
        """The one line that a refusal is."""
        assert list(self.json) == ["error"]
        return str(self.json["error"])


@dataclass(frozen=True, eq=False)
class Running:
    """A service that listens at a port of this machine."""

    port: int
    service: "Service"

    def ask(self, path: str, body: Any = None, method: str = "", **headers: str) -> Answer:
        """One request; `Content_Type` stands for Content-Type."""
        words = {name.replace("_", "-"): value for name, value in headers.items()}
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=PATIENCE_S)
        try:
            connection.request(method or ("GET" if body is None else "POST"), path, body, words)
            answer = connection.getresponse()
            return Answer(answer.status, answer.headers, answer.read())
        finally:
            connection.close()

    def detect(self, body: Any, query: str = "", kind: str = "image/png") -> Answer:
        return self.ask(f"/v1/detect{query}", body, Content_Type=kind)

    def connect(self) -> socket.socket:
        return socket.create_connection(("127.0.0.1", self.port), timeout=PATIENCE_S)

    def send(self, text: bytes) -> bytes:
        """Send bytes as they are, and give all that comes back until the connection's end."""
        with self.connect() as connection:
            connection.sendall(text)
            return everything(connection)


def everything(connection: socket.socket) -> bytes:
    parts = []
    while part := connection.recv(1 << 16):
        parts.append(part)
    return b"".join(parts)


Start = Callable[..., AbstractContextManager[Running]]


@contextmanager
def running(
    *models: Path, limits: dict[str, Any] | None = None, threads: int | None = None, **own: Any
) -> Iterator[Running]:
    """Serve models, each by its file's name, in a thread, until the end of the block."""
    from mindssd.serve.job import build_server, build_service, listen
    from mindssd.serve.settings import Limits, Settings

    given: dict[str, Any] = {"port": 0, "access_log": False, "drain_s": 0.05, **own}
    settings = Settings(**given, limits=Limits(**(limits or {})))
    paths = {path.stem: path for path in models}
    service = build_service(paths, {"threads": threads}, settings)
    listener = listen(settings.host, settings.port)
    server = build_server(service)
    thread = threading.Thread(target=lambda: asyncio.run(server.serve([listener])))
    thread.start()
    try:
        yield Running(listener.getsockname()[1], service)
    finally:
        server.handle_exit(15, None)
        thread.join(PATIENCE_S)
        service.models.close()
        service.detecting.close()
    assert not thread.is_alive()


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A deployed file of three classes, whose scores rise with an image's brightness."""
    return writer(tmp_path_factory.mktemp("served"))()


@pytest.fixture(scope="module")
def one(model: Path) -> Iterator[Running]:
    """A service with all at its default."""
    with running(model) as service:
        yield service


def picture(seed: int = 0, size: tuple[int, int] = (90, 120)) -> Array:
    """(H, W, 3) uint8 RGB: noise, brighter for a greater seed."""
    rng = np.random.default_rng(seed)
    return rng.integers(0, 120 + 15 * (seed % 9), (*size, 3), dtype=np.uint8)


def png(image: Array) -> bytes:
    return cv2.imencode(".png", image[:, :, ::-1])[1].tobytes()


def form(*parts: tuple[str, str | None, bytes]) -> tuple[bytes, str]:
    """A form of (name, file name or None, content), and its type."""
    boundary = "border"
    pieces = []
    for name, file, content in parts:
        own = f'; filename="{file}"' if file is not None else ""
        head = f'--{boundary}\r\nContent-Disposition: form-data; name="{name}"{own}\r\n\r\n'
        pieces.append(head.encode() + content + b"\r\n")
    body = b"".join(pieces) + f"--{boundary}--\r\n".encode()
    return body, f"multipart/form-data; boundary={boundary}"

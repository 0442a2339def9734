"""A mirror of MindCV's server on this machine, which may misbehave, and files for it."""

import hashlib
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mindssd import files
from mindssd.types import Array
from mindssd.weights import download
from mindssd.weights.mindspore_checkpoint import write_checkpoint
from mindssd.weights.published import PUBLISHED
from tests.golden.facts import REDUCED, Golden, parameter_by_rule


class Handler(BaseHTTPRequestHandler):
    """Serves `server.content`; the server's attributes say how it misbehaves."""

    def do_GET(self):
        server = self.server
        server.requests.append((self.path, self.headers.get("Range")))
        if server.status != 200:
            self.send_error(server.status)
            return
        start = 0
        wanted = self.headers.get("Range")
        if wanted and server.ranges:
            start = int(wanted.removeprefix("bytes=").removesuffix("-"))
            if start >= len(server.content):
                self.send_error(416)
                return
            self.send_response(206)
            end = len(server.content) - 1
            self.send_header("Content-Range", f"bytes {start}-{end}/{end + 1}")
        else:
            self.send_response(200)
        body = server.content[start:]
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if server.cut_after:
            body = body[: server.cut_after.pop(0)]
        self.wfile.write(body)

    def log_message(self, *details):
        pass


@contextmanager
def mirror(monkeypatch: pytest.MonkeyPatch, cache: Path) -> Iterator[Any]:
    """A server that has nothing yet; from now on what is published is fetched there, into `cache`.

    `requests` has the path and range of each request, `content` is what it sends, whatever the
    path, `status` what it answers, `ranges` whether it can continue a transfer, and `cut_after`
    after how many bytes each of the next answers ends.
    """
    server: Any = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.requests, server.cut_after = [], []
    server.content, server.status, server.ranges = b"", 200, True
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    url = f"http://127.0.0.1:{server.server_address[1]}/mirror/"
    monkeypatch.setenv(download.BASE_URL_VARIABLE, url)
    monkeypatch.setenv(files.CACHE_VARIABLE, str(cache))
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


def publish(monkeypatch: pytest.MonkeyPatch, server: Any, name: str, content: bytes) -> None:
    """Let a published name stand for this content, which the server sends."""
    path, _, suffix = PUBLISHED[name].path.rpartition("-")
    digest = hashlib.sha256(content).hexdigest()[: len(suffix) - len(".ckpt")]
    renamed = replace(PUBLISHED[name], path=f"{path}-{digest}.ckpt")
    monkeypatch.setitem(PUBLISHED, name, renamed)
    server.content = content


def detector_file(recipe: str, path: Path, **others: Array) -> bytes:
    """A detector's file by the golden rule, with what a training of MindCV's leaves beside it."""
    shapes = Golden(recipe, REDUCED).reference_shapes()
    tensors = {name: parameter_by_rule(name, shape) for name, shape in shapes.items()} | others
    first = next(iter(shapes))
    state = {f"moments.{first}": np.zeros_like(tensors[first])}
    state |= {"global_step": np.array([7], np.int32), "epoch_num": np.array(500, np.int32)}
    state |= {"learning_rate": np.linspace(0.05, 0, 7).astype(np.float32)}
    write_checkpoint(path, tensors | state)
    return path.read_bytes()

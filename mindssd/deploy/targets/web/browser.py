"""A page run in a browser without a window: what it finds in pictures.

A server of this process alone, on loopback, gives the folder as any static server would, and the
pictures; the page's own worker looks at them and sends back what it found.
"""

import json
import os
import shutil
import signal
import subprocess
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import cv2
import numpy as np

from mindssd.errors import MindSSDError
from mindssd.types import Array

PROGRAMS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
PATIENCE_S = 300.0
"""How long a page may work on one picture: a large network without threads takes many seconds."""
_MAX_BYTES = 1 << 30
_VERIFY = Path(__file__).parent / "verify.js"
_HTML = b'<!doctype html><script type="module" src="/verify.js"></script>'


class NotTriedError(Exception):
    """The browser could not be started, or came to no result: nothing is known of the page."""


@dataclass(frozen=True, eq=False)
class Seen:
    """What a page found in one picture."""

    boxes: Array
    """(A, 4) float32, as the network gives them."""
    scores: Array
    """(A, C) float32."""
    found: dict[str, Any]
    """What it would show: `detections`, and `own` by the model's own thresholds."""


@dataclass(eq=False)
class Post:
    """What a page is given, and what came back."""

    pictures: list[bytes]
    lowest: float
    parts: dict[str, bytes] = field(default_factory=dict)
    ended: threading.Event = field(default_factory=threading.Event)


def find_browser() -> str | None:
    """The program of a browser, None where there is none that is known."""
    return next((found for name in PROGRAMS if (found := shutil.which(name))), None)


def look_in_browser(
    program: str, folder: Path, pictures: Sequence[Array], lowest: float
) -> tuple[str, list[Seen]]:
    """What the page in `folder` finds above the score `lowest`, and what it ran on, in words.

    `pictures` are (H, W, 3) uint8 RGB. NotTriedError where the browser is at fault, MindSSDError
    where the page is.
    """
    post = Post([_png(picture) for picture in pictures], lowest)
    with _served(folder, post) as address, _browser(program, f"{address}/verify.html") as process:
        wait_for_end(post, process, program)
    if "/fault" in post.parts:
        raise MindSSDError(f"the page fails in {program}: {post.parts['/fault'].decode()}")
    return post.parts["/end"].decode(), [_seen(post, index) for index in range(len(pictures))]


def wait_for_end(post: Post, process: "subprocess.Popen[bytes]", program: str) -> None:
    """NotTriedError where the browser ends by itself, or nothing comes for `PATIENCE_S`."""
    heard, end = 0, time.monotonic() + PATIENCE_S
    while not post.ended.wait(0.1):
        if process.poll() is not None:
            raise NotTriedError(f"{program} ended with status {process.returncode}")
        if len(post.parts) > heard:
            heard, end = len(post.parts), time.monotonic() + PATIENCE_S
        if time.monotonic() > end:
            raise NotTriedError(f"{program} gave nothing for {PATIENCE_S:.0f} s")


def _seen(post: Post, index: int) -> Seen:
    boxes, scores = (
        np.frombuffer(post.parts[f"/{name}/{index}"], np.float32) for name in ("boxes", "scores")
    )
    boxes = boxes.reshape(-1, 4)
    found = json.loads(post.parts[f"/found/{index}"])
    return Seen(boxes, scores.reshape(len(boxes), -1), found)


def _png(picture: Array) -> bytes:
    content: bytes = cv2.imencode(".png", picture[:, :, ::-1])[1].tobytes()
    return content


@contextmanager
def _served(folder: Path, post: Post) -> Iterator[str]:
    own = {
        "/verify.html": ("text/html", _HTML),
        "/verify.js": ("text/javascript", _VERIFY.read_bytes()),
        "/pictures.json": (
            "application/json",
            json.dumps({"count": len(post.pictures), "lowest": post.lowest}).encode(),
        ),
        **{f"/pictures/{i}.png": ("image/png", data) for i, data in enumerate(post.pictures)},
    }

    class Handler(SimpleHTTPRequestHandler):
        def __init__(self, *words: Any) -> None:
            super().__init__(*words, directory=str(folder))

        def do_GET(self) -> None:
            if self.path not in own:
                super().do_GET()
                return
            kind, data = own[self.path]
            self.send_response(200)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def do_POST(self) -> None:
            length = int(self.headers.get("Content-Length") or 0)
            if length > _MAX_BYTES:
                self.send_error(413)
                return
            post.parts[self.path] = self.rfile.read(length)
            self.send_response(204)
            self.end_headers()
            if self.path in ("/end", "/fault"):
                post.ended.set()

        def log_message(self, *words: Any) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads = True
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()


@contextmanager
def _browser(program: str, address: str) -> Iterator["subprocess.Popen[bytes]"]:
    words = ["--headless=new", "--disable-gpu", "--no-first-run", "--disable-extensions"]
    words += ["--disable-background-networking", "--disable-dev-shm-usage"]
    if os.geteuid() == 0:
        words.append("--no-sandbox")  # which the user root cannot have; the page is ours
    with TemporaryDirectory(prefix="mindssd-", ignore_cleanup_errors=True) as profile:
        try:
            process = subprocess.Popen(
                [program, *words, f"--user-data-dir={profile}", address],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                start_new_session=True,
            )
        except OSError as error:
            raise NotTriedError(f"{program} cannot be started: {error.strerror}") from error
        try:
            yield process
        finally:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()

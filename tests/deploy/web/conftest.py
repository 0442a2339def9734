"""A page made once, of a network that is a formula, and a browser to look at it."""

import json
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from mindssd import files
from mindssd.deploy.sessions.opening import open_session
from mindssd.deploy.sessions.session import RuntimeSettings
from mindssd.deploy.targets.web.folder import MODEL, write_page
from mindssd.deploy.targets.web.runtime import ARCHIVE, runtime_files
from mindssd.errors import MindSSDError
from tests.chromium import Page, chromium
from tests.deploy.conftest import writer


@pytest.fixture(scope="session")
def runtime(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """onnxruntime-web from the user's cache, or from npm's registry into a folder of the tests'.

    Without either the test is skipped, and fails with CI set.
    """
    with pytest.MonkeyPatch.context() as patch:
        if not (files.cache_dir() / ARCHIVE).exists():
            patch.setenv(files.CACHE_VARIABLE, str(tmp_path_factory.mktemp("cache")))
        try:
            return runtime_files()
        except MindSSDError as error:
            if os.environ.get("CI"):
                pytest.fail(f"{error}, and CI is set", pytrace=False)
            pytest.skip(str(error))


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory, runtime: dict[str, bytes]) -> Path:
    """The page of a model of three classes, whose scores rise with an image's brightness."""
    return page_of(writer(tmp_path_factory.mktemp("model"))(), runtime, tmp_path_factory)


def page_of(
    model: Path, runtime: dict[str, bytes], tmp_path_factory: pytest.TempPathFactory
) -> Path:
    manifest = open_session(model, RuntimeSettings(device="CPU")).manifest
    result = tmp_path_factory.mktemp("pages") / "shapes"
    result.mkdir()
    (result / MODEL).write_bytes(model.read_bytes())
    write_page(result, manifest, "shapes", runtime)
    return result


@dataclass
class Static:
    """A static server, and what was asked of it."""

    address: str = ""
    asked: list[str] = field(default_factory=list)


ISOLATED = {
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Embedder-Policy": "require-corp",
}


@contextmanager
def static(folder: Path, **headers: str) -> Iterator[Static]:
    """What `python -m http.server` is, with headers of its own."""
    result = Static()

    class Handler(SimpleHTTPRequestHandler):
        def end_headers(self) -> None:
            for name, value in headers.items():
                self.send_header(name, value)
            super().end_headers()

        def log_request(self, *words: Any) -> None:
            result.asked.append(self.path)

        def log_message(self, *words: Any) -> None:
            pass

    handler = partial(Handler, directory=str(folder))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        result.address = f"http://127.0.0.1:{server.server_port}"
        yield result
        server.shutdown()
        thread.join()


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Page]:
    with chromium(tmp_path_factory.mktemp("browser")) as one:
        yield one


def call(page: Page, module: str, expression: str, **given: Any) -> Any:
    """What an expression gives, in which a module of the page is `it` and `given` are known."""
    names = ", ".join(given)
    return page.run(
        f"import('/{module}').then((it) => (({{{names}}}) => {expression})({json.dumps(given)}))"
    )

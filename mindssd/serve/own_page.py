"""The service's page: what all such pages share, and what is its own."""

from collections.abc import Callable
from pathlib import Path

from fastapi import FastAPI
from starlette.requests import Request
from starlette.responses import Response

from mindssd.pages.viewer import viewer_files, viewer_html

_OWN = Path(__file__).parent / "page"
_KINDS = {
    ".html": "text/html",
    ".css": "text/css",
    ".js": "text/javascript",
    ".svg": "image/svg+xml",
}

_TOKEN_FORM = """\
    <form id="token-form" hidden>
      <label>This service asks for a token
        <input id="token" type="password" autocomplete="current-password" required>
      </label>
      <button type="submit">Use it</button>
    </form>
"""


def add_page(app: FastAPI) -> None:
    """Give the page at `/`, and what belongs to it below `/page/`."""
    html = viewer_html("mindssd", "They go to this service and nowhere else.", _TOKEN_FORM)
    app.add_route("/", _file(html, _KINDS[".html"]))
    own = {path.name: path.read_bytes() for path in _OWN.iterdir()}
    for name, content in {**viewer_files(), **own}.items():
        app.add_route(f"/page/{name}", _file(content, _KINDS[Path(name).suffix]))


def _file(content: bytes, kind: str) -> Callable[[Request], Response]:
    def give(request: Request) -> Response:
        return Response(content, media_type=kind, headers={"Cache-Control": "no-cache"})

    return give

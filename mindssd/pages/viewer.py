"""The page on which pictures are looked at: what the service's and an exported one share.

Its scripts and its style lie beside it in `page/`. `page.js`, which is each page's own, tells
`viewer.js` what looks at a picture and what the model is.
"""

from pathlib import Path
from string import Template

from mindssd.pages.html import text

_ASSETS = Path(__file__).parent / "assets"
_HTML = "viewer.html"


def viewer_html(title: str, where: str, before: str = "", policy: str = "") -> bytes:
    """The page itself. `title` is plain text, and so is `where`, which says where pictures go.

    `before` stands above the picture, as HTML; `policy` is what the page may load, as a
    Content-Security-Policy.
    """
    meta = f'<meta http-equiv="Content-Security-Policy" content="{policy}">\n' if policy else ""
    template = Template((_ASSETS / _HTML).read_text(encoding="utf-8"))
    words = {"title": text(title), "where": text(where), "before": before, "policy": meta}
    return template.substitute(words).encode()


def viewer_files() -> dict[str, bytes]:
    """What belongs into `page/`, by name."""
    return {path.name: path.read_bytes() for path in _ASSETS.iterdir() if path.name != _HTML}

"""The parts of a page as text: nothing is fetched, pictures and charts are inside."""

import re
from collections.abc import Iterable, Sequence
from html import escape

from mindssd.errors import printable
from mindssd.pages.style import STYLE


def page(title: str, body: Iterable[str]) -> str:
    """A whole page around parts that are HTML already; `title` is plain text."""
    policy = "default-src 'none'; img-src data:; style-src 'unsafe-inline'"
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        '<link rel="icon" href="data:,">'
        f"<title>{text(title)}</title><style>{STYLE}</style></head>"
        f"<body><main>{''.join(body)}</main></body></html>\n"
    )


def section(title: str, parts: Iterable[str]) -> list[str]:
    """A section, none where it has nothing to show."""
    inside = "".join(parts)
    return [f"<section><h2>{title}</h2>{inside}</section>"] if inside else []


def text(words: str) -> str:
    """Plain text as HTML has it."""
    return escape(printable(words))


def bullets(lines: Sequence[str]) -> str:
    """A list of lines of plain text."""
    return "<ul>" + "".join(f"<li>{text(line)}</li>" for line in lines) + "</ul>"


def prose(lines: Sequence[str]) -> str:
    """A list of lines of plain text, in which `words to type` stand in backticks."""
    items = (re.sub("`([^`]+)`", r"<code>\1</code>", text(line)) for line in lines)
    return "<ul>" + "".join(f"<li>{item}</li>" for item in items) + "</ul>"


def table(headings: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table of cells that are HTML already; the first column is words, the rest numbers."""
    head = "".join(f"<th>{heading}</th>" for heading in headings)
    body = "".join("<tr>" + "".join(f"<td>{cell}</td>" for cell in row) + "</tr>" for row in rows)
    inside = f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"
    return wide(inside, headings[0])


def wide(inside: str, name: str) -> str:
    """What may be wider than the page, and can be scrolled by keys too."""
    label = name or "table"
    return f'<div class="wide" tabindex="0" role="region" aria-label="{label}">{inside}</div>'


def details(title: str, inside: str) -> str:
    """HTML under a plain title that opens it."""
    return f"<details><summary>{text(title)}</summary>{inside}</details>"


def figure(address: str, words: str, kind: str = "", opens: str = "") -> str:
    """A picture with its words, nothing where it has no address.

    A click on it `opens` the popover of that name.
    """
    if not address:
        return ""
    picture = f'<img src="{address}" alt="{text(words)}" loading="lazy">'
    if opens:
        picture = f'<button class="open" popovertarget="{opens}">{picture}</button>'
    return f'<figure class="{kind}">{picture}<figcaption>{text(words)}</figcaption></figure>'


def popover(name: str, address: str, words: str) -> str:
    """A large picture over the page, which browsers open and close without a script."""
    return (
        f'<div popover id="{name}" role="dialog" aria-label="{text(words)}">'
        f'<img src="{address}" alt="{text(words)}" loading="lazy"><p>{text(words)} '
        f'<button popovertarget="{name}" popovertargetaction="hide">Close</button></p></div>'
    )


def chart(drawn: str, caption: str) -> str:
    """A chart with its caption, which are HTML already."""
    return f"<figure>{drawn}<figcaption>{caption}</figcaption></figure>"


def charts(inside: Iterable[str]) -> str:
    """Charts beside each other, nothing where there are none."""
    joined = "".join(inside)
    return f'<div class="charts">{joined}</div>' if joined else ""


def figures(inside: Iterable[str], kind: str = "") -> str:
    """Figures beside each other, nothing where there are none."""
    joined = "".join(inside)
    return f'<div class="figures {kind}">{joined}</div>' if joined else ""

"""Addresses of streams: what one is, and how it is shown without its passwords and tokens."""

import re
from pathlib import Path
from urllib.parse import unquote

SCHEMES = ("rtsp", "rtsps", "rtmp", "rtmps", "http", "https", "udp", "tcp", "rtp")

_ADDRESS = re.compile(rf"(?:{'|'.join(SCHEMES)})://\S+", re.IGNORECASE)
_BEGINNING = re.compile(r"[a-z][a-z0-9+.-]+:/", re.IGNORECASE)  # C:/ begins a path
_PLAIN_HOST = re.compile(
    r"(?:\[[0-9a-fA-F:.%]+\]|[^:@/?#\[\]]+)(?::\d*(?=/|$|[?#][^@]*$)|(?=[/?#]|$))"
)
_VALUE = re.compile(r"(=|%3D)[^/]*", re.IGNORECASE)


def is_address(word: str) -> bool:
    return _ADDRESS.fullmatch(word) is not None


def looks_like_address(word: str) -> bool:
    """Whether it is one, if only of a kind that is not read, or mistyped.

    Also as a path, which has one slash of the two.
    """
    return "://" in word or _BEGINNING.match(word) is not None


def is_http(address: str) -> bool:
    return re.match(r"https?://", address, re.IGNORECASE) is not None


def redacted(address: str) -> str:
    """An address as it may be shown and written: without user, password, query and fragment.

    rtsp://user:password@host:554/street?token=… becomes rtsp://host:554/street?… . What follows a
    "=" in the path goes too: some cameras take a password there. Where one holds / ? # or @ as they
    are, rather too much is left out.
    """
    scheme, mark, rest = address.partition("://" if "://" in address else ":/")
    if not mark:
        return address
    place, marks = _place_and_marks(rest)
    return f"{scheme}{mark}{place}{marks}"


def shown(path: str | Path) -> str:
    """A path as messages show it: `redacted` where an address was given in a path's place."""
    return redacted(str(path)) if looks_like_address(str(path)) else str(path)


def file_name(address: str, suffixes: frozenset[str]) -> str:
    """What a file made of an address may be called: the last part of its path, if that is a file's.

    http://host/garden/photo.jpg?key=… gives photo.jpg, rtsp://host:554/street host_554_street.
    """
    place, _ = _place_and_marks(address.partition("://")[2])
    _, slash, last = unquote(place).rstrip("/").rpartition("/")
    stem, dot, suffix = last.rpartition(".")
    if slash and _plain(stem) and f".{suffix.lower()}" in suffixes:
        return f"{_plain(stem)}{dot}{suffix}"
    return _plain(unquote(place)) or "stream"


def _place_and_marks(rest: str) -> tuple[str, str]:
    """Host and path, and which of `?…` and `#…` follow."""
    if _PLAIN_HOST.match(rest) is None or "@" in re.split(r"[?#]", rest)[0].partition(":")[2]:
        rest = rest.rpartition("@")[2]
    place, query, _ = re.match(r"([^?#]*)(\?[^#]*)?(#.*)?", rest).groups()  # type: ignore[union-attr]
    return _VALUE.sub(r"\1…", place), "?…" if query else ""


def _plain(text: str) -> str:
    return re.sub(r"[^\w.-]+", "_", text).strip("_.")

"""What detections are asked for: images, videos, cameras, streams, standard input."""

import glob
import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from mindssd.errors import ImageError

IMAGE_SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".webp", ".bmp", ".tif", ".tiff"})
"""What counts as an image in a folder; a file given by name may be called anything."""

VIDEO_SUFFIXES = frozenset(
    {".mp4", ".m4v", ".mov", ".avi", ".mkv", ".webm", ".mpg", ".mpeg", ".wmv", ".gif"}
)
"""What counts as a video, by whichever way it is named."""

STANDARD_INPUT = "-"

_STREAM = re.compile(r"(?:rtsp|rtsps|rtmp|http|https|udp|tcp)://\S+")


@dataclass(frozen=True)
class ImageFile:
    path: Path

    @property
    def name(self) -> str:
        return str(self.path)


@dataclass(frozen=True)
class Video:
    """A video file, or with `is_live` a camera's number or a stream's address."""

    address: str
    is_live: bool = False

    @property
    def name(self) -> str:
        return f"camera {self.address}" if self.address.isdigit() else self.address

    @property
    def path(self) -> Path:
        """Where the file lies; of a camera or stream, what a file of it may be called."""
        if not self.is_live:
            return Path(self.address)
        # Of rtsp://user:password@host/street?key=…, nothing but the host and path.
        place = re.sub(r"^\w+://(?:[^@/]*@)?|[?#].*$", "", self.address)
        plain = re.sub(r"[^A-Za-z0-9.-]+", "_", place).strip("_.")
        return Path(f"camera_{plain}" if self.address.isdigit() else plain or "stream")


@dataclass(frozen=True)
class StandardInput:
    """An image or video that is piped in."""

    name = "standard input"
    path = Path("stdin")


Source = ImageFile | Video | StandardInput


def find_sources(words: Sequence[str]) -> list[Source]:
    """Files named, in named folders, and matched by globs, and what is live: each once, in order.

    ImageError for a name that is nothing, a folder without images or videos, and a glob without
    matches.
    """
    found: dict[Source, None] = {}
    for word in words:
        sources = list(_expand(word))
        if not sources:
            kinds = ", ".join(sorted(IMAGE_SUFFIXES | VIDEO_SUFFIXES))
            raise ImageError(f"{word}: no images there, and no videos ({kinds})")
        found.update(dict.fromkeys(sources))
    return list(found)


def _expand(word: str) -> Iterator[Source]:
    if word == STANDARD_INPUT:
        yield StandardInput()
        return
    if _STREAM.fullmatch(word) or (word.isdigit() and not Path(word).exists()):
        yield Video(word, is_live=True)
        return
    word = os.path.expanduser(word)  # noqa: PTH111 (a glob is no path)
    path = Path(word)
    if path.is_dir():
        suffixes = IMAGE_SUFFIXES | VIDEO_SUFFIXES
        named = (inner for inner in path.iterdir() if inner.suffix.lower() in suffixes)
        yield from map(_of, sorted(inner for inner in named if not inner.is_dir()))
    elif path.exists():
        yield _of(path)
    elif glob.has_magic(word):
        # Path.glob refuses absolute patterns.
        matches = glob.glob(word, recursive=True)  # noqa: PTH207
        yield from map(_of, sorted(path for path in map(Path, matches) if path.is_file()))
    else:
        raise ImageError(f"{word}: no such file or folder")


def _of(path: Path) -> Source:
    return Video(str(path)) if path.suffix.lower() in VIDEO_SUFFIXES else ImageFile(path)

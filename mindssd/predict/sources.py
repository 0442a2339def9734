"""What detections are asked for: images, videos, cameras, streams, standard input."""

import glob
import os
import shlex
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from mindssd.errors import ImageError
from mindssd.files import (
    SCHEMES,
    file_name,
    is_address,
    looks_like_address,
    redacted,
)
from mindssd.images import IMAGE_SUFFIXES
from mindssd.predict.kinds import (
    HEAD_BYTES,
    VIDEO_SUFFIXES,
    looks_like_picture,
    looks_like_video,
)

STANDARD_INPUT = "-"

_SUFFIXES = IMAGE_SUFFIXES | VIDEO_SUFFIXES
_OF_TWO_MEANINGS = frozenset({".ts", ".mts"})
"""Video, or TypeScript: the content tells."""

_MOST_FOLDERS = 2000
"""So many folders at most are looked through for images that were not asked for."""

_MOST_NAMES = 5


@dataclass(frozen=True)
class ImageFile:
    path: Path

    @property
    def name(self) -> str:
        return str(self.path)

    @property
    def stem(self) -> str:
        return self.path.stem


@dataclass(frozen=True)
class Video:
    """A file that is no plain picture, or with `is_live` a camera's number or a stream's address.

    What it is shows when it is opened. `number` tells apart addresses that look the same without
    their passwords and tokens, which only `address` holds.
    """

    address: str = field(repr=False)
    is_live: bool = False
    number: int = field(default=1, compare=False)

    @property
    def name(self) -> str:
        if not self.is_live:
            return self.address
        shown = f"camera {self.address}" if self.is_camera else redacted(self.address)
        return shown if self.number == 1 else f"{shown} ({self.number})"

    @property
    def is_camera(self) -> bool:
        return self.is_live and self.address.isdigit()

    @property
    def path(self) -> Path:
        """Where the file lies; of a camera or stream, what a file of it may be called."""
        if self.is_camera:
            return Path(f"camera_{self.address}")
        return Path(file_name(self.address, _SUFFIXES) if self.is_live else self.address)

    @property
    def stem(self) -> str:
        path = self.path
        if self.is_live and path.suffix.lower() not in _SUFFIXES:
            return path.name  # 192.168.0.7_street has no suffix
        return path.stem


@dataclass(frozen=True)
class StandardInput:
    """An image or video that is piped in."""

    name = "standard input"
    path = Path("stdin")
    stem = "stdin"


Source = ImageFile | Video | StandardInput


@dataclass(frozen=True)
class Found:
    """The sources in their order, each once, and a line for each place where more was passed by."""

    sources: list[Source]
    notes: list[str]


def find_sources(words: Sequence[str]) -> Found:
    """Files named, in named folders, and matched by globs, and what is live.

    ImageError for a name that is nothing, a folder without images or videos, and a glob without
    matches.
    """
    found: dict[Source, None] = {}
    notes: list[str] = []
    shown: Counter[str] = Counter()
    for word in words:
        for source in _expand(word, notes):
            if source in found:
                continue
            if isinstance(source, Video) and source.is_live:
                shown[source.name] += 1
                source = replace(source, number=shown[source.name])
            found[source] = None
    return Found(list(found), notes)


def _expand(word: str, notes: list[str]) -> list[Source]:
    if word == STANDARD_INPUT:
        return [StandardInput()]
    expanded = os.path.expanduser(word)  # noqa: PTH111 (a glob is no path)
    path = Path(expanded)
    if path.is_dir():
        return _in_folder(path, word, notes)
    if path.exists():
        return [_of(path)]
    # Only now: neither a colon nor digits alone keep a name from being a file's.
    if is_address(word) or word.isdecimal():
        return [Video(word, is_live=True)]
    if looks_like_address(word):
        kinds = ", ".join(SCHEMES)
        raise ImageError(
            f"{redacted(word)}: no such file, and not an address that can be read ({kinds})"
        )
    if glob.has_magic(expanded):
        return _matches(expanded, word, notes)
    raise ImageError(f"{word}: no such file or folder")


def _in_folder(folder: Path, word: str, notes: list[str]) -> list[Source]:
    """A folder's images and videos, by their suffix; ImageError where it has none."""
    try:
        with os.scandir(folder) as scanned:
            entries = sorted(scanned, key=lambda entry: entry.name)
    except OSError as error:
        raise ImageError(f"{word}: cannot be read: {error.strerror}") from error
    looked = _Looked(word)
    for entry in entries:
        looked.at(Path(entry.path), entry.is_dir(), entry.is_file())
    return looked.result(notes)


def _matches(pattern: str, word: str, notes: list[str]) -> list[Source]:
    """The images and videos that match, by suffix or else by content; ImageError for none."""
    looked = _Looked(word, by_content=True)
    # Path.glob refuses absolute patterns.
    for path in map(Path, sorted(glob.glob(pattern, recursive=True))):  # noqa: PTH207
        if not (path.is_dir() and "**" in pattern):  # what is in these matches itself
            looked.at(path, path.is_dir(), path.is_file())
    return looked.result(notes)


class _Looked:
    """What was met where there may be several files: what is taken of it, and what passed by."""

    def __init__(self, word: str, by_content: bool = False) -> None:
        self._word = word
        self._by_content = by_content
        self._taken: list[Source] = []
        self._passed: Counter[str] = Counter()
        self._folders: list[Path] = []

    def at(self, path: Path, is_folder: bool, is_file: bool) -> None:
        suffix = path.suffix.lower()
        if path.name.startswith("."):  # macOS puts ._photo.jpg beside photo.jpg
            self._passed["hidden"] += suffix in _SUFFIXES and not is_folder
        elif is_folder:
            self._folders.append(path)
        elif not is_file and path.exists():  # a link that leads nowhere is told when it is read
            self._passed["no plain file"] += 1  # a pipe could let one wait for ever
        elif suffix in _OF_TWO_MEANINGS or (self._by_content and suffix not in _SUFFIXES):
            self._take_or_pass(path, _by_content(path))
        else:
            self._take_or_pass(path, _by_suffix(path))

    def _take_or_pass(self, path: Path, source: Source | None) -> None:
        if source is None:
            self._passed[path.suffix.lower() or "without suffix"] += 1
        else:
            self._taken.append(source)

    def result(self, notes: list[str]) -> list[Source]:
        """The sources, and a note of what passed by; ImageError where there is no source."""
        parts = []
        if number := self._passed.total():
            kinds = [kind for kind, count in self._passed.most_common() if count]
            parts.append(f"{_count(number, 'file')} passed by ({_some(kinds)})")
        if inner := _with_images(self._folders):
            also = "also " if self._taken else ""
            within = shlex.quote(str(Path(glob.escape(str(inner[0].parent))) / "**" / "*"))
            parts.append(
                f"images {also}in {_count(len(inner), 'subfolder')}: "
                f"{_some([str(path) for path in inner])} (name them, or {within})"
            )
        if not self._taken:
            expected = "" if inner else " (expected .jpg, .png, .tif, .mp4, .mkv and their like)"
            parts.insert(0, f"no images there, and no videos{expected}")
            raise ImageError(f"{self._word}: {'; '.join(parts)}")
        if parts:
            notes.append(f"{self._word}: {'; '.join(parts)}")
        return self._taken


def _of(path: Path) -> Source:
    """A file that is named: an image by its suffix, or what shows when it is opened."""
    # Of a pipe or device the beginning can be looked at only once.
    is_image = path.suffix.lower() in IMAGE_SUFFIXES and path.is_file()
    return ImageFile(path) if is_image and not looks_like_video(_head(path)) else Video(str(path))


def _by_suffix(path: Path) -> Source | None:
    suffix = path.suffix.lower()
    if suffix in VIDEO_SUFFIXES:
        return Video(str(path))
    return ImageFile(path) if suffix in IMAGE_SUFFIXES else None


def _by_content(path: Path) -> Source | None:
    head = _head(path)
    return Video(str(path)) if looks_like_picture(head) or looks_like_video(head) else None


def _head(path: Path) -> bytes:
    """A file's first bytes; none where it cannot be read, which is told when it is opened."""
    try:
        with path.open("rb") as file:
            return file.read(HEAD_BYTES)
    except OSError:
        return b""


def _with_images(folders: Iterable[Path]) -> list[Path]:
    """Those of the folders that hold images or videos, however deep."""
    budget = iter(range(_MOST_FOLDERS))
    return [folder for folder in folders if _holds_images(folder, budget)]


def _holds_images(folder: Path, budget: Iterator[int]) -> bool:
    for _, folders, names in os.walk(folder):
        folders[:] = [name for name in folders if not name.startswith(".")]
        if any(Path(name).suffix.lower() in _SUFFIXES - _OF_TWO_MEANINGS for name in names):
            return True
        if next(budget, None) is None:
            return False
    return False


def _some(names: Sequence[str]) -> str:
    """The first of the names, and a sign that there are more."""
    return ", ".join(names[:_MOST_NAMES]) + (", …" if len(names) > _MOST_NAMES else "")


def _count(number: int, thing: str) -> str:
    return f"{number} {thing}" + ("" if number == 1 else "s")

"""Files below a folder, and which of them a name means that is not a path there."""

import os
import re
import unicodedata
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from urllib.parse import unquote

from mindssd.images import IMAGE_SUFFIXES

_ADDRESS = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+://[^/]*/?")
_DRIVE = re.compile(r"[A-Za-z]:(?=[/\\])")
_PERCENT = re.compile(r"%[0-9A-Fa-f]{2}")

MISSING = "image files missing"


def path_of(folder: Path | str, name: str) -> str:
    """Where a file lies that is named below a folder, or by its whole path."""
    return name if name.startswith("/") else f"{folder}/{name}"


def is_file(path: Path | str) -> bool:
    """Whether it is a file; a name that the system refuses, as too long, is not one."""
    return os.path.isfile(path)  # noqa: PTH113 - Path.is_file raises OSError for such a name


class Folder:
    """The files below a folder, listed once; `problem` says why it cannot be listed."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.problem = ""
        self._files: dict[str, set[str]] = {}
        self._folders: set[str] = set()
        waiting = [""]
        while waiting:
            waiting += self._list(waiting.pop())

    def has_file(self, name: str) -> bool:
        """Tell whether a path relative to the folder is a file, also over links and above it."""
        folder, _, file = name.rpartition("/")
        if folder not in self._files:
            self._list(folder)
        return file in self._files[folder]

    def has_folder(self, name: str) -> bool:
        return os.path.isdir(path_of(self.path, name))  # noqa: PTH112 - see `is_file`

    def files(self) -> Iterator[str]:
        """Yield the files below it, in no order."""
        for folder, files in self._files.items():
            if not folder.startswith((".", "/")):
                yield from (f"{folder}/{file}" if folder else file for file in files)

    def _list(self, folder: str) -> list[str]:
        """List one folder, and give those in it that are no links."""
        inner = []
        files = self._files.setdefault(folder, set())
        try:
            with os.scandir(path_of(self.path, folder)) as entries:
                for entry in entries:
                    if entry.is_file():
                        files.add(entry.name)
                    elif entry.is_dir(follow_symlinks=False):
                        inner.append(f"{folder}/{entry.name}" if folder else entry.name)
        except (OSError, ValueError) as error:
            if not folder:
                self.problem = getattr(error, "strerror", None) or str(error)
        return inner


@dataclass(frozen=True)
class Found:
    """The file that a name means, None where that is none or unclear, and what sort of name it is.

    `kind` is the subject of a line about all names of the sort.
    """

    file: str | None
    kind: str


class FileSearch:
    """Looks for files by the ends of their names; those in `taken` belong to other names."""

    def __init__(self, folder: Folder, taken: set[str]) -> None:
        self.folder = folder
        self.taken = taken
        self._by_name: dict[str, list[str]] = defaultdict(list)
        self._by_stem: dict[str, list[str]] = defaultdict(list)
        for file in folder.files():
            name = _key(file.rpartition("/")[2])
            self._by_name[name].append(file)
            if PurePosixPath(name).suffix in IMAGE_SUFFIXES:
                self._by_stem[PurePosixPath(name).stem].append(file)

    def find(self, names: Sequence[str]) -> list[Found]:
        """Find the file of each name; a file that several different names mean belongs to none."""
        found = [self._find(name) for name in names]
        claims: dict[str, set[str]] = defaultdict(set)
        for name, one in zip(names, found, strict=True):
            if one.file is not None:
                claims[one.file].add(name)
        shared = {file for file, its in claims.items() if len(its) > 1} | self.taken
        unclear = Found(None, "image names that mean the same file as another")
        return [unclear if one.file in shared else one for one in found]

    def _find(self, name: str) -> Found:
        if self.folder.has_folder(name):
            return Found(None, "image names that are folders")
        for path, kind in _readings(name):
            fitting = self._fitting(path)
            if len(fitting) > 1:
                return Found(None, "image names that more than one file fits")
            if fitting:
                return Found(fitting[0], kind or _difference(path, fitting[0]))
        return Found(None, MISSING)

    def _fitting(self, path: str) -> list[str]:
        """The files that agree best with a path's end; empty where none does."""
        parts = _parts(path)
        if not parts:
            return []
        name = _key(parts[-1])
        stem = PurePosixPath(name).stem
        same_name = self._by_name.get(name, [])
        # Of another suffix only where it has no file of its own.
        candidates = same_name or [*self._by_stem.get(stem, []), *self._by_stem.get(name, [])]
        parents = [_key(part) for part in parts[:-1]]
        ranked: dict[tuple[int, bool, bool], list[str]] = defaultdict(list)
        for file in dict.fromkeys(candidates):
            *folders, last = file.split("/")
            theirs = [_key(part) for part in folders]
            count = min(len(parents), len(theirs))
            if not count or parents[-count:] == theirs[-count:]:
                exact = last == parts[-1]
                ranked[count, exact, exact or _nfc(last) == _nfc(parts[-1])].append(file)
        return ranked[max(ranked)] if ranked else []


def sort_of_name(name: str) -> str:
    """Say in brackets what a name is that is no path below a folder; empty of a plain one."""
    if _ADDRESS.match(name):
        return " (an address; images are not fetched)"
    if "\\" in name or _DRIVE.match(name):
        return " (a path of another system)"
    return " (an absolute path)" if name.startswith("/") else ""


def ends_of(name: str) -> Iterator[str]:
    """Yield a name as a path, then without its first folder, its first two, and so on."""
    for path, _ in _readings(name):
        parts = _parts(path)
        yield from ("/".join(parts[first:]) for first in range(len(parts)))


def _readings(name: str) -> Iterator[tuple[str, str]]:
    """Yield the paths that a name may stand for, likeliest first, each with the name's kind."""
    path = name.strip()
    kind = "" if path == name else "image names with space around them"
    if address := _ADDRESS.match(path):
        path, kind = re.split(r"[?#]", path[address.end() :])[0], "image names that are addresses"
    elif "\\" in path:
        path, kind = path.replace("\\", "/"), "image names with backslashes"
    if drive := _DRIVE.match(path):
        path = path[drive.end() :]
    yield path, kind
    if _PERCENT.search(path):
        yield unquote(path), kind or "image names with percent signs"


def _difference(path: str, file: str) -> str:
    """Say in what a path differs from that of its file."""
    parts, theirs = _parts(path), file.split("/")
    if len(parts) > len(theirs):
        return "image names with other folders before them"
    if len(parts) < len(theirs):
        return "image names without their folder"
    if _nfc(path) == _nfc(file):
        return "image names in another form of Unicode"
    if _key(path) == _key(file):
        return "image names in other case"
    return "image names with another suffix"


def _parts(path: str) -> list[str]:
    return [part for part in path.split("/") if part not in ("", ".")]


def _nfc(text: str) -> str:
    return text if text.isascii() else unicodedata.normalize("NFC", text)


def _key(text: str) -> str:
    """What spellings of one name have in common."""
    return _nfc(text).casefold()

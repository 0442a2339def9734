"""What lies in a data set's folder, and which part a path belongs to."""

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from mindssd.errors import DatasetError
from mindssd.images import IMAGE_SUFFIXES

_PARTS = {
    part: re.compile(rf"(images?[ _-]?)?({words})(\d{{4}}|[ _-]?(images?|imgs?|set|split))?")
    for part, words in (
        ("train", "train|training|trainval"),
        ("val", "val|valid|validation|dev"),
        ("test", "test|testing"),
    )
}
_NOT_LISTED = ("__MACOSX",)
_OF_A_SET = ("images", "labels", "annotations", "jpegimages")
"""Folders that belong to a data set, and are none themselves."""


def part_named(word: str) -> str:
    """Which part a folder or list of this name is: "train", "val", "test" or, for others, ""."""
    return next((part for part, of in _PARTS.items() if of.fullmatch(word.casefold())), "")


def part_of(path: str) -> str:
    """Which part the folders of a path say it is in; "" where none does."""
    return next(filter(None, map(part_named, path.split("/")[:-1])), "")


def part_in_name(path: str) -> str:
    """Which part a list of annotations is for, by a word of its name or else by its folders."""
    words = re.split(r"[^A-Za-z0-9]+", stem_of(path))
    return next(filter(None, map(part_named, words)), "") or part_of(path)


@dataclass
class Tree:
    """The files below a folder, as sorted paths relative to `root`; hidden ones are left out.

    `problems` collects what seemed to be annotations and could not be read.
    """

    root: Path
    files: list[str]
    problems: list[str] = field(default_factory=list)

    @classmethod
    def of(cls, folder: Path) -> "Tree":
        """List a folder; one that holds a single folder and no file is passed through."""
        if folder.is_file():
            raise DatasetError(
                f"{folder}: is a file, and no .zip; expected the folder that it lies in, or that "
                "it is unpacked to (docs/data.md)"
            )
        if not folder.is_dir():
            raise DatasetError(
                f"{folder}: no such folder; expected images and annotations, such as train2017/ "
                "and annotations/instances_train2017.json, or a .zip of them (docs/data.md)"
            )
        try:
            while (inner := _only_folder(folder)) is not None:
                folder = inner
            return cls(folder, sorted(_files(folder)))
        except OSError as error:
            raise DatasetError(
                f"{folder}: the folder cannot be listed: {error.strerror or error}"
            ) from error

    def path(self, name: str) -> Path:
        return self.root / name

    @cached_property
    def _by_suffix(self) -> dict[str, list[str]]:
        found: dict[str, list[str]] = {}
        for name in self.files:
            found.setdefault(suffix_of(name), []).append(name)
        return found

    def with_suffix(self, *suffixes: str) -> list[str]:
        """The files of one of some suffixes, in small letters with their dots."""
        chosen = [self._by_suffix[suffix] for suffix in suffixes if suffix in self._by_suffix]
        return chosen[0] if len(chosen) == 1 else sorted(name for of in chosen for name in of)

    @cached_property
    def images(self) -> list[str]:
        return self.with_suffix(*IMAGE_SUFFIXES)

    @cached_property
    def image_set(self) -> frozenset[str]:
        return frozenset(self.images)

    @cached_property
    def file_set(self) -> frozenset[str]:
        return frozenset(self.files)

    @cached_property
    def folders(self) -> frozenset[str]:
        """All folders that hold files, also in folders of theirs."""
        found = set()
        for folder in {name.rpartition("/")[0] for name in self.files}:
            while folder not in found:
                found.add(folder)
                folder = folder.rpartition("/")[0]
        return frozenset(found)

    @cached_property
    def image_stems(self) -> dict[str, list[str]]:
        """The images by their path without suffix."""
        stems: dict[str, list[str]] = {}
        for name in self.images:
            stems.setdefault(without_suffix(name), []).append(name)
        return stems

    def some(self, suffix: str, per_folder: int = 20) -> Iterator[str]:
        """Yield files of a suffix, of each folder so many at most: what shows its format."""
        seen: dict[str, int] = {}
        for name in self.with_suffix(suffix):
            folder = name.rpartition("/")[0]
            seen[folder] = seen.get(folder, 0) + 1
            if seen[folder] <= per_folder:
                yield name

    def images_by_part(self) -> dict[str, list[str]]:
        """The images by the part that their folders name."""
        parts: dict[str, list[str]] = {}
        for name in self.images:
            parts.setdefault(part_of(name), []).append(name)
        return parts


def without_suffix(name: str) -> str:
    folder, slash, file = name.rpartition("/")
    return folder + slash + (file.rpartition(".")[0] or file)


# A PurePosixPath would take ten times as long, of hundreds of thousands of names.
def suffix_of(name: str) -> str:
    """The suffix in small letters, with its dot, "" where there is none."""
    _, dot, suffix = name.rpartition("/")[2].rpartition(".")
    return dot + suffix.casefold()


def stem_of(name: str) -> str:
    """The file's name without folders and suffix."""
    return without_suffix(name.rpartition("/")[2])


def one_of(names: list[str], part: str) -> str | None:
    """The only one of some files, or the only one in a part; None where there are more, or none."""
    if len(names) > 1 and part:
        names = [name for name in names if part_of(name) == part]
    return names[0] if len(names) == 1 else None


def common_folder(names: list[str]) -> str:
    """The deepest folder that holds all of some files, "" for the root."""
    folders = {name.rpartition("/")[0] for name in names}
    if len(folders) == 1:
        return folders.pop()
    return os.path.commonpath(folders) if folders and "" not in folders else ""


def _only_folder(folder: Path) -> Path | None:
    """The one folder that it holds, where it holds no more."""
    inside = [path for path in folder.iterdir() if _is_listed(path.name)]
    if len(inside) != 1 or not inside[0].is_dir():
        return None
    name = inside[0].name.casefold()
    return None if part_named(name) or name in _OF_A_SET else inside[0]


def _is_listed(name: str) -> bool:
    return not name.startswith(".") and name not in _NOT_LISTED


def _files(root: Path) -> Iterator[str]:
    """Yield the files below a folder, over links too, each folder once: by its own name, or else
    the first link's."""
    waiting: list[str] = [""]
    links: list[str] = []
    seen = set()
    while waiting or links:
        folder = waiting.pop() if waiting else links.pop(links.index(min(links)))
        path = f"{root}/{folder}"
        real = os.path.realpath(path)
        if real in seen:
            continue
        seen.add(real)
        with os.scandir(path) as entries:
            for entry in entries:
                if not _is_listed(entry.name):
                    continue
                name = f"{folder}/{entry.name}" if folder else entry.name
                if entry.is_dir():
                    (links if entry.is_symlink() else waiting).append(name)
                elif entry.is_file():
                    yield name

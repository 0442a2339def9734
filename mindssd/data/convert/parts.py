"""What is written of a data set: its parts, image by image, under names that fit the format."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Protocol
from unicodedata import category

from mindssd.types import Array, ImageSize


@dataclass(frozen=True)
class Picture:
    """One image as it is written: the file it is a copy of, and its name below the part's folder.

    `size` is (height, width); (0, 0) where nobody knows. `boxes_xywh` (n, 4) float64 in its pixels,
    `labels` (n,) from 1, `areas` (n,), `is_crowd` (n,) bool.
    """

    image_id: int
    source: Path
    name: str
    size: ImageSize
    boxes_xywh: Array
    labels: Array
    areas: Array
    is_crowd: Array


@dataclass(frozen=True)
class Part:
    """A part's pictures, and the data set's classes with their ids."""

    name: str
    class_names: tuple[str, ...]
    category_ids: tuple[int, ...]
    pictures: list[Picture]


@dataclass
class Changes:
    """Every change that was made on the way, as (part, what, which)."""

    rows: list[tuple[str, str, str]] = field(default_factory=list)

    def add(self, part: str, what: str, which: str) -> None:
        self.rows.append((part, what, which))

    def counts(self) -> Mapping[str, int]:
        counts: dict[str, int] = {}
        for _, what, _ in self.rows:
            counts[what] = counts.get(what, 0) + 1
        return counts


class Writer(Protocol):
    """Writes one format: where its images lie, and its annotation files."""

    one_folder: bool
    """Whether the images of all parts lie in one folder, without folders in it."""
    by_stem: bool
    """Whether two images may not differ in their suffix alone."""

    def image_path(self, part: str, name: str) -> str:
        """Where an image lies below the data set's folder."""

    def fit(self, part: Part, changes: Changes) -> Part:
        """Leave out what the format cannot hold, and say so."""

    def files(self, parts: list[Part]) -> Iterable[tuple[str, bytes]]:
        """Give the annotation files: their paths below the data set's folder, and contents."""


NO_NAME = {"Cc", "Cs", "Zl", "Zp"}
"""Control signs, bytes that are no text, and ends of lines and paragraphs, as Unicode has them."""


class Names:
    """Gives each image a name that no other has, on any system."""

    def __init__(self, one_folder: bool, by_stem: bool) -> None:
        self.one_folder = one_folder
        self.by_stem = by_stem
        self._taken: set[str] = set()

    def choose(self, part: str, name: str) -> str:
        """The name of an image of a part: its own as far as it can be.

        Bytes that are no text, and signs that end a line or are none, are `_`: no annotation file
        can name them.
        """
        path = PurePosixPath("".join("_" if category(c) in NO_NAME else c for c in name))
        if self.one_folder or path.is_absolute() or ".." in path.parts:
            path = PurePosixPath(path.name)
        number, chosen = 1, path
        while self._key(part, chosen) in self._taken:
            number += 1
            chosen = path.with_name(f"{path.stem}_{number}{path.suffix}")
        self._taken.add(self._key(part, chosen))
        return str(chosen)

    def _key(self, part: str, path: PurePosixPath) -> str:
        name = str(path.with_suffix("")) if self.by_stem else str(path)
        return f"{'' if self.one_folder else part}/{name.casefold()}"

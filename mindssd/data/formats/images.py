"""The images of a COCO file in columns, each once."""

import os
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from operator import attrgetter
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

from mindssd.data.check import Finding, count_where, finding_of
from mindssd.data.formats.coco_json import CocoImage, numbers
from mindssd.data.formats.ids import Key, key_of
from mindssd.data.sizes import size_words
from mindssd.errors import DatasetError, printable
from mindssd.types import Array

_LONGEST_SIDE = 2**20
"""OpenCV reads no longer one."""


@dataclass(frozen=True)
class Images:
    """N images: what their ids are told by, their names, and sizes (N, 2) int32, 0 if not given."""

    keys: list[Key]
    file_names: list[str]
    sizes: Array

    def at(self, places: Array) -> "Images":
        """Those at some positions."""
        chosen = places.tolist()
        return Images(
            [self.keys[place] for place in chosen],
            [self.file_names[place] for place in chosen],
            self.sizes[places],
        )

    def names(self) -> dict[str, int]:
        """Positions by file name, for annotations that name an image; without folders and suffix
        too, where one fits."""
        short = [name.replace("\\", "/").rpartition("/")[2] for name in self.file_names]
        stems = [PurePosixPath(name).stem for name in short]
        places: dict[str, int] = {}
        for spelled in (stems, short):
            counts = Counter(spelled)
            places |= {n: place for place, n in enumerate(spelled) if counts[n] == 1}
        return places | {name: place for place, name in enumerate(self.file_names)}


def read_images(
    entries: Sequence[CocoImage], annotation_file: Path
) -> tuple[Images, list[Finding]]:
    """Read the images, the first of each id; an id may come twice only for one file.

    One without an id or `file_name` is dropped. DatasetError where none is left, and for a name or
    a size that no image can have.
    """
    ids = list(map(attrgetter("id"), entries))
    names = list(map(attrgetter("file_name"), entries))
    findings: list[Finding] = []
    if not (
        set(map(type, ids)) == {int}
        and set(map(type, names)) == {str}
        and len(set(ids)) == len(ids)
    ):
        rows, ids, names, findings = _each_once(ids, names, annotation_file)
        entries = [entries[row] for row in rows]
    if not ids:
        with_both = " with id and file_name" if findings else ""
        raise DatasetError(f"{annotation_file}: has no images{with_both}; expected at least one")
    if not is_possible("".join(names)) or "" in names:
        key, name = next(
            (key, name) for key, name in zip(ids, names, strict=True) if not is_possible(name)
        )
        raise DatasetError(
            f"{annotation_file}: image {key} has file_name {name!r}, which no file can have; "
            "correct it"
        )
    return Images(ids, names, _sizes(entries, ids, names, annotation_file)), findings


def _each_once(
    ids: Sequence[Any], names: Sequence[Any], annotation_file: Path
) -> tuple[list[int], list[Key], list[str], list[Finding]]:
    """Choose the first image of each id: their rows, keys and names, and what was dropped."""
    rows: dict[Key, int] = {}
    unnamed: list[int] = []
    repeated: list[str] = []
    for row, (value, name) in enumerate(zip(ids, names, strict=True)):
        key = key_of(value)
        if key is None or type(name) not in (str, int):
            unnamed.append(row)
            continue
        first = rows.setdefault(key, row)
        if first == row:
            continue
        if names[first] != name:
            raise DatasetError(
                f"{annotation_file}: image id {key} is both {names[first]!r} "
                f"and {name!r}; expected one file for each id"
            )
        repeated.append(name)
    findings = []
    if unnamed:
        what = "images without id or file_name: dropped"
        findings.append(finding_of(what, [f"images[{row}]" for row in unnamed]))
    if repeated:
        what = "images listed more than once: kept once"
        findings.append(finding_of(what, repeated))
    chosen = list(rows.values())
    return chosen, list(rows), [str(names[row]) for row in chosen], findings


def merge_files(images: Images, source: str) -> tuple[Array, Array, list[Finding]]:
    """Find images that are one file under several ids: their boxes belong together.

    Gives the positions of those kept, (M,), the place of each image among these, (N,), and what was
    found. DatasetError where such images have different sizes.
    """
    places = np.arange(len(images.keys))
    if len(set(images.file_names)) == len(places):
        return places, places, []
    first: dict[str, int] = {}
    owner = places.copy()
    for place, name in enumerate(images.file_names):
        owner[place] = first.setdefault(name, place)
    again = np.flatnonzero(owner != np.arange(len(owner)))
    for place in again.tolist():
        mine, other = images.sizes[place], images.sizes[owner[place]]
        if mine.all() and other.all() and (mine != other).any():
            raise DatasetError(
                f"{source}: {printable(images.file_names[place])} is image "
                f"{images.keys[owner[place]]} of {size_words(other)} and image "
                f"{images.keys[place]} of {size_words(mine)}; expected one size for each file"
            )

    def example(row: int) -> str:
        place = again[row]
        return f"{images.file_names[place]}, {images.keys[owner[place]]} and {images.keys[place]}"

    what = "files listed under more than one id: their boxes put together"
    findings = count_where(np.ones(len(again), np.bool_), what, example)
    kept, places = np.unique(owner, return_inverse=True)
    return kept, places, findings


def is_possible(name: str) -> bool:
    """Tell whether a file can have this name."""
    try:
        return bool(name) and b"\0" not in os.fsencode(name)
    except UnicodeEncodeError:
        return False


def _sizes(
    entries: Sequence[CocoImage], keys: Sequence[Key], names: Sequence[str], annotation_file: Path
) -> Array:
    """Heights and widths (N, 2) int32, 0 where the file has to be asked; DatasetError for absurd
    ones."""
    columns = [list(map(attrgetter(what), entries)) for what in ("height", "width")]
    sides = np.stack([numbers(column) for column in columns], axis=1)
    absurd = (sides > _LONGEST_SIDE) & np.isfinite(sides)
    if absurd.any():
        row, column = np.argwhere(absurd)[0]
        what = ("height", "width")[column]
        raise DatasetError(
            f"{annotation_file}: image {keys[row]} ({printable(names[row])}) has {what} "
            f"{sides[row, column]:g}; expected at most {_LONGEST_SIDE} pixels; correct it, or "
            "leave it out to have it read from the file"
        )
    given = (np.isfinite(sides) & (sides >= 1)).all(axis=1)
    return np.where(given[:, None], sides, 0).astype(np.int32)

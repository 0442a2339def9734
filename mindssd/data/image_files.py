"""Which file each `file_name` of an annotation file means.

A name that is a file's path below the image folder is that file. For others a file is looked for
that agrees with their end: paths of another system or machine, addresses, names that are spelled
otherwise on this disk. It is taken where exactly one fits.
"""

import os
from collections import defaultdict
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import numpy as np

from mindssd.data.check import Finding, count_where, finding_of
from mindssd.data.file_search import MISSING, FileSearch, Folder, ends_of, is_file, sort_of_name
from mindssd.errors import DatasetError, printable
from mindssd.images import IMAGE_SUFFIXES
from mindssd.types import Array


@dataclass(frozen=True)
class ImageFiles:
    """The files of N images below their folder, or their annotated names where there is none.

    `present` (N,) bool tells which it is.
    """

    names: list[str]
    present: Array
    findings: list[Finding]


def find_files(
    file_names: Sequence[str], image_dir: Path, elsewhere: Collection[str] = ()
) -> ImageFiles:
    """Find the file of each name; DatasetError, with the cause, where there is none of them.

    Files of `elsewhere` are known to belong to another part of the data set.
    """
    folder = Folder(image_dir)
    names = [os.path.normpath(name) if "/" in name else name for name in file_names]
    listed = set(folder.files())
    there = listed.intersection(names)
    there.update(filter(folder.has_file, set(names) - there))  # over links, or from above
    present = np.fromiter(map(there.__contains__, names), np.bool_, len(names))
    lost = np.flatnonzero(~present).tolist()
    kinds: dict[str, list[int]] = defaultdict(list)
    if lost:
        search = FileSearch(folder, there)
        for row, found in zip(lost, search.find([file_names[row] for row in lost]), strict=True):
            kinds[found.kind].append(row)
            if found.file is not None:
                names[row], present[row] = found.file, True
                there.add(found.file)
    if not present.any():
        commonest = max(kinds, key=lambda kind: len(kinds[kind]))
        example = file_names[kinds[commonest][0]]
        cause = _cause(folder, example) if commonest == MISSING else commonest
        raise DatasetError(
            f"{image_dir}: has none of the {len(names)} annotated images, such as "
            f"{printable(example)}{sort_of_name(example)}; {printable(cause)}"
        )
    findings = []
    for kind, rows in sorted(kinds.items()):
        if present[rows[0]]:
            examples = [f"{file_names[row]}, {names[row]}" for row in rows]
            findings.append(finding_of(f"{kind}: found all the same", examples))
        else:
            examples = [file_names[row] for row in rows]
            findings.append(finding_of(f"{kind}: not trained on", examples))
    return ImageFiles(names, present, [*findings, *_unlisted(listed.difference(there, elsewhere))])


def _cause(folder: Folder, name: str) -> str:
    """Say why a folder does not have the file of this name, and the way out."""
    if folder.problem:
        return f"the folder cannot be listed: {folder.problem}"
    for end in ends_of(name):
        for place in _places_around(folder.path):
            if is_file(place / end):
                return f"{place / end} is there: move the images, or make the folder a link to them"
    there = min(folder.files(), default=None)
    has = "it has no files" if there is None else f"it has others, such as {there}"
    return f"{has}; expected them there, by the ends of their names at least"


def _places_around(image_dir: Path) -> list[Path]:
    """The folders beside an image folder, and the one that they lie in."""
    around = image_dir.parent
    try:
        return [around, *sorted(path for path in around.iterdir() if path.is_dir())]
    except OSError:
        return []


def _unlisted(files: set[str]) -> list[Finding]:
    """Count the images among files that nothing names."""
    others = sorted(
        file
        for file in files
        if PurePosixPath(file).suffix.lower() in IMAGE_SUFFIXES
        and not PurePosixPath(file).name.startswith(".")
    )
    what = "images of the folder that the annotations do not list: passed over"
    return count_where(np.ones(len(others), np.bool_), what, others.__getitem__)

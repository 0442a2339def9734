"""Rows as a format's reader collects them, a box each, and the columns that they become."""

import codecs
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from mindssd.data.check import Finding, finding_of
from mindssd.data.formats.annotations import Annotations
from mindssd.data.formats.images import Images, is_possible
from mindssd.data.formats.parsed import Parsed, name_classes
from mindssd.data.formats.tree import Tree, common_folder
from mindssd.errors import DatasetError
from mindssd.types import Array, ImageSize


class Faults:
    """What is left out while reading, by kind, with examples."""

    def __init__(self) -> None:
        self._examples: dict[str, list[str]] = {}

    def add(self, what: str, example: str) -> None:
        self._examples.setdefault(what, []).append(example)

    def findings(self) -> list[Finding]:
        return [finding_of(what, examples) for what, examples in self._examples.items()]


@dataclass
class Rows:
    """Images by name below a folder, with their sizes as (height, width), (0, 0) where not given;
    and boxes: the place of their image, class name, corners in pixels, and whether a crowd."""

    names: list[str] = field(default_factory=list)
    sizes: list[ImageSize] = field(default_factory=list)
    owners: list[int] = field(default_factory=list)
    classes: list[str] = field(default_factory=list)
    corners: list[Sequence[float]] = field(default_factory=list)
    crowds: list[bool] = field(default_factory=list)
    faults: Faults = field(default_factory=Faults)

    def add_image(self, name: str, size: ImageSize = (0, 0)) -> int:
        """Add an image; the place that its boxes name."""
        self.names.append(name)
        self.sizes.append(size)
        return len(self.names) - 1

    def add_box(
        self, owner: int, name: str, corners: Sequence[float], is_crowd: bool = False
    ) -> None:
        self.owners.append(owner)
        self.classes.append(name)
        self.corners.append(corners)
        self.crowds.append(is_crowd)

    def parsed(
        self,
        tree: Tree,
        source: str,
        all_classes: Sequence[str],
        elsewhere: frozenset[str] = frozenset(),
    ) -> Parsed:
        """The columns; classes are `all_classes` of the whole data set, in their order."""
        if not self.names:
            raise DatasetError(f"{source}: has no images; expected at least one")
        folder = common_folder(self.names)
        classes, categories = name_classes(self.classes, all_classes)
        if not classes:
            dropped = "".join(
                f"; {one.count} {one.what} ({one.example})" for one in self.faults.findings()[:1]
            )
            raise DatasetError(
                f"{source}: has {len(self.names)} images and not one box, so no classes{dropped}"
                f"{'' if dropped else '; label them'}"
            )
        return Parsed(
            source=source,
            image_dir=tree.path(folder),
            class_names=classes,
            category_ids=tuple(range(1, len(classes) + 1)),
            images=images_below(self.names, folder, self.sizes),
            annotations=annotations_of_corners(
                self.owners, categories, np.array(self.corners, np.float64), self.crowds
            ),
            findings=self.faults.findings(),
            sizes_expected=False,  # files without annotations have none, nor has every format
            elsewhere=names_below(elsewhere - set(self.names), folder),
        )


def join(parts: Sequence[Rows]) -> list[str]:
    """The class names of all parts' boxes, for `name_classes`."""
    return [name for rows in parts for name in rows.classes]


def images_below(names: Sequence[str], folder: str, sizes: Sequence[ImageSize] | None) -> Images:
    """Images numbered 1, 2, …, of names without the folder that they lie in.

    DatasetError for a name that no file can have.
    """
    if not is_possible("".join(names)):
        name = next(name for name in names if not is_possible(name))
        raise DatasetError(f"an image is called {name!r}, which no file can be; correct it")
    start = f"{folder}/" if folder else ""
    count = len(names)
    given = np.zeros((count, 2)) if sizes is None else np.array(sizes).reshape(-1, 2)
    return Images(
        list(range(1, count + 1)),
        [name.removeprefix(start) for name in names],
        given.astype(np.int32),
    )


def names_below(names: frozenset[str], folder: str) -> frozenset[str]:
    """Those that lie in a folder, relative to it."""
    start = f"{folder}/" if folder else ""
    return frozenset(name[len(start) :] for name in names if name.startswith(start))


def annotations_of_corners(
    owners: Sequence[int], categories: Array, corners: Array, crowds: Sequence[bool]
) -> Annotations:
    """Annotations of boxes (n, 4) as (x1, y1, x2, y2), in pixels or shares of their images."""
    corners = corners.reshape(-1, 4)
    return Annotations(
        images=np.array(owners, np.int64),
        categories=categories,
        boxes_xywh=np.concatenate([corners[:, :2], corners[:, 2:] - corners[:, :2]], axis=1),
        areas=np.full(len(corners), np.nan),
        is_crowd=np.array(crowds, np.bool_),
    )


def read_text(path: Path) -> str:
    """A text file, of UTF-8 with or without its mark, UTF-16 with it, or else of Latin-1.

    DatasetError where it cannot be read.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise DatasetError(f"{path}: cannot be read: {error.strerror or error}") from error
    if data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return data.decode("utf-16", "replace")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError:
        return data.decode("latin-1")

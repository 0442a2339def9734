"""YOLO's format: a text file an image, a line a box, in shares of the picture.

A line is `class x y width height`, x and y of the centre, or `class x1 y1 x2 y2 x3 y3 …`, a
polygon, which becomes its box. Layouts: https://docs.ultralytics.com/datasets/detect/ and darknet.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache, partial
from pathlib import PurePosixPath

import numpy as np

from mindssd.data.formats.layout import IN_NO_PART, Layout
from mindssd.data.formats.parsed import Parsed, without_collection
from mindssd.data.formats.rows import Faults, annotations_of_corners, images_below, names_below
from mindssd.data.formats.tree import Tree, common_folder, part_named, stem_of, without_suffix
from mindssd.data.formats.yolo_lists import Listed, class_list, find_lists
from mindssd.errors import DatasetError
from mindssd.types import Array

_LABELS = re.compile(r"(?<![^/])labels(?=/)", re.IGNORECASE)
_NO_BOX = "lines that are no class x y width height in numbers: dropped"
_NO_SHARE = "boxes far outside 0..1, no shares of their image: dropped"
_FARTHEST = 2.0
"""A share that no carelessness explains."""


def find_yolo(tree: Tree) -> Layout | None:
    """Find a data set in YOLO's format; None where nothing shows one."""
    listed = find_lists(tree)
    labels = _Labels(tree)
    if listed is None:
        if not labels.show_some():
            return None
        listed = Listed("", class_list(tree), tree.images_by_part())
    listed = _annotated_parts(listed, labels)
    if not any(labels.of(name) for names in listed.images.values() for name in names):
        if listed.place:
            raise DatasetError(
                f"{tree.path(listed.place)}: lists images, and none has a label file; expected "
                "labels/a.txt for images/a.jpg, or a.txt beside it"
            )
        return None
    parts = {part: partial(_read, tree, listed, labels, part) for part in listed.images}
    return Layout("yolo", "YOLO", listed.place or labels.example, parts)


def _annotated_parts(listed: Listed, labels: "_Labels") -> Listed:
    """Without the images in no part, where there are parts, and parts of folders without labels.

    A list's own training and validation parts stay as they are.
    """
    named = ("train", "val") if listed.names_parts else ()
    kept = {
        part: names
        for part, names in listed.images.items()
        if part in named or any(map(labels.of, names))
    }
    if "train" in kept:
        kept.pop("", None)
    left = [name for part, names in listed.images.items() if part not in kept for name in names]
    return replace(listed, images=kept, left_out=left) if kept else listed


class _Labels:
    """The label files of a tree, found by their images."""

    def __init__(self, tree: Tree) -> None:
        self.tree = tree
        self.files = {_key(name): name for name in tree.with_suffix(".txt")}
        self.example = ""
        self.of = cache(self._find)

    def _find(self, image: str) -> str | None:
        """The label file of an image: in `labels` for its `images`, or beside it."""
        stem = _key(image)
        folders = stem.split("/")
        for place in range(len(folders) - 2, -1, -1):
            if folders[place].casefold() in ("images", "jpegimages"):
                mirrored = [*folders[:place], "labels", *folders[place + 1 :]]
                if (found := self.files.get("/".join(mirrored))) is not None:
                    return found
        return self.files.get(stem) or self.files.get(f"labels/{stem}")

    def of_images(self, images: Sequence[str]) -> list[str]:
        return [found for image in images if (found := self.of(image)) is not None]

    def show_some(self) -> bool:
        """Whether label files of some images look like YOLO's."""
        if not self.files:
            return False
        looked_at = 0
        for name in self.of_images(self.tree.images):
            words = self.tree.path(name).read_bytes()[:4096].split(b"\n")[0].split()
            if words:
                looked_at += 1
                if len(words) >= 5 and _numbers(words) is not None:
                    self.example = name
                    return True
            if looked_at == 50:
                break
        return False

    def without_image(self, used: Sequence[str], lists: frozenset[str]) -> list[str]:
        """Files beside those used that belong to no image."""
        folders = {name.rpartition("/")[0] for name in used}
        stems = set(map(stem_of, self.tree.images))
        return [
            name
            for name in self.files.values()
            if name.rpartition("/")[0] in folders
            and stem_of(name) not in stems
            and name not in lists
            and PurePosixPath(name).name not in ("classes.txt", "labels.txt")
            and not part_named(stem_of(name))
            and not PurePosixPath(name).name.startswith(("README", "LICENSE"))
        ]


def _key(name: str) -> str:
    """A path without its suffix, a folder `Labels` spelled as labels."""
    return _LABELS.sub("labels", without_suffix(name))


@dataclass(frozen=True)
class _Lines:
    """n lines: their label files and numbers, and words: class, then numbers."""

    files: list[str]
    owners: list[int]
    numbers: list[int]
    words: list[list[bytes]]

    def place(self, row: int) -> str:
        return f"{self.files[row]}:{self.numbers[row]}"


def _read(tree: Tree, listed: Listed, labels: _Labels, part: str) -> Parsed:
    """Read a part: images in their order, and the boxes of each."""
    names = listed.images[part]
    source = f"{tree.path(listed.place)} (YOLO{', ' + part if part else ''})"
    if not names:
        raise DatasetError(f"{source}: has no images; expected at least one")
    faults = Faults()
    with without_collection():
        lines = _read_lines(tree, names, labels, faults)
        classes, corners, keep = _boxes(lines, listed.has_points, tree, faults)
    ids = {number: place for place, number in enumerate(listed.classes)}
    unknown = np.flatnonzero(~np.isin(classes, list(ids)) & keep)
    if len(unknown):
        row = int(unknown[0])
        raise DatasetError(
            f"{tree.path(lines.place(row))}: is of class {classes[row]}, but "
            f"{listed.classes_named_by(tree)}; add the names that are missing, in their order"
        )
    kept = np.flatnonzero(keep)
    categories = np.array([ids[number] for number in classes[kept].tolist()], np.int64)
    orphans = labels.without_image(labels.of_images(names), listed.files)
    for name in orphans:
        faults.add("label files without an image: passed over", name)
    if part in ("train", ""):
        for name in listed.left_out:
            faults.add(IN_NO_PART, name)
    folder = common_folder([name for name in names if name in tree.image_set] or names)
    others = frozenset(n for p, ns in listed.images.items() if p != part for n in ns)
    owners = np.array(lines.owners, np.int64)[kept].tolist()
    return Parsed(
        source=source,
        image_dir=tree.path(folder),
        class_names=tuple(listed.classes.values()),
        category_ids=tuple(listed.classes),
        images=images_below(names, folder, None),
        annotations=annotations_of_corners(
            owners, categories, corners[kept], np.zeros(len(kept), np.bool_).tolist()
        ),
        findings=[*listed.findings, *faults.findings()],
        in_shares=True,
        elsewhere=names_below(others - set(names), folder),
    )


def _read_lines(tree: Tree, names: Sequence[str], labels: _Labels, faults: Faults) -> _Lines:
    """Read the label files of images, those that are empty or absent as no lines."""
    lines = _Lines([], [], [], [])
    for owner, image in enumerate(names):
        name = labels.of(image)
        if name is None:
            continue
        try:
            with open(f"{tree.root}/{name}", "rb") as file:  # noqa: PTH123 - a Path costs more
                data = file.read()
        except OSError as error:
            raise DatasetError(
                f"{tree.path(name)}: cannot be read: {error.strerror or error}"
            ) from error
        for number, line in enumerate(data.removeprefix(b"\xef\xbb\xbf").splitlines(), start=1):
            words = line.split()
            if words:
                lines.files.append(name)
                lines.owners.append(owner)
                lines.numbers.append(number)
                lines.words.append(words)
    return lines


def _boxes(
    lines: _Lines, has_points: bool, tree: Tree, faults: Faults
) -> tuple[Array, Array, Array]:
    """Classes (n,) int64, corners (n, 4) in shares, and which lines are boxes, (n,) bool.

    DatasetError where most are none.
    """
    count = len(lines.words)
    values = np.zeros((count, 5))
    keep = np.ones(count, np.bool_)
    corners = np.zeros((count, 4))
    lengths = np.fromiter(map(len, lines.words), np.int64, count)
    plain = np.flatnonzero(lengths == 5)
    block = _numbers([word for row in plain.tolist() for word in lines.words[row]])
    if block is None:
        plain = np.zeros(0, np.int64)
    else:
        values[plain] = np.array(block).reshape(-1, 5)
        corners[plain] = _corners_of_centres(values[plain, 1:])
    slow = np.ones(count, np.bool_)
    slow[plain] = False
    for row in np.flatnonzero(slow).tolist():
        box = _box_of_words(lines.words[row], has_points, faults, lines, row)
        if box is None:
            keep[row] = False
            text = b" ".join(lines.words[row][:8]).decode("utf-8", "replace")
            faults.add(_NO_BOX, f"{lines.place(row)}: {text[:60]}")
        else:
            values[row, 0], corners[row] = box[0], box[1:]
    classes = values[:, 0]
    odd = keep & ~((classes == np.floor(classes)) & (classes >= 0) & (classes < 2**31))
    for row in np.flatnonzero(odd).tolist():
        faults.add(_NO_BOX, f"{lines.place(row)}: class {classes[row]:g}")
    keep &= ~odd
    far = keep & (np.abs(np.where(np.isfinite(corners), corners, 0)) > _FARTHEST).any(axis=1)
    for row in np.flatnonzero(far).tolist():
        faults.add(_NO_SHARE, lines.place(row))
    keep &= ~far
    _require_most(lines, keep, far, tree)
    return np.where(keep, classes, 0).astype(np.int64), corners, keep


def _require_most(lines: _Lines, keep: Array, far: Array, tree: Tree) -> None:
    """DatasetError where most lines are no boxes, or in pixels."""
    if not len(keep) or 2 * keep.sum() >= len(keep):
        return
    bad = int(np.argmax(~keep))
    line = b" ".join(lines.words[bad][:8]).decode("utf-8", "replace")
    what = "is no box of YOLO's"
    if far.sum() >= (~keep).sum() / 2:
        what = "has no shares of its image"
    raise DatasetError(
        f"{tree.path(lines.place(bad))}: {line[:60]!r} {what}, and so are "
        f"{np.count_nonzero(~keep)} of {len(keep)} lines; expected `class x y width height`, the "
        "class from 0, the others from 0 to 1: divide pixels by the image's width and height"
    )


def _box_of_words(
    words: list[bytes], has_points: bool, faults: Faults, lines: _Lines, row: int
) -> list[float] | None:
    """Class and corners of a line; None where it is no box."""
    numbers = _numbers(words)
    if numbers is None or len(numbers) < 5:
        return None
    if has_points:  # key points follow the box
        numbers = numbers[:5]
    if len(numbers) == 6:  # as detections are written
        faults.add("scores after a box: passed over", lines.place(row))
        numbers = numbers[:5]
    if len(numbers) == 5:
        return [numbers[0], *_corners_of_centres(np.array([numbers[1:]]))[0].tolist()]
    if len(numbers) % 2 == 0:
        return None
    xs, ys = numbers[1::2], numbers[2::2]
    return [numbers[0], min(xs), min(ys), max(xs), max(ys)]


def _corners_of_centres(boxes_cxcywh: Array) -> Array:
    half = boxes_cxcywh[:, 2:] / 2
    return np.concatenate([boxes_cxcywh[:, :2] - half, boxes_cxcywh[:, :2] + half], axis=1)


def _numbers(words: Sequence[bytes]) -> list[float] | None:
    """Words as numbers; None where one is none."""
    try:
        return list(map(float, words))
    except ValueError:
        return None

"""What a YOLO data set lists: its classes, and the images of its parts."""

import os
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

import msgspec
import numpy as np

from mindssd.data.check import Finding, count_where
from mindssd.data.file_search import ends_of
from mindssd.data.formats.rows import read_text
from mindssd.data.formats.tree import Tree, part_named, part_of
from mindssd.errors import DatasetError

Classes = Mapping[int, str]
"""Names by the number that label files give."""

_MOVED = "paths of another machine: found by their ends"
_OTHER_NUMBER = "numbers of classes other than that of their names: the names taken"
_LISTS = {"train": "train", "val": "val", "valid": "val", "test": "test"}
_CLASS_FILES = ("classes.txt", "obj.names", "labels.txt", "_darknet.labels")


@dataclass(frozen=True)
class Listed:
    """The file that lists them, "" where folders do; and the images of each part, in order.

    With `names_parts`, it is the list that names them. With `has_points`, key points follow the
    four numbers of a box. `files` are lists, so no labels. `left_out` are images of no part.
    """

    place: str
    classes: Classes
    images: Mapping[str, list[str]]
    names_parts: bool = False
    has_points: bool = False
    files: frozenset[str] = frozenset()
    findings: tuple[Finding, ...] = ()
    left_out: Sequence[str] = ()

    def classes_named_by(self, tree: Tree) -> str:
        """Say who names how many classes."""
        where = self.place or "classes.txt"
        numbers = list(self.classes)
        if not numbers:
            return f"no file names the classes: expected {tree.path(where)}, a name a line"
        return f"{tree.path(where)} names {len(numbers)} classes, {min(numbers)} to {max(numbers)}"


def find_lists(tree: Tree) -> Listed | None:
    """Read data.yaml or darknet's obj.data; None where there is neither.

    DatasetError where there are several, or one that leads nowhere.
    """
    found: dict[str, Mapping[str, Any]] = {}
    for name in tree.with_suffix(".yaml", ".yml"):
        if name.count("/") <= 1 and (content := _yaml(tree, name)) is not None:
            found[name] = content
    if len(found) > 1 and "data.yaml" in found:
        found = {"data.yaml": found["data.yaml"]}
    if not found:
        for name in tree.with_suffix(".data"):
            if (content := _darknet(tree, name)) is not None:
                found[name] = content
    if len(found) > 1:
        raise DatasetError(
            f"{tree.root}: has more than one list of a YOLO data set, {' and '.join(found)}; leave "
            "one, or call it data.yaml"
        )
    return next((_listed(tree, name, content) for name, content in found.items()), None)


def class_list(tree: Tree) -> Classes:
    """The classes of classes.txt, or of a file like it; none where there is no such file.

    DatasetError where two of them differ.
    """
    files = [n for n in tree.files if PurePosixPath(n).name.casefold() in _CLASS_FILES]
    files = files or tree.with_suffix(".names")
    lists = {name: _names_of_lines(tree.path(name)) for name in files}
    first = next(iter(lists), None)
    for name, classes in lists.items():
        if first is not None and classes != lists[first]:
            raise DatasetError(
                f"{tree.path(first)} and {tree.path(name)} name different classes; leave one"
            )
    return {} if first is None else lists[first]


def _names_of_lines(path: Path) -> dict[int, str]:
    lines = [line.strip() for line in read_text(path).splitlines()]
    while lines and not lines[-1]:
        lines.pop()
    if "" in lines:
        raise DatasetError(
            f"{path}:{lines.index('') + 1}: is empty; expected the name of class {lines.index('')}"
        )
    return _each_once(dict(enumerate(lines)), path)


def _each_once(classes: dict[int, str], path: Path) -> dict[int, str]:
    seen: dict[str, int] = {}
    for number, name in classes.items():
        if name in seen:
            raise DatasetError(
                f"{path}: classes {seen[name]} and {number} are both {name!r}; rename one, or give "
                "the boxes of both one number"
            )
        seen[name] = number
    return classes


def _yaml(tree: Tree, name: str) -> Mapping[str, Any] | None:
    """A YAML file's content, if it is of a data set."""
    path = tree.path(name)
    try:
        content = msgspec.yaml.decode(read_text(path).encode())
    except (msgspec.DecodeError, ValueError) as error:
        if PurePosixPath(name).stem in ("data", "dataset"):
            raise DatasetError(f"{path}: not YAML: {' '.join(str(error).split())}") from error
        return None
    if not isinstance(content, dict) or not any(key in content for key in _LISTS):
        return None
    if "names" not in content and "nc" in content:
        raise DatasetError(
            f"{path}: does not name its classes; add them, such as names: [cat, dog]"
        )
    return content if "names" in content else None


def _darknet(tree: Tree, name: str) -> Mapping[str, Any] | None:
    """The content of darknet's obj.data, `key = value` a line, as data.yaml's."""
    pairs = [line.partition("=") for line in read_text(tree.path(name)).splitlines()]
    content: dict[str, Any] = {key.strip(): value.strip() for key, sign, value in pairs if sign}
    if "names" not in content:
        return None
    folder = name.rpartition("/")[0]
    inside = _inside(tree, [folder, ""], content["names"])[0] or _by_end(tree, content["names"])
    if not inside:
        raise DatasetError(
            f"{tree.path(name)}:{_line(tree, name, 'names')}: names is {content['names']}, which "
            f"is not below {tree.root}; put the file there"
        )
    content["names"] = list(_names_of_lines(tree.path(inside)).values())
    return content


def _listed(tree: Tree, place: str, content: Mapping[str, Any]) -> Listed:
    path = tree.path(place)
    classes = _each_once(_classes(content["names"], path), path)
    lists: set[str] = set()
    moved: list[str] = []
    images = {}
    for key, part in _LISTS.items():
        value = content.get(key)
        if value:
            entries = value if isinstance(value, list) else [value]
            root = content.get("path")
            try:
                found = [
                    name
                    for entry in entries
                    for name in _images_of(tree, place, key, str(entry), root, lists, moved)
                ]
            except DatasetError:
                if part == "test" and "val" in images:  # of no use, and often not there
                    continue
                raise
            images[part] = list(dict.fromkeys(found))
    names_parts = bool(images)
    if not images:  # a list of classes alone: darknet's, or a data.yaml without parts
        images = tree.images_by_part()
    images = {p: names for p, names in images.items() if names or p != "test"}
    all_moved = np.ones(len(moved), np.bool_)
    findings = count_where(all_moved, _MOVED, moved.__getitem__)
    number = content.get("nc", content.get("classes"))
    if number is not None and str(number) != str(len(classes)):
        findings.append(Finding(1, _OTHER_NUMBER, f"{place}: {number}, and {len(classes)} names"))
    return Listed(
        place,
        classes,
        images,
        names_parts,
        has_points="kpt_shape" in content,
        files=frozenset(lists),
        findings=tuple(findings),
    )


def _classes(names: object, path: Path) -> dict[int, str]:
    if isinstance(names, list):
        names = dict(enumerate(names))
    if isinstance(names, dict) and names:
        numbers = [str(number) for number in names]
        for number, name in names.items():
            if name is None or isinstance(name, bool | list | dict) or not str(name).strip():
                raise DatasetError(
                    f"{path}: class {number} is called {name!r} (YAML reads yes, no, on and off as "
                    'true and false); write its name in quotes, such as "no"'
                )
        if all(number.isdecimal() for number in numbers):
            return {int(number): str(name).strip() for number, name in names.items()}
    raise DatasetError(f"{path}: names is {names!r}; expected a list of the classes, or 0: name, …")


def _images_of(
    tree: Tree, place: str, key: str, entry: str, root: object, lists: set[str], moved: list[str]
) -> Iterator[str]:
    """Yield the images that one entry of data.yaml names: of a folder, a list, or one.

    `moved` gets an entry that is of another machine, and found by its end.
    """
    folder = place.rpartition("/")[0]
    starts = [str(root or ""), folder, ""]
    found, outside = _inside(tree, starts, entry)
    if found is None and outside is None:
        # Roboflow writes ../train/images for train/images beside the list.
        found, _ = _inside(tree, [folder], re.sub(r"^(\.\./)+", "", entry))
    if found is None and outside is None:
        found = _by_end(tree, f"{root or ''}/{entry}")
        named = _LISTS[key] in map(part_named, _folders(entry))
        if named and found in tree.folders and not part_of(f"{found}/"):
            found = None  # valid/images is not the images of all parts
        if found is not None:
            moved.append(f"{key}: {entry}, {found or 'the folder itself'}")
    if found is None:
        what = "points outside" if outside else "is not below"
        raise DatasetError(
            f"{tree.path(place)}:{_line(tree, place, key)}: {key} is {entry}, which {what} "
            f"{tree.root}; put the images there and name their folder, such as images/train"
            f"{'' if key == 'train' else ', or remove the line'}"
        )
    if found.endswith(".txt"):
        lists.add(found)
        yield from _images_of_list(tree, found)
    elif found in tree.image_set:
        yield found
    else:
        start = f"{found}/" if found else ""
        yield from (name for name in tree.images if name.startswith(start))


def _images_of_list(tree: Tree, name: str) -> Iterator[str]:
    """Yield the images of a list, a path a line; one that is not there stays as it is written."""
    folder = name.rpartition("/")[0]
    for line in read_text(tree.path(name)).splitlines():
        entry = line.strip()
        if entry:
            yield _inside(tree, [folder, ""], entry)[0] or _by_end(tree, entry) or entry


def _inside(tree: Tree, starts: Sequence[str], entry: str) -> tuple[str | None, str | None]:
    """The file or folder below the tree that a path means from one of some folders, if it is there;
    and one that it means outside."""
    outside = None
    root = os.path.abspath(tree.root)  # noqa: PTH100 - links stay as they are
    for start in dict.fromkeys(starts):
        path = os.path.abspath(os.path.join(root, start, entry))  # noqa: PTH100, PTH118
        if path == root:
            return "", None
        name = path.removeprefix(f"{root}/")
        if name != path:
            if name in tree.file_set or name in tree.folders:
                return name, None
        elif os.path.exists(path):  # noqa: PTH110 - a name that is too long is none
            outside = path
    return None, outside


def _folders(path: str) -> list[str]:
    return [part for part in path.replace("\\", "/").split("/") if part not in ("", ".", "..")]


def _by_end(tree: Tree, entry: str) -> str | None:
    """The file or folder below the tree that a path of another machine ends in."""
    for end in ends_of("/".join(_folders(entry))):
        if end in tree.file_set or end in tree.folders:
            return end
    return None


def _line(tree: Tree, place: str, key: str) -> int:
    """The line of a list that has a key."""
    pattern = re.compile(rf"\s*['\"]?{re.escape(key)}['\"]?\s*[:=]")
    lines = read_text(tree.path(place)).splitlines()
    return next((n for n, line in enumerate(lines, start=1) if pattern.match(line)), 1)

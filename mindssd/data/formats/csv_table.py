"""A plain CSV: a line a box, as keras-retinanet, TensorFlow's examples and Roboflow have it."""

import csv
import io
from collections.abc import Iterator, Mapping
from pathlib import Path

from mindssd.data.formats.layout import Layout
from mindssd.data.formats.named_images import NamedImages, layout_of_rows
from mindssd.data.formats.rows import Rows, read_text
from mindssd.data.formats.tree import Tree, part_in_name, part_of, suffix_of
from mindssd.data.formats.xml_file import numbers_of, side_of
from mindssd.errors import DatasetError
from mindssd.images import IMAGE_SUFFIXES

_NAMES = {
    "file": (
        "file",
        "filename",
        "file_name",
        "image",
        "image_name",
        "image_path",
        "image_id",
        "img",
        "path",
    ),
    "x1": ("x1", "xmin", "x_min", "left"),
    "y1": ("y1", "ymin", "y_min", "top"),
    "x2": ("x2", "xmax", "x_max", "right"),
    "y2": ("y2", "ymax", "y_max", "bottom"),
    "class": ("class", "label", "class_name", "name", "category"),
    "width": ("width", "image_width"),
    "height": ("height", "image_height"),
}
_NEEDED = ("file", "x1", "y1", "x2", "y2", "class")
_BOX = ("x1", "y1", "x2", "y2")
_NO_BOX = "lines without a class or four numbers: dropped"


def find_csv(tree: Tree) -> Layout | None:
    """Find a plain CSV of boxes; None where nothing shows one."""
    columns = {name: found for name in tree.some(".csv") if (found := _columns(tree, name))}
    if not columns:
        return None
    seen: dict[str, str] = {}
    images = NamedImages(tree)
    parts: dict[str, Rows] = {}
    for name, places in columns.items():
        part = part_in_name(name)
        if seen.setdefault(part, name) != name:
            raise DatasetError(
                f"{tree.root}: {seen[part]} and {name} both list boxes of "
                f"{part or 'the whole data set'}; leave one, or call them train.csv and val.csv"
            )
        _read(tree, name, places, images, parts, part)
    return layout_of_rows("csv", "CSV", next(iter(columns)), tree, parts)


def read_rows(path: Path, limit: int | None = None) -> Iterator[tuple[int, list[str]]]:
    """Yield each line's number and its values, without space around them; none of empty lines."""
    text = read_text(path) if limit is None else read_text(path)[: limit * 65536]
    sample = text[:4096].splitlines()[0] if text else ""
    delimiter = max(",;\t", key=sample.count)
    lines = io.StringIO(text, newline="")  # a name may hold other ends of lines than a file's
    reader = csv.reader(lines, delimiter=delimiter, skipinitialspace=True)
    try:
        for values in reader:
            if any(value.strip() for value in values):
                yield reader.line_num, [value.strip() for value in values]
    except csv.Error as error:
        raise DatasetError(
            f"{path}:{reader.line_num}: no CSV: {error}; correct the line"
        ) from error


def _columns(tree: Tree, name: str) -> Mapping[str, int]:
    """The places of the columns, and of "header" where there is one; none of another file."""
    _, first = next(read_rows(tree.path(name), limit=1), (0, []))
    header = [value.casefold() for value in first]
    found = {
        column: header.index(spelled)
        for column, names in _NAMES.items()
        if (spelled := next((n for n in names if n in header), None)) is not None
    }
    if all(column in found for column in _NEEDED):
        return {**found, "header": 0}
    of_an_image = len(first) == 6 and suffix_of(first[0]) in IMAGE_SUFFIXES
    if of_an_image and (not any(first[1:]) or numbers_of(first[1:5]) is not None):
        return {column: place for place, column in enumerate(_NEEDED)}
    if len(found) >= 2 and "file" in found:  # said where nothing else is found
        tree.problems.append(
            f"{tree.path(name)}:1: its columns are {', '.join(first)[:200]}; expected "
            "file,x1,y1,x2,y2,class, corners in pixels, a line a box"
        )
    return {}


def _read(
    tree: Tree,
    name: str,
    columns: Mapping[str, int],
    images: NamedImages,
    parts: dict[str, Rows],
    part_of_file: str,
) -> None:
    owners: dict[str, tuple[Rows, int]] = {}
    lines = read_rows(tree.path(name))
    if "header" in columns:
        next(lines)
    for line, values in lines:

        def value(column: str, values: list[str] = values) -> str:
            place = columns.get(column, len(values))
            return values[place] if place < len(values) else ""

        file = value("file")
        if file not in owners:
            image = images.find(file, name.rpartition("/")[0], part=part_of_file)
            part = part_of_file or part_of(image)
            rows = parts.setdefault(part, Rows())
            size = side_of(value("height")), side_of(value("width"))
            owners[file] = rows, rows.add_image(image, size if all(size) else (0, 0))
        rows, owner = owners[file]
        texts = [value(column) for column in _BOX]
        if not any(texts) and not value("class"):
            continue  # background
        corners = numbers_of(texts)
        if corners is None or not value("class"):
            rows.faults.add(_NO_BOX, f"{name}:{line}")
        else:
            rows.add_box(owner, value("class"), corners)

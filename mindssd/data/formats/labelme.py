"""LabelMe's format: a JSON file an image, as AnyLabeling and X-AnyLabeling write it too."""

from typing import Any

import msgspec

from mindssd.data.formats.json_kinds import json_kind, read_json
from mindssd.data.formats.layout import Layout
from mindssd.data.formats.named_images import NamedImages, layout_of_rows
from mindssd.data.formats.rows import Rows
from mindssd.data.formats.shapes import Box, box_of_ellipse, box_of_points
from mindssd.data.formats.tree import Tree, part_of, stem_of
from mindssd.errors import DatasetError

_NO_AREA = "shapes without area, as points and lines: dropped"
_NO_BOX = "shapes without a label or points: dropped"


class _Shape(msgspec.Struct):
    label: Any = None
    points: Any = None
    shape_type: Any = None


class _File(msgspec.Struct):
    shapes: list[_Shape]
    imagePath: Any = None  # noqa: N815 - LabelMe's name
    imageWidth: Any = None  # noqa: N815
    imageHeight: Any = None  # noqa: N815


def find_labelme(tree: Tree) -> Layout | None:
    """Find a data set in LabelMe's format; None where nothing shows one."""
    place = next((n for n in tree.some(".json") if json_kind(tree, n) == "labelme"), None)
    if place is None:
        return None
    images = NamedImages(tree)
    parts: dict[str, Rows] = {}
    for name in tree.with_suffix(".json"):
        content = _decode(tree, name)
        if content is not None:
            image = _image(name, content, images)
            rows = parts.setdefault(part_of(name) or part_of(image), Rows())
            _add(rows, name, content, image)
    return layout_of_rows("labelme", "LabelMe", place.rpartition("/")[0], tree, parts)


def _decode(tree: Tree, name: str) -> _File | None:
    """A file's content; None for JSON of something else, DatasetError for none."""
    path = tree.path(name)
    try:
        return read_json(path.read_bytes(), _File)
    except msgspec.ValidationError:
        return None
    except OSError as error:
        raise DatasetError(f"{path}: cannot be read: {error.strerror or error}") from error
    except (ValueError, RecursionError) as error:
        raise DatasetError(
            f"{path}: not JSON, or cut short: {error}; correct or remove it"
        ) from error


def _image(name: str, content: _File, images: NamedImages) -> str:
    named = content.imagePath if isinstance(content.imagePath, str) else ""
    return images.find(named.replace("\\", "/"), name.rpartition("/")[0], stem_of(name))


def _add(rows: Rows, name: str, content: _File, image: str) -> None:
    sides = content.imageHeight, content.imageWidth
    known = all(type(side) is int and 0 < side < 2**31 for side in sides)
    owner = rows.add_image(image, sides if known else (0, 0))
    for number, shape in enumerate(content.shapes):
        place = f"{name}, shapes[{number}]"
        if not isinstance(shape.label, str) or not shape.label.strip():
            rows.faults.add(_NO_BOX, place)
            continue
        try:
            points = [(float(x), float(y)) for x, y in shape.points]
        except (TypeError, ValueError):
            rows.faults.add(_NO_BOX, place)
            continue
        kind = shape.shape_type or "polygon"
        box = _box(kind, points)
        if kind in ("point", "points", "line", "linestrip"):
            rows.faults.add(_NO_AREA, f"{place} ({kind})")
        elif box is None:
            rows.faults.add(_NO_BOX, place)
        else:
            rows.add_box(owner, shape.label.strip(), box)


def _box(kind: str, points: list[tuple[float, float]]) -> Box | None:
    if kind == "circle":  # its centre, and a point on it
        if len(points) != 2:
            return None
        (cx, cy), (x, y) = points
        radius = ((x - cx) ** 2 + (y - cy) ** 2) ** 0.5
        return box_of_ellipse(cx, cy, radius, radius)
    return box_of_points([x for x, _ in points], [y for _, y in points])

"""Whose a JSON file is: told by the keys of its outermost object."""

import json
from collections.abc import Mapping
from typing import Any, TypeVar

import msgspec

from mindssd.data.formats.tree import Tree

T = TypeVar("T")


def read_json(data: bytes, of: type[T]) -> T:
    """Decode JSON of a type, also with a mark of its encoding before it.

    msgspec.ValidationError where it is of another type, ValueError or RecursionError where it is no
    JSON.
    """
    try:
        return msgspec.json.decode(data, type=of)
    except msgspec.DecodeError as error:
        if isinstance(error, msgspec.ValidationError) and "out of range" not in str(error):
            raise
        # Python's own decoder, ten times slower, also takes the NaN and Infinity that its
        # encoder writes for a box that is not finite, numbers of any size, and UTF-16.
        return msgspec.convert(json.loads(data), of)


def json_kind(tree: Tree, name: str) -> str:
    """Tell "coco", "labelme" or "via", and "" for others; what is no JSON, or
    lacks one list of COCO's, is kept as a problem."""
    path = tree.path(name)
    try:
        content = _outermost(path.read_bytes())
    except (OSError, ValueError, RecursionError) as error:
        tree.problems.append(f"{path}: not JSON, or cut short: {error}")
        return ""
    lacks = {"images", "annotations", "categories"} - content.keys()
    if not lacks:
        return "coco"
    if len(lacks) == 1:
        tree.problems.append(
            f"{path}: COCO annotations without {lacks.pop()!r}; expected all three"
        )
    if "shapes" in content and content.keys() & {"imagePath", "imageData"}:
        return "labelme"
    if "_via_img_metadata" in content:
        return "via"
    first = next(iter(content.values()), None)
    if isinstance(first, msgspec.Raw):
        first = msgspec.json.decode(first)
    return "via" if isinstance(first, dict) and {"filename", "regions"} <= first.keys() else ""


def _outermost(data: bytes) -> Mapping[str, Any]:
    """The outermost object, its values decoded only where they must be; empty for a list."""
    try:
        return msgspec.json.decode(data, type=dict[str, msgspec.Raw])
    except msgspec.ValidationError:
        return {}
    except msgspec.DecodeError:
        content = read_json(data, object)
        return content if isinstance(content, dict) else {}

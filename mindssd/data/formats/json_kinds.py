"""Whose a JSON file is: told by the keys of its outermost object."""

import msgspec

from mindssd.data.formats.tree import Tree


def json_kind(tree: Tree, name: str) -> str:
    """Tell "coco", "labelme" or "via", and "" for others; what is no JSON is kept as a problem."""
    path = tree.path(name)
    try:
        content = msgspec.json.decode(path.read_bytes(), type=dict[str, msgspec.Raw])
    except msgspec.ValidationError:
        return ""  # a list
    except (OSError, msgspec.DecodeError, UnicodeDecodeError) as error:
        tree.problems.append(f"{path}: not JSON, or cut short: {error}")
        return ""
    if {"images", "annotations", "categories"} <= content.keys():
        return "coco"
    if "shapes" in content and content.keys() & {"imagePath", "imageData"}:
        return "labelme"
    if "_via_img_metadata" in content:
        return "via"
    first = next(iter(content.values()), None)
    if first is not None and _has_regions(bytes(first)):
        return "via"
    return ""


def _has_regions(data: bytes) -> bool:
    try:
        content = msgspec.json.decode(data, type=dict[str, msgspec.Raw])
    except msgspec.DecodeError:
        return False
    return {"filename", "regions"} <= content.keys()

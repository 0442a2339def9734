"""VIA's formats (VGG Image Annotator): JSON, of annotations or a whole project, and CSV."""

import json
from collections.abc import Iterator, Mapping
from typing import Any

import msgspec

from mindssd.data.formats.csv_table import read_rows
from mindssd.data.formats.json_kinds import json_kind
from mindssd.data.formats.layout import Layout
from mindssd.data.formats.named_images import NamedImages, layout_of_rows
from mindssd.data.formats.rows import Rows
from mindssd.data.formats.shapes import Box, box_of_ellipse, box_of_points
from mindssd.data.formats.tree import Tree, part_in_name, part_of
from mindssd.errors import DatasetError

_NO_AREA = "shapes without area, as points and lines: dropped"
_NO_BOX = "shapes without a label or points: dropped"
_CLASS = ("class", "label", "name", "type", "category", "object")
_COLUMNS = {"filename", "region_shape_attributes", "region_attributes"}

_OBJECT = msgspec.json.Decoder(dict[str, Any])

Region = tuple[str, Mapping[str, Any], Mapping[str, Any]]
"""Where it stands, and what it says of its shape and its class."""


def find_via(tree: Tree) -> Layout | None:
    """Find a data set of VIA's; None where nothing shows one."""
    files = [name for name in tree.some(".json") if json_kind(tree, name) == "via"]
    files += [name for name in tree.some(".csv") if _is_via(tree, name)]
    if not files:
        return None
    images = NamedImages(tree)
    parts: dict[str, Rows] = {}
    for name in files:
        folder = name.rpartition("/")[0]
        named = dict(_of_csv(tree, name) if name.endswith(".csv") else _of_json(tree, name))
        key = _class_key(tree, name, named)
        for file, regions in named.items():
            part = part_in_name(name)
            image = images.find(file, folder, part=part)
            rows = parts.setdefault(part_of(image) or part, Rows())
            owner = rows.add_image(image)
            for region in regions:
                _add(rows, owner, region, key)
    return layout_of_rows("via", "VIA", files[0], tree, parts, also_unnamed=False)


def _is_via(tree: Tree, name: str) -> bool:
    return set(next(iter(read_rows(tree.path(name), limit=1)), (0, []))[1]) >= _COLUMNS


def _of_json(tree: Tree, name: str) -> Iterator[tuple[str, list[Region]]]:
    path = tree.path(name)
    content = json.loads(path.read_bytes())
    for key, entry in _mapping(content, "_via_img_metadata", content).items():
        if not isinstance(entry, dict) or not isinstance(entry.get("filename"), str):
            continue
        found = entry.get("regions")
        regions = list(found.values()) if isinstance(found, dict) else found
        if not isinstance(regions, list):
            regions = []
        yield (
            entry["filename"],
            [
                (
                    f"{name}, {key}, region {number}",
                    _mapping(region, "shape_attributes"),
                    _mapping(region, "region_attributes"),
                )
                for number, region in enumerate(regions)
            ],
        )


def _mapping(content: object, key: str, absent: object = None) -> Mapping[str, Any]:
    value = content.get(key, absent) if isinstance(content, dict) else None
    return value if isinstance(value, dict) else {}


def _of_csv(tree: Tree, name: str) -> Iterator[tuple[str, list[Region]]]:
    rows = read_rows(tree.path(name))
    _, header = next(rows)
    found: dict[str, list[Region]] = {}
    for line, values in rows:
        row = dict(zip(header, values, strict=False))
        regions = found.setdefault(row.get("filename", ""), [])
        texts = row.get("region_shape_attributes", ""), row.get("region_attributes", "")
        try:
            shape, attributes = (_OBJECT.decode(text or "{}") for text in texts)
        except msgspec.DecodeError as error:
            raise DatasetError(
                f"{tree.path(name)}:{line}: a region is no JSON object: {error}; correct the line"
            ) from error
        if shape:
            regions.append((f"{name}:{line}", shape, attributes))
    yield from found.items()


def _class_key(tree: Tree, name: str, named: Mapping[str, list[Region]]) -> str:
    """The attribute that names a region's class; DatasetError where that is unclear."""
    counts: dict[str, int] = {}
    for regions in named.values():
        for _, _, attributes in regions:
            for key in attributes:
                counts[key] = counts.get(key, 0) + 1
    likely = [key for key in counts if key.casefold() in _CLASS]
    if len(counts) == 1 or len(likely) == 1:
        return (likely or list(counts))[0]
    if not any(named.values()):
        return ""
    has = f"the attributes {', '.join(counts)}" if counts else "no attributes"
    raise DatasetError(
        f"{tree.path(name)}: its regions have {has}, of which none is plainly the class; call that "
        "one class"
    )


def _add(rows: Rows, owner: int, region: Region, key: str) -> None:
    place, shape, attributes = region
    value = attributes.get(key)
    if isinstance(value, dict):  # of boxes that are ticked
        ticked = [name for name, on in value.items() if on]
        value = ticked[0] if len(ticked) == 1 else None
    label = value.strip() if isinstance(value, str) else ""
    kind = shape.get("name")
    if kind in ("point", "polyline"):
        rows.faults.add(_NO_AREA, f"{place} ({kind})")
        return
    try:
        box = _box(str(kind), shape)
    except (KeyError, TypeError, ValueError):
        box = None
    if not label or box is None:
        rows.faults.add(_NO_BOX, place)
    else:
        rows.add_box(owner, label, box)


def _box(kind: str, shape: Mapping[str, Any]) -> Box | None:
    def number(key: str) -> float:
        return float(shape[key])

    if kind == "rect":
        x, y = number("x"), number("y")
        return x, y, x + number("width"), y + number("height")
    if kind == "circle":
        return box_of_ellipse(number("cx"), number("cy"), number("r"), number("r"))
    if kind == "ellipse":
        radians = float(shape.get("theta") or 0)
        turn = radians * 180 / 3.141592653589793
        return box_of_ellipse(number("cx"), number("cy"), number("rx"), number("ry"), turn)
    xs, ys = (list(map(float, shape[f"all_points_{axis}"])) for axis in "xy")
    return box_of_points(xs, ys)

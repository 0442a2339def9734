"""CVAT for images 1.1: one XML file for many images."""

from xml.etree.ElementTree import Element

from mindssd.data.formats.layout import Layout
from mindssd.data.formats.named_images import NamedImages, layout_of_rows
from mindssd.data.formats.rows import Rows
from mindssd.data.formats.shapes import Box, box_of_ellipse, box_of_points, turned
from mindssd.data.formats.tree import Tree, part_in_name, part_named, part_of
from mindssd.data.formats.xml_file import LINE, numbers_of, read_xml, root_tag, side_of
from mindssd.errors import DatasetError

_NO_AREA = "shapes without area, as points and lines: dropped"
_NO_BOX = "shapes without a label or points: dropped"
_SHAPES = ("box", "polygon", "ellipse", "mask", "cuboid", "polyline", "points", "skeleton")


def find_cvat(tree: Tree) -> Layout | None:
    """Find a data set of CVAT's; None where nothing shows one."""
    files = [name for name in tree.some(".xml") if root_tag(tree.path(name)) == "annotations"]
    if not files:
        return None
    images = NamedImages(tree)
    parts: dict[str, Rows] = {}
    listed: list[str] = []
    for name in files:
        root = read_xml(tree.path(name))
        listed += [(e.text or "").strip() for e in root.iterfind("meta//labels/label/name")]
        for found in root.iterfind("image"):
            subset = part_named(found.get("subset", ""))
            image = images.find(found.get("name", ""), name.rpartition("/")[0], part=subset)
            part = subset or part_of(image) or part_in_name(name)
            _add(parts.setdefault(part, Rows()), name, image, found)
    if not parts:
        raise DatasetError(
            f"{tree.path(files[0])}: lists no images, as CVAT for video does not; export the task "
            "as CVAT for images, or as COCO"
        )
    title = "CVAT for images"
    return layout_of_rows("cvat", title, files[0], tree, parts, listed, also_unnamed=False)


def _add(rows: Rows, name: str, image: str, found: Element) -> None:
    size = side_of(found.get("height", "")), side_of(found.get("width", ""))
    owner = rows.add_image(image, size if all(size) else (0, 0))
    for shape in found:
        place = f"{name}:{shape.get(LINE)}"
        if shape.tag not in _SHAPES:
            continue
        if shape.tag in ("polyline", "points", "skeleton"):
            rows.faults.add(_NO_AREA, f"{place} ({shape.tag})")
            continue
        label, box = shape.get("label", "").strip(), _box(shape)
        if not label or box is None:
            rows.faults.add(_NO_BOX, place)
        else:
            rows.add_box(owner, label, box)


def _box(shape: Element) -> Box | None:
    """The box of a shape; None where it has no numbers."""

    def numbers(*names: str) -> list[float] | None:
        return numbers_of([shape.get(name, "") for name in names])

    degrees = (numbers("rotation") or [0.0])[0]
    if shape.tag == "box":
        corners = numbers("xtl", "ytl", "xbr", "ybr")
        return (
            None
            if corners is None
            else turned((corners[0], corners[1], corners[2], corners[3]), degrees)
        )
    if shape.tag == "ellipse":
        values = numbers("cx", "cy", "rx", "ry")
        if values is None:
            return None
        cx, cy, rx, ry = values
        return box_of_ellipse(cx, cy, rx, ry, degrees)
    if shape.tag == "mask":
        values = numbers("left", "top", "width", "height")
        if values is None:
            return None
        left, top, width, height = values
        return left, top, left + width, top + height
    if shape.tag == "cuboid":
        ends = [(shape.get(f"x{c}", ""), shape.get(f"y{c}", "")) for c in _CORNERS]
        xs, ys = numbers_of([x for x, _ in ends]), numbers_of([y for _, y in ends])
    else:
        pairs = [pair.partition(",") for pair in shape.get("points", "").split(";") if pair]
        xs, ys = numbers_of([x for x, _, _ in pairs]), numbers_of([y for _, _, y in pairs])
    return None if xs is None or ys is None else box_of_points(xs, ys)


_CORNERS = ("tl1", "bl1", "tr1", "br1", "tl2", "bl2", "tr2", "br2")

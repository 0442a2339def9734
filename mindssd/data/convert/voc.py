"""Pascal VOC's format, corners as labelImg and CVAT write them: from 0, and as they are."""

from collections.abc import Iterator
from xml.sax.saxutils import escape

import numpy as np

from mindssd.data.convert.parts import Changes, Part, Picture
from mindssd.data.formats.tree import without_suffix


class VocWriter:
    """Holds boxes, and crowds as `difficult`; no areas."""

    one_folder = True
    by_stem = True

    def image_path(self, part: str, name: str) -> str:
        return f"JPEGImages/{name}"

    def fit(self, part: Part, changes: Changes) -> Part:
        for picture in part.pictures:
            box_areas = picture.boxes_xywh[:, 2] * picture.boxes_xywh[:, 3]
            other = ~np.isclose(picture.areas, box_areas, rtol=1e-6, atol=1e-3)
            for _ in range(int(other.sum())):
                changes.add(
                    part.name, "areas, which VOC does not have: those of boxes", picture.name
                )
        return part

    def files(self, parts: list[Part]) -> Iterator[tuple[str, bytes]]:
        classes = "".join(f"{name}:::\n" for name in parts[0].class_names)
        yield "labelmap.txt", f"# label:color_rgb:parts:actions\n{classes}".encode()
        for part in parts:
            stems = [without_suffix(picture.name) for picture in part.pictures]
            yield f"ImageSets/Main/{part.name}.txt", "".join(f"{s}\n" for s in stems).encode()
            for stem, picture in zip(stems, part.pictures, strict=True):
                yield f"Annotations/{stem}.xml", _annotation(picture, part.class_names).encode()


def _annotation(picture: Picture, class_names: tuple[str, ...]) -> str:
    height, width = picture.size
    objects = "".join(
        _object(class_names[label - 1], box, crowd)
        for label, box, crowd in zip(
            picture.labels.tolist(),
            picture.boxes_xywh.tolist(),
            picture.is_crowd.tolist(),
            strict=True,
        )
    )
    return (
        "<annotation>\n"
        "  <folder>JPEGImages</folder>\n"
        f"  <filename>{escape(picture.name)}</filename>\n"
        "  <source>\n    <database>Unknown</database>\n  </source>\n"
        f"  <size>\n    <width>{width}</width>\n    <height>{height}</height>\n"
        "    <depth>3</depth>\n  </size>\n"
        "  <segmented>0</segmented>\n"
        f"{objects}</annotation>\n"
    )


def _object(name: str, box_xywh: list[float], is_crowd: bool) -> str:
    x, y, width, height = box_xywh
    corners = zip(("xmin", "ymin", "xmax", "ymax"), (x, y, x + width, y + height), strict=True)
    sides = "".join(f"      <{side}>{_number(value)}</{side}>\n" for side, value in corners)
    return (
        f"  <object>\n    <name>{escape(name)}</name>\n    <pose>Unspecified</pose>\n"
        f"    <truncated>0</truncated>\n    <difficult>{int(is_crowd)}</difficult>\n"
        f"    <bndbox>\n{sides}    </bndbox>\n  </object>\n"
    )


def _number(value: float) -> str:
    """A whole number where it is one, as most readers want; else as exactly as need be."""
    return (
        f"{round(value, 4):g}" if abs(value) < 1e5 and value == round(value, 1) else f"{value:.4f}"
    )

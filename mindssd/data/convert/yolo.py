"""YOLO's format, in Ultralytics' layout."""

import json
from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from mindssd.data.convert.parts import Changes, Part, Picture
from mindssd.data.formats.tree import without_suffix
from mindssd.decoders.headers import read_header
from mindssd.errors import ImageError
from mindssd.types import Array


class YoloWriter:
    """Holds boxes within their images; no crowds, areas or sizes."""

    one_folder = False
    by_stem = True

    def image_path(self, part: str, name: str) -> str:
        return f"images/{part}/{name}"

    def fit(self, part: Part, changes: Changes) -> Part:
        return replace(part, pictures=list(_fitting(part, changes)))

    def files(self, parts: list[Part]) -> Iterator[tuple[str, bytes]]:
        lines = [f"{part.name}: images/{part.name}\n" for part in parts]
        lines.append("names:\n")
        # A JSON text is YAML's too, whatever signs it has.
        lines += [
            f"  {place}: {json.dumps(name, ensure_ascii=False)}\n"
            for place, name in enumerate(parts[0].class_names)
        ]
        yield "data.yaml", "".join(lines).encode()
        for part in parts:
            for picture in part.pictures:
                yield _label_path(self.image_path(part.name, picture.name)), _lines(picture)


def _label_path(image_path: str) -> str:
    """The label file of an image: the last folder `images` is `labels`, as Ultralytics has it."""
    start, _, end = f"/{without_suffix(image_path)}".rpartition("/images/")
    return f"{start}/labels/{end}.txt".removeprefix("/")


def _fitting(part: Part, changes: Changes) -> Iterator[Picture]:
    for picture in part.pictures:
        height, width = picture.size
        if not height and len(picture.labels):
            changes.add(part.name, "images of unknown size: left out", picture.name)
            continue
        if _is_annotated_as_stored(picture):
            what = "images annotated as stored, though EXIF turns them: left out"
            changes.add(part.name, what, picture.name)
            continue
        for _ in range(int(picture.is_crowd.sum())):
            changes.add(part.name, "crowds, which YOLO does not have: left out", picture.name)
        kept = _only(picture, ~picture.is_crowd)
        box_areas = kept.boxes_xywh[:, 2] * kept.boxes_xywh[:, 3]
        other = ~np.isclose(kept.areas, box_areas, rtol=1e-6, atol=1e-3)
        for _ in range(int(other.sum())):
            changes.add(part.name, "areas, which YOLO does not have: those of boxes", picture.name)
        clipped = clip(kept.boxes_xywh, width, height)
        for _ in range(int((np.abs(clipped - kept.boxes_xywh) > 1e-6).any(axis=1).sum())):
            changes.add(part.name, "boxes partly outside their image: cut to it", picture.name)
        yield replace(kept, boxes_xywh=clipped)


def _is_annotated_as_stored(picture: Picture) -> bool:
    """Whether boxes lie on the picture before its header turns it, which only a size can tell."""
    try:
        header = read_header(picture.source)
    except ImageError:
        return False
    stored = header.height, header.width
    return header.turned and stored[0] != stored[1] and picture.size == stored


def _only(picture: Picture, rows: Array) -> Picture:
    return replace(
        picture,
        boxes_xywh=picture.boxes_xywh[rows],
        labels=picture.labels[rows],
        areas=picture.areas[rows],
        is_crowd=picture.is_crowd[rows],
    )


def clip(boxes_xywh: Array, width: int, height: int) -> Array:
    """Boxes (n, 4) within their image; sides that reach over it are cut."""
    if not width or not len(boxes_xywh):
        return boxes_xywh
    limit = np.array([width, height], np.float64)
    first = np.clip(boxes_xywh[:, :2], 0, limit)
    end = boxes_xywh[:, :2] + boxes_xywh[:, 2:]
    inside = (boxes_xywh[:, :2] >= 0).all(axis=1) & (end <= limit).all(axis=1)
    cut = np.concatenate([first, np.clip(end, 0, limit) - first], axis=1)
    return np.where(inside[:, None], boxes_xywh, cut)  # bit for bit where nothing is cut


def _lines(picture: Picture) -> bytes:
    """A line a box; eight digits are a thousandth of a pixel in the largest images."""
    height, width = picture.size
    boxes = (
        picture.boxes_xywh / np.array([width, height, width, height])
        if height
        else np.zeros((0, 4))
    )
    centres = boxes[:, :2] + boxes[:, 2:] / 2
    rows = np.concatenate([centres, boxes[:, 2:]], axis=1).tolist()
    return "".join(
        f"{label - 1} {x:.8f} {y:.8f} {w:.8f} {h:.8f}\n"
        for label, (x, y, w, h) in zip(picture.labels.tolist(), rows, strict=True)
    ).encode()

"""What `--fix` changes: boxes cut to their images, and pictures left out that teach nothing."""

from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np

from mindssd.data.convert.parts import Changes, Part, Picture
from mindssd.data.convert.yolo import clip
from mindssd.data.splits import content_of
from mindssd.errors import ImageError
from mindssd.images import read_image


def mend(parts: Sequence[Part], changes: Changes) -> list[Part]:
    """Leave out images that cannot be read, and copies of an earlier one, in whatever part; cut
    boxes that reach over their image."""
    seen: dict[bytes, str] = {}
    return [replace(p, pictures=list(_mended(p, seen, changes))) for p in parts]


def _mended(part: Part, seen: dict[bytes, str], changes: Changes) -> Iterator[Picture]:
    for picture in part.pictures:
        try:
            read_image(picture.source, picture.size if picture.size[0] else None)
        except ImageError as error:
            changes.add(part.name, "images that cannot be read: left out", str(error))
            continue
        content = content_of(str(picture.source), picture.source.stat().st_size) or b""
        first = seen.setdefault(content, f"{part.name}: {picture.name}")
        if first != f"{part.name}: {picture.name}":
            which = f"{picture.name} with {len(picture.labels)} boxes, of {first}"
            changes.add(part.name, "copies of another image: left out", which)
            continue
        height, width = picture.size
        boxes = clip(picture.boxes_xywh, width, height)
        cut = (boxes != picture.boxes_xywh).any(axis=1)
        for before, after in zip(picture.boxes_xywh[cut], boxes[cut], strict=True):
            which = f"{picture.name}: {_words(before)} to {_words(after)}"
            changes.add(part.name, "boxes partly outside their image: cut to it", which)
        of_box = np.isclose(picture.areas, picture.boxes_xywh[:, 2:].prod(axis=1))
        areas = np.where(cut & of_box, boxes[:, 2:].prod(axis=1), picture.areas)
        yield replace(picture, boxes_xywh=boxes, areas=areas)


def _words(box_xywh: np.ndarray) -> str:  # type: ignore[type-arg]
    return "(" + ", ".join(f"{value:g}" for value in box_xywh.tolist()) + ")"

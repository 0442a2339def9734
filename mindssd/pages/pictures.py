"""Pictures of a report: images with their boxes, small, as JPEG in a data address."""

import base64
from collections.abc import Sequence
from dataclasses import dataclass, replace

import cv2
import numpy as np

from mindssd.data.dataset import DetectionDataset, on_picture
from mindssd.drawing.visualize import Mark, draw_marks, draw_truths
from mindssd.errors import DatasetError, ImageError
from mindssd.images import read_image
from mindssd.types import Array

QUALITY = 80
"""Of JPEG."""

WIDE = 560
"""The longer side of a whole image, in pixels."""

CLOSE = 320
"""The same of a part of one."""

AROUND = 2.5
"""A part shows so many times the longer side of what it is about, and a fifth of the image."""

MOST_BYTES = 12_000_000
"""All pictures of a page together, before they are written as text, which takes a third more."""


@dataclass
class Album:
    """Makes pictures until the bytes have run out; then, and where a file fails, it gives none."""

    left: int = MOST_BYTES
    num_left_out: int = 0

    def whole(self, dataset: DetectionDataset, image: int, with_boxes: bool = True) -> str:
        """An image with its boxes, as an address, or "" where there is none."""
        found = self._read(dataset, image)
        if found is None:
            return ""
        picture, boxes, labels = found
        small, scale = _fitted(picture, WIDE)
        if with_boxes:
            names = dataset.class_names
            small = draw_truths(small, boxes * scale, labels - 1, names, enlarge=False)
        return self._address(small)

    def part(
        self,
        dataset: DetectionDataset,
        image: int,
        boxes: Sequence[Sequence[float]],
        classes: Sequence[str],
    ) -> str:
        """What lies around `boxes`, in pixels of the annotated image, with these alone drawn."""
        found = self._read(dataset, image)
        if found is None:
            return ""
        picture = found[0]
        height, width = picture.shape[:2]
        annotated = np.where(dataset.sizes[image] > 0, dataset.sizes[image], (height, width))
        drawn = np.array(boxes, np.float64) * np.tile((width, height) / annotated[::-1], 2)
        x1, y1, x2, y2 = _surroundings(drawn, width, height)
        small, scale = _fitted(picture[y1:y2, x1:x2], CLOSE)
        names = tuple(dict.fromkeys(classes))
        class_ids = np.array([names.index(name) for name in classes], np.int32)
        moved = ((drawn - (x1, y1, x1, y1)) * scale).astype(np.float32)
        return self._address(draw_truths(small, moved, class_ids, names, enlarge=False))

    def marked(
        self,
        dataset: DetectionDataset,
        image: int,
        marks: Sequence[Mark],
        around: Array | None = None,
        side: int = WIDE,
    ) -> str:
        """An image with `marks`, in pixels as the data set has it: whole, or what is `around` (4,).

        Of what is around a box, only the marks that reach into it are drawn.
        """
        found = self._read(dataset, image)
        if found is None:
            return ""
        picture = found[0]
        height, width = picture.shape[:2]
        record = dataset[image]
        scale = np.ones(4)
        if record.width and record.height:
            scale = np.tile((width / record.width, height / record.height), 2)
        x1, y1, x2, y2 = 0, 0, width, height
        if around is not None:
            x1, y1, x2, y2 = _surroundings(np.asarray(around)[None] * scale, width, height)
        small, enlarged = _fitted(picture[y1:y2, x1:x2], side)
        moved = [
            replace(mark, box=(mark.box * scale - (x1, y1, x1, y1)) * enlarged) for mark in marks
        ]
        extent = np.tile(small.shape[1::-1], 2)
        seen = [m for m in moved if (m.box[:2] < extent[:2]).all() and (m.box[2:] > 0).all()]
        return self._address(draw_marks(small, seen))

    def picture(self, picture: Array) -> str:
        """One that is drawn already, (H, W, 3) uint8 RGB."""
        if self.left <= 0:
            self.num_left_out += 1
            return ""
        return self._address(picture)

    def _read(self, dataset: DetectionDataset, image: int) -> tuple[Array, Array, Array] | None:
        if self.left <= 0:
            self.num_left_out += 1
            return None
        record = dataset[image]
        try:
            picture = read_image(record.path, (record.height, record.width))
            placed = on_picture(record, (picture.shape[0], picture.shape[1]))
        except (ImageError, DatasetError):  # told elsewhere
            return None
        return picture, placed.boxes, placed.labels

    def _address(self, picture: Array) -> str:
        colours = cv2.cvtColor(picture, cv2.COLOR_RGB2BGR)
        _, data = cv2.imencode(".jpg", colours, [cv2.IMWRITE_JPEG_QUALITY, QUALITY])
        self.left -= len(data)
        return f"data:image/jpeg;base64,{base64.b64encode(data.tobytes()).decode()}"


def _fitted(picture: Array, side: int) -> tuple[Array, float]:
    """The picture at that longer side, and by how much it was scaled."""
    height, width = picture.shape[:2]
    scale = side / max(height, width)
    size = max(1, round(width * scale)), max(1, round(height * scale))
    method = cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC
    return np.asarray(cv2.resize(picture, size, interpolation=method)), scale


def _surroundings(boxes: Array, width: int, height: int) -> tuple[int, int, int, int]:
    """A square around boxes, (x1, y1, x2, y2) in whole pixels, as far as the image goes."""
    first, last = boxes[:, :2].min(axis=0), boxes[:, 2:].max(axis=0)
    side = max(AROUND * float((last - first).max()), 0.2 * max(width, height))
    x, y = (first + last) / 2 - side / 2
    x1 = round(max(0, min(x, width - side)))
    y1 = round(max(0, min(y, height - side)))
    x2, y2 = min(width, round(x1 + side)), min(height, round(y1 + side))
    return x1, y1, max(x1 + 1, x2), max(y1 + 1, y2)

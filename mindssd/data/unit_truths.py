"""All truths of a data set at once, as fractions of their images: as training sees them whole."""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from mindssd.data.dataset import DetectionDataset
from mindssd.data.sizes import clipped_corners
from mindssd.types import Array, ImageSize


@dataclass(frozen=True, eq=False)
class UnitTruths:
    """n truths: `boxes` (n, 4) float32 as fractions of their images, `labels` (n,) in 1..C.

    `rows` (n,) are their places in the data set's columns, `images` (n,) those of their images,
    rising. Crowds are none, nor truths without area or of images whose size is not known.
    """

    boxes: Array
    labels: Array
    rows: Array
    images: Array

    def __len__(self) -> int:
        return len(self.boxes)

    def at(self, places: Array) -> "UnitTruths":
        """Those at `places`, a mask or indices."""
        return UnitTruths(
            self.boxes[places], self.labels[places], self.rows[places], self.images[places]
        )

    def of_images(self) -> Iterator[slice]:
        """The truths of each image that has any."""
        starts = np.flatnonzero(np.diff(self.images, prepend=-1))
        for start, end in pairwise([*starts.tolist(), len(self)]):
            yield slice(start, end)

    def sides(self, size: ImageSize) -> Array:
        """Width and height in pixels where images have this `size`: (n, 2) float64."""
        height, width = size
        extent = self.boxes[:, 2:].astype(np.float64) - self.boxes[:, :2]
        return np.asarray(extent * (width, height))


def unit_truths(dataset: DetectionDataset) -> UnitTruths:
    """The truths that training learns from, in the data set's order."""
    images = np.repeat(np.arange(len(dataset)), np.diff(dataset.starts))
    sizes = dataset.sizes[images].astype(np.float64)  # (n, 2)
    corners = clipped_corners(dataset.boxes_xywh, sizes).astype(np.float64)
    used = (corners[:, 2:] > corners[:, :2]).all(axis=1)
    used &= (sizes > 0).all(axis=1) & ~dataset.is_crowd
    rows = np.flatnonzero(used)
    boxes = corners[rows] / np.tile(sizes[rows, ::-1], 2)
    return UnitTruths(boxes.astype(np.float32), dataset.labels[rows], rows, images[rows])

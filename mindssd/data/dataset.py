"""An annotated data set in memory, in columns: 118,287 images of COCO take tens of megabytes."""

import hashlib
from dataclasses import dataclass

import numpy as np

from mindssd.data.check import CheckReport
from mindssd.types import Array, ImageRecord


@dataclass(frozen=True, eq=False)
class DetectionDataset:
    """Images and their boxes, whatever format they came in.

    For N images: `image_ids` (N,) int64, `file_names` relative to `image_dir`, `sizes` (N, 2) int32
    as (height, width). Image i owns rows `starts[i]` to `starts[i + 1]` of `boxes` (n, 4) float32,
    `labels` (n,) int32 in 1..C, in the order of `category_ids`, and `is_crowd` (n,) bool.
    `report` says what was wrong with the annotations.
    """

    class_names: tuple[str, ...]
    category_ids: tuple[int, ...]
    annotation_file: str
    image_dir: str
    report: CheckReport
    image_ids: Array
    file_names: list[str]
    sizes: Array
    starts: Array
    boxes: Array
    labels: Array
    is_crowd: Array

    def fingerprint(self) -> str:
        """Tell data sets apart: a hash of the classes, the images' ids and their boxes."""
        digest = hashlib.sha256("\0".join(self.class_names).encode())
        for column in (self.image_ids, self.starts, self.boxes, self.labels, self.is_crowd):
            digest.update(np.ascontiguousarray(column).tobytes())
        return digest.hexdigest()

    def __len__(self) -> int:
        return len(self.file_names)

    def __getitem__(self, index: int) -> ImageRecord:
        if not 0 <= index < len(self):
            raise IndexError(f"image {index} of {len(self)}")
        rows = slice(int(self.starts[index]), int(self.starts[index + 1]))
        height, width = (int(side) for side in self.sizes[index])
        return ImageRecord(
            image_id=int(self.image_ids[index]),
            path=f"{self.image_dir}/{self.file_names[index]}",
            width=width,
            height=height,
            boxes=self.boxes[rows],
            labels=self.labels[rows],
            is_crowd=self.is_crowd[rows],
        )

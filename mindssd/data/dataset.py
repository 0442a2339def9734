"""An annotated data set in memory, in columns: 118,287 images of COCO take tens of megabytes."""

import hashlib
from dataclasses import dataclass, replace

import numpy as np

from mindssd.data.check import CheckReport
from mindssd.data.file_search import path_of
from mindssd.data.sizes import clipped_corners, same_shape, size_words
from mindssd.errors import DatasetError
from mindssd.types import Array, ImageRecord, ImageSize


@dataclass(frozen=True, eq=False)
class DetectionDataset:
    """Images and their boxes, whatever format they came in.

    For N images: `image_ids` (N,) int64, `file_names` relative to `image_dir`, `sizes` (N, 2) int32
    as annotated, (height, width), and `file_sizes` (N, 2) int32 those of the files as far as they
    have been read; 0 where not known. Image i owns rows `starts[i]` to `starts[i + 1]` of
    `boxes_xywh` (n, 4) float64, as annotated, also beyond the image, `areas` (n,) float64 in square
    pixels, `labels` (n,) int32 in 1..C, in the order of `category_ids`, and `is_crowd` (n,) bool.
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
    file_sizes: Array
    starts: Array
    boxes_xywh: Array
    areas: Array
    labels: Array
    is_crowd: Array

    def fingerprint(self) -> str:
        """Tell data sets apart: a hash of the classes, the images' ids and their boxes.

        The boxes are those of the annotated sizes, whatever is known of the files.
        """
        digest = hashlib.sha256("\0".join(self.class_names).encode())
        sizes = np.repeat(self.sizes, np.diff(self.starts), axis=0)
        boxes = clipped_corners(self.boxes_xywh, sizes)
        for column in (self.image_ids, self.starts, boxes, self.labels, self.is_crowd):
            digest.update(np.ascontiguousarray(column).tobytes())
        return digest.hexdigest()

    def __len__(self) -> int:
        return len(self.file_names)

    def __getitem__(self, index: int) -> ImageRecord:
        """Give an image with its boxes in pixels of its file, where that file's size is known."""
        if not 0 <= index < len(self):
            raise IndexError(f"image {index} of {len(self)}")
        rows = slice(int(self.starts[index]), int(self.starts[index + 1]))
        height, width = (int(side) for side in self.sizes[index])
        boxes_xywh = self.boxes_xywh[rows]
        record = ImageRecord(
            image_id=int(self.image_ids[index]),
            path=path_of(self.image_dir, self.file_names[index]),
            width=width,
            height=height,
            boxes=clipped_corners(boxes_xywh, np.array([height, width])),
            labels=self.labels[rows],
            is_crowd=self.is_crowd[rows],
            boxes_xywh=boxes_xywh,
            areas=self.areas[rows],
        )
        file_height, file_width = (int(side) for side in self.file_sizes[index])
        return on_picture(record, (file_height, file_width)) if file_height else record


def on_picture(record: ImageRecord, size: ImageSize) -> ImageRecord:
    """Place a record's boxes on its picture, which has `size` as (height, width).

    Where that is another than annotated, they are scaled, if the shape is the same within rounding;
    DatasetError if it is not, for then nobody knows where they lie. A size that the annotations do
    not give, (0, 0), is that of the picture.
    """
    annotated = record.height, record.width
    if annotated == size:
        return record
    scale = np.ones(2)  # of x and y
    if record.height and len(record.labels):
        if not same_shape(annotated, size):
            raise DatasetError(
                f"{record.path}: has {size_words(size)} pixels, but is annotated as "
                f"{size_words(annotated)}, of another shape; correct its width and height"
            )
        scale = np.array([size[1] / record.width, size[0] / record.height])
    boxes_xywh = record.boxes_xywh * np.tile(scale, 2)
    return replace(
        record,
        width=size[1],
        height=size[0],
        boxes=clipped_corners(boxes_xywh, np.array(size)),
        boxes_xywh=boxes_xywh,
        areas=record.areas * scale.prod(),
    )

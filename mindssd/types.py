"""What passes between the layers: frozen dataclasses of NumPy arrays.

Boxes are (x1, y1, x2, y2) float32. A label is 1..C for the C classes of a data set in the order of
their category ids, and 0 for background; `Detections.class_ids` count from 0, because background is
never detected.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]
ImageSize = tuple[int, int]
"""(height, width) in pixels."""


@dataclass(frozen=True)
class ImageRecord:
    """One annotated image of a data set, not yet read.

    `boxes` (n, 4) in pixels of the image and within it, `labels` (n,) int32 in 1..C, `is_crowd`
    (n,) bool. As evaluation has them: `boxes_xywh` (n, 4) float64, also beyond the image, and
    `areas` (n,) float64 of the objects in square pixels. n = 0 is an image of background alone.
    """

    image_id: int
    path: str
    width: int
    height: int
    boxes: Array
    labels: Array
    is_crowd: Array
    boxes_xywh: Array
    areas: Array


@dataclass(frozen=True)
class Sample:
    """One training sample: `image` (3, H, W) float32, `offsets` (A, 4), `labels` (A,) int32.

    `weight` is 1, or 0 for a sample that must not count: padding of a short last batch, or an image
    that could not be read (then `unreadable` is true and the image is zeros).
    """

    image: Array
    offsets: Array
    labels: Array
    weight: float
    image_id: int
    unreadable: bool


@dataclass(frozen=True)
class Batch:
    """B samples stacked.

    images (B, 3, H, W) float32; offsets (B, A, 4) float32 as (ty, tx, th, tw); labels (B, A) int32,
    0 for background; weights (B,) float32; image_ids (B,) int64; unreadable (B,) bool.
    """

    images: Array
    offsets: Array
    labels: Array
    weights: Array
    image_ids: Array
    unreadable: Array


@dataclass(frozen=True)
class Detections:
    """What was found in one image, best score first.

    `boxes` (n, 4) in pixels of the original image, `scores` (n,) float32 in 0..1, `class_ids` (n,)
    int32 into `class_names`. Nothing found is n = 0.
    """

    boxes: Array
    scores: Array
    class_ids: Array
    class_names: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.scores)

    def __iter__(self) -> Iterator[tuple[str, float, tuple[float, float, float, float]]]:
        """Yield (class name, score, (x1, y1, x2, y2)), best score first."""
        for box, score, class_id in zip(self.boxes, self.scores, self.class_ids, strict=True):
            x1, y1, x2, y2 = (float(value) for value in box)
            yield self.class_names[int(class_id)], float(score), (x1, y1, x2, y2)

    def of_classes(self, class_ids: Array) -> "Detections":
        """Those of the given classes alone, in the same order."""
        rows = np.isin(self.class_ids, class_ids)
        return Detections(
            self.boxes[rows], self.scores[rows], self.class_ids[rows], self.class_names
        )

    @classmethod
    def empty(cls, class_names: tuple[str, ...]) -> "Detections":
        return cls(
            boxes=np.zeros((0, 4), np.float32),
            scores=np.zeros(0, np.float32),
            class_ids=np.zeros(0, np.int32),
            class_names=class_names,
        )

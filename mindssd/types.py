"""What passes between the layers: frozen dataclasses of NumPy arrays.

Boxes are (x1, y1, x2, y2) float32. A label is 1..C for the C classes of a data set in the order of
their category ids, and 0 for background; `Detections.class_ids` count from 0, because background is
never detected.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from operator import index
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from mindssd.errors import MindSSDError

if TYPE_CHECKING:
    import pandas
    import supervision

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
    int32 into `class_names`. `category_ids` are the annotation file's ids of the classes, where
    they are known. `track_ids` (n,) int32, in a video that is followed: an object's number from 1
    on, 0 for what has none yet. Nothing found is n = 0.
    """

    boxes: Array
    scores: Array
    class_ids: Array
    class_names: tuple[str, ...]
    category_ids: tuple[int, ...] | None = None
    track_ids: Array | None = None

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
        return replace(
            self,
            boxes=self.boxes[rows],
            scores=self.scores[rows],
            class_ids=self.class_ids[rows],
            track_ids=None if self.track_ids is None else self.track_ids[rows],
        )

    def to_coco(self, image: int | str) -> list[dict[str, Any]]:
        """List them as COCO's results do (https://cocodataset.org/#format-results), best first.

        In plain JSON types. `image` is its id, written as `image_id`, or for an image of no data
        set its name, written as `file_name`. Categories have the model's `category_ids`, or where
        these are not known count from 1; `category_name` stands beside. `bbox` is (x, y, width,
        height) in pixels to a thousandth, `score` to a millionth; what has a track, its number as
        `track_id`. Nothing found is an empty list. TypeError for what is neither.
        """
        image = image if isinstance(image, str) else index(image)  # NumPy's whole numbers too
        ids = self.category_ids or tuple(range(1, len(self.class_names) + 1))
        key = "file_name" if isinstance(image, str) else "image_id"
        return [
            {
                key: image,
                "category_id": ids[int(class_id)],
                "category_name": name,
                "bbox": [round(value, 3) for value in (x1, y1, x2 - x1, y2 - y1)],
                "score": round(score, 6),
                **({"track_id": int(track)} if track > 0 else {}),
            }
            for class_id, track, (name, score, (x1, y1, x2, y2)) in zip(
                self.class_ids, self._tracks(), self, strict=True
            )
        ]

    def _tracks(self) -> Array:
        return np.zeros(len(self), np.int32) if self.track_ids is None else self.track_ids

    def to_supervision(self) -> "supervision.Detections":
        """As supervision has them, each one's class name in `data["class_name"]`.

        Tracks are its `tracker_id`, -1 where there is none.

        MindSSDError where that package is not installed.
        """
        try:
            import supervision
        except ModuleNotFoundError as error:
            raise _not_installed("supervision", error) from error
        names = [self.class_names[int(class_id)] for class_id in self.class_ids]
        return supervision.Detections(
            xyxy=self.boxes.astype(np.float32).reshape(-1, 4),
            confidence=self.scores.astype(np.float32),
            class_id=self.class_ids.astype(int),
            tracker_id=None
            if self.track_ids is None
            else np.where(self.track_ids > 0, self.track_ids, -1).astype(int),
            data={"class_name": np.array(names, dtype=str)},
        )

    def to_pandas(self) -> "pandas.DataFrame":
        """As a table, a row a detection, best first: class_name, class_id, score, x1, y1, x2, y2.

        And track_id, 0 where there is none, in a video that is followed.

        MindSSDError where that package is not installed.
        """
        try:
            import pandas
        except ModuleNotFoundError as error:
            raise _not_installed("pandas", error) from error
        names = [self.class_names[int(class_id)] for class_id in self.class_ids]
        corners = dict(zip(("x1", "y1", "x2", "y2"), self.boxes.reshape(-1, 4).T, strict=True))
        columns: dict[str, Any] = {
            "class_name": pandas.Series(names, dtype="str"),
            "class_id": self.class_ids,
            "score": self.scores,
            **corners,
            **({} if self.track_ids is None else {"track_id": self.track_ids}),
        }
        return pandas.DataFrame(columns)

    @classmethod
    def empty(cls, class_names: tuple[str, ...]) -> "Detections":
        return cls(
            boxes=np.zeros((0, 4), np.float32),
            scores=np.zeros(0, np.float32),
            class_ids=np.zeros(0, np.int32),
            class_names=class_names,
        )


def _not_installed(package: str, error: ModuleNotFoundError) -> MindSSDError:
    """What to do where a package is missing; the error itself where it lacks one of its own."""
    if (error.name or "").partition(".")[0] != package:
        raise error
    return MindSSDError(f"this needs {package}; pip install 'mindssd[{package}]'")

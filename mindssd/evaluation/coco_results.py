"""Detections in COCO's results format: https://cocodataset.org/#format-results."""

from collections.abc import Sequence
from typing import Any

from mindssd.types import Detections


def detections_to_coco(
    image: int | str, detections: Detections, category_ids: Sequence[int] | None = None
) -> list[dict[str, Any]]:
    """List one image's detections as COCO does, best first, in plain JSON types.

    `image` is its id, written as `image_id`, or for an image of no data set its name, written as
    `file_name`. `category_ids` gives each class's id; without it they count from 1. Beside it
    stands `category_name`. `bbox` is (x, y, width, height) in pixels to a thousandth, `score` to a
    millionth. Nothing found gives an empty list.
    """
    if category_ids is None:
        category_ids = range(1, len(detections.class_names) + 1)
    if len(category_ids) != len(detections.class_names):
        raise ValueError(
            f"{len(category_ids)} category ids for {len(detections.class_names)} classes"
        )
    key = "file_name" if isinstance(image, str) else "image_id"
    results = []
    for class_id, (name, score, (x1, y1, x2, y2)) in zip(
        detections.class_ids, detections, strict=True
    ):
        results.append(
            {
                key: image,
                "category_id": category_ids[int(class_id)],
                "category_name": name,
                "bbox": [round(value, 3) for value in (x1, y1, x2 - x1, y2 - y1)],
                "score": round(score, 6),
            }
        )
    return results


def as_annotations(results: list[dict[str, Any]], first_id: int) -> list[dict[str, Any]]:
    """Add to results what makes them annotations, which `pycocotools.COCO` opens."""
    return [
        {"id": first_id + index, **result, "area": round(result["bbox"][2] * result["bbox"][3], 3)}
        | {"iscrowd": 0}
        for index, result in enumerate(results)
    ]

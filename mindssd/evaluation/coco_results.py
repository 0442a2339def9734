"""Detections in COCO's results format: https://cocodataset.org/#format-results."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from mindssd.types import Detections


def detections_to_coco(
    image: int | str, detections: Detections, category_ids: Sequence[int] | None = None
) -> list[dict[str, Any]]:
    """List one image's detections as COCO does, best first, in plain JSON types.

    As `Detections.to_coco`, with other `category_ids`; without them they count from 1. ValueError
    where these are not as many as the classes.
    """
    if category_ids is None:
        category_ids = range(1, len(detections.class_names) + 1)
    if len(category_ids) != len(detections.class_names):
        raise ValueError(
            f"{len(category_ids)} category ids for {len(detections.class_names)} classes"
        )
    return replace(detections, category_ids=tuple(category_ids)).to_coco(image)


def as_annotations(results: list[dict[str, Any]], first_id: int) -> list[dict[str, Any]]:
    """Add to results what makes them annotations, which `pycocotools.COCO` opens."""
    return [
        {"id": first_id + index, **result, "area": round(result["bbox"][2] * result["bbox"][3], 3)}
        | {"iscrowd": 0}
        for index, result in enumerate(results)
    ]

"""Small data sets in COCO's layout, written for a test."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from mindssd.types import Array

CATEGORIES = ("cat", "dog")

Entry = tuple[str, Sequence[float]]
"""A class's name, and x, y, width and height."""


def write_part(
    folder: Path, part: str, images: Mapping[str, tuple[Array, Sequence[Entry]]]
) -> None:
    """Write a part's annotations and images, (H, W, 3) uint8, by their file names."""
    (folder / "annotations").mkdir(parents=True, exist_ok=True)
    (folder / f"{part}2017").mkdir()
    listed: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    for image_id, (name, (picture, boxes)) in enumerate(images.items(), start=1):
        assert cv2.imwrite(str(folder / f"{part}2017" / name), picture)
        height, width = picture.shape[:2]
        listed.append({"id": image_id, "file_name": name, "width": width, "height": height})
        annotations += [
            {
                "id": len(annotations) + place,
                "image_id": image_id,
                "category_id": CATEGORIES.index(class_name) + 1,
                "bbox": list(box),
                "iscrowd": 0,
            }
            for place, (class_name, box) in enumerate(boxes, start=1)
        ]
    categories = [{"id": i, "name": name} for i, name in enumerate(CATEGORIES, start=1)]
    content = {"images": listed, "annotations": annotations, "categories": categories}
    path = folder / "annotations" / f"instances_{part}2017.json"
    path.write_text(json.dumps(content), encoding="utf-8")


def noise(seed: int, size: tuple[int, int] = (240, 320)) -> Array:
    """Soft patches of colour."""
    coarse = np.random.default_rng(seed).integers(20, 235, (6, 8, 3), dtype=np.uint8)
    return np.asarray(cv2.resize(coarse, size[::-1], interpolation=cv2.INTER_CUBIC))

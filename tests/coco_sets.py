"""Data sets in COCO's layout whose boxes a test states."""

import json
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from mindssd.data.dataset import DetectionDataset
from mindssd.data.formats.coco import load_coco
from mindssd.types import Array
from tests.drawn_detections import Found

Annotation = dict[str, Any]


def box(image_id: int, xywh: tuple[float, ...], category_id: int = 1, **more: Any) -> Annotation:
    return {"image_id": image_id, "category_id": category_id, "bbox": list(xywh), **more}


def dataset_of(
    folder: Path,
    annotations: list[Annotation],
    image_ids: tuple[int, ...] = (1, 2),
    categories: tuple[tuple[int, str], ...] = ((1, "cat"), (7, "dog")),
) -> DetectionDataset:
    """Write a data set of white 200×100 pictures, and load it."""
    images = []
    for image_id in image_ids:
        Image.new("RGB", (200, 100), "white").save(folder / f"{image_id}.png")
        images.append({"id": image_id, "file_name": f"{image_id}.png", "width": 200, "height": 100})
    path = folder / "instances.json"
    named = [{"id": category_id, "name": name} for category_id, name in categories]
    contents = {"images": images, "annotations": annotations, "categories": named}
    path.write_text(json.dumps(contents))
    return load_coco(path, folder)


def random_data(
    folder: Path, seed: int, num_images: int, num_classes: int
) -> tuple[DetectionDataset, list[Found]]:
    """Truths with crowds, ids with gaps, images and a class without any; detections around them.

    Half of the scores are of eleven values, so that there are ties in an image and between images.
    """
    rng = np.random.default_rng(seed)
    category_ids = np.sort(rng.choice(np.arange(1, 60), num_classes, replace=False)).tolist()
    image_ids = rng.permutation(np.arange(10, 10 + 3 * num_images, 3)).tolist()
    annotations: list[Annotation] = []
    found: list[Found] = []

    def detect(image_id: int, class_id: int, corners: Array) -> None:
        x1, y1, x2, y2 = (float(value) for value in corners.astype(np.float32))
        value = float(np.float32(rng.random()))
        rounded = round(value, 1) if rng.random() < 0.5 else value
        found.append((image_id, class_id, (x1, y1, max(x2, x1 + 1), max(y2, y1 + 1)), rounded))

    for image_id in image_ids:
        num_truths = int(rng.integers(1, 12)) if rng.random() < 0.8 else 0
        for _ in range(num_truths):
            class_id = int(rng.integers(max(1, num_classes - 1)))  # the last one has no truths
            x, y = rng.uniform(0, 120), rng.uniform(0, 60)
            width, height = rng.uniform(2, 80), rng.uniform(2, 40)
            area = width * height * rng.uniform(0.4, 1)
            crowd = int(rng.random() < 0.15)
            truth = box(image_id, (x, y, width, height), category_ids[class_id])
            annotations.append(
                {**truth, "area": area, "iscrowd": crowd, "id": len(annotations) + 1}
            )
            for _ in range(int(rng.integers(0, 4))):
                shift = rng.normal(0, 0.1, 4) * [width, height, width, height]
                guess = class_id if rng.random() < 0.8 else int(rng.integers(num_classes))
                detect(image_id, guess, np.array([x, y, x + width, y + height]) + shift)
        if rng.random() < 0.1:  # more of one class than the 100 that count
            for corners in rng.uniform(0, 100, (130, 4)):
                detect(image_id, 0, corners)
    categories = tuple((category_id, f"class {category_id}") for category_id in category_ids)
    return dataset_of(folder, annotations, tuple(image_ids), categories), found

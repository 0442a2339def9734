"""Small annotation files in COCO's format, with their pictures, for tests."""

import io
import json
from pathlib import Path
from typing import Any

from PIL import Image

from mindssd.data.dataset import DetectionDataset
from mindssd.data.formats.coco import load_coco

Entry = dict[str, Any]

CATEGORIES = [{"id": 7, "name": "dog"}, {"id": 2, "name": "cat"}]


def image(image_id: Any, name: str = "", **more: Any) -> Entry:
    """An image of 100 by 50 pixels."""
    file_name = name or f"{image_id}.png"
    return {"id": image_id, "file_name": file_name, "width": 100, "height": 50, **more}


def annotation(image_id: Any, category_id: Any, *bbox: Any, **more: Any) -> Entry:
    return {"image_id": image_id, "category_id": category_id, "bbox": list(bbox), **more}


def black(width: int, height: int) -> bytes:
    """A black picture as a file."""
    buffer = io.BytesIO()
    Image.new("1", (width, height)).save(buffer, "PNG")
    return buffer.getvalue()


BLACK = black(100, 50)


def write(
    folder: Path,
    images: list[Entry],
    annotations: list[Any],
    categories: list[Entry] | None = None,
) -> Path:
    """Write an annotation file, and a black picture of 100 by 50 for each of its images."""
    content = {
        "images": images,
        "annotations": annotations,
        "categories": CATEGORIES if categories is None else categories,
    }
    path = folder / "annotations.json"
    path.write_text(json.dumps(content))
    for entry in images:
        file = folder / str(entry["file_name"])
        file.parent.mkdir(exist_ok=True)
        file.write_bytes(BLACK)
    return path


def load(
    folder: Path,
    images: list[Entry],
    annotations: list[Any],
    categories: list[Entry] | None = None,
) -> DetectionDataset:
    """Write them, and load the data set."""
    return load_coco(write(folder, images, annotations, categories), folder)


def whats(dataset: DetectionDataset) -> list[str]:
    """Each finding without its example."""
    return [f"{finding.count} {finding.what}" for finding in dataset.report.findings]

"""What a prediction leaves behind: COCO's JSON, a table, YOLO's text files, crops."""

import csv
import io
import os
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import cv2
import msgspec

from mindssd.errors import MindSSDError
from mindssd.evaluation.coco_results import detections_to_coco
from mindssd.files import write_file
from mindssd.geometry.boxes import pixels_to_unit, xyxy_to_cxcywh
from mindssd.types import Array, Detections
from mindssd.weights.safetensors_file import ModelMetadata

JSON_FILE, CSV_FILE = "detections.json", "detections.csv"
LABELS_FOLDER, CROPS_FOLDER = "labels", "crops"

CSV_COLUMNS = ("file", "frame", "class", "score", "x1", "y1", "x2", "y2")


@dataclass(frozen=True)
class Place:
    """Where an image came from, and what its own files are called.

    `frame` counts a video's frames from 0, `seconds` is its time; None of an image.
    """

    source: str
    stem: str
    frame: int | None = None
    seconds: float | None = None

    @property
    def file_stem(self) -> str:
        return self.stem if self.frame is None else f"{self.stem}_{self.frame:06d}"


@dataclass
class Tables:
    """Gathers what goes into one file at the end: COCO's JSON and the table."""

    metadata: ModelMetadata
    images: list[dict[str, Any]] = field(default_factory=list)
    annotations: list[dict[str, Any]] = field(default_factory=list)

    def add(self, place: Place, picture: Array, detections: Detections) -> None:
        """Add one image's detections."""
        height, width = picture.shape[:2]
        image_id = len(self.images) + 1
        name = os.fsencode(place.source).decode("utf-8", "replace")  # JSON is UTF-8
        image = {"id": image_id, "file_name": name, "width": width, "height": height}
        if place.frame is not None and place.seconds is not None:
            image |= {"frame": place.frame, "seconds": round(place.seconds, 3)}
        self.images.append(image)
        found = detections_to_coco(image_id, detections, self.metadata.category_ids)
        self.annotations += _as_annotations(found, len(self.annotations) + 1)

    def write_json(self, path: Path) -> None:
        """COCO's layout, as `pycocotools.COCO` opens it."""
        metadata = self.metadata
        categories = [
            {"id": category_id, "name": name}
            for category_id, name in zip(metadata.category_ids, metadata.class_names, strict=True)
        ]
        tree = {"images": self.images, "annotations": self.annotations, "categories": categories}
        write_file(path, msgspec.json.format(msgspec.json.encode(tree), indent=1))

    def write_csv(self, path: Path) -> None:
        """A row for each detection, boxes as corners in pixels."""
        text = io.StringIO()
        rows = csv.writer(text, lineterminator="\n")
        rows.writerow(CSV_COLUMNS)
        for found in self.annotations:
            image = self.images[found["image_id"] - 1]
            x, y, width, height = found["bbox"]
            corners = [round(value, 3) for value in (x, y, x + width, y + height)]
            frame = image.get("frame", "")
            rows.writerow(
                [image["file_name"], frame, found["category_name"], found["score"], *corners]
            )
        write_file(path, text.getvalue().encode())


def _as_annotations(results: list[dict[str, Any]], first_id: int) -> list[dict[str, Any]]:
    """Add to results what makes them annotations, which `pycocotools.COCO` opens."""
    return [
        {"id": first_id + index, **result, "area": round(result["bbox"][2] * result["bbox"][3], 3)}
        | {"iscrowd": 0}
        for index, result in enumerate(results)
    ]


def write_yolo(path: Path, picture: Array, detections: Detections) -> None:
    """One line a detection: class from 0, centre and size as fractions of the image, score.

    Nothing found gives an empty file, as YOLO has it for an image of background.
    """
    boxes = xyxy_to_cxcywh(pixels_to_unit(detections.boxes, (picture.shape[0], picture.shape[1])))
    lines = [
        f"{int(class_id)} {x:.6f} {y:.6f} {width:.6f} {height:.6f} {score:.6f}\n"
        for class_id, (x, y, width, height), score in zip(
            detections.class_ids, boxes.tolist(), detections.scores.tolist(), strict=True
        )
    ]
    write_file(path, "".join(lines).encode())


def write_crops(folder: Path, stem: str, picture: Array, detections: Detections) -> None:
    """Each detection cut out of the image, best first: FOLDER/CLASS/STEM_1.jpg and so on."""
    height, width = picture.shape[:2]
    for number, (name, _, box) in enumerate(detections, start=1):
        x1, y1 = (max(0, int(value)) for value in box[:2])
        x2, y2 = min(width, int(box[2]) + 1), min(height, int(box[3]) + 1)
        if x2 > x1 and y2 > y1:
            target = folder / folder_name(name)
            target.mkdir(parents=True, exist_ok=True)
            write_image(target / f"{stem}_{number}.jpg", picture[y1:y2, x1:x2])


def folder_name(class_name: str) -> str:
    """A class's name as a folder's: without what leads elsewhere or a file system refuses."""
    plain = re.sub(r'[\x00-\x1f/\\:*?"<>|]', "_", class_name).strip(" .")
    return plain[:100] or "_"


def write_image(path: Path, image: Array) -> None:
    """Write (H, W, 3) uint8 RGB, whole or not at all."""
    done, data = cv2.imencode(path.suffix, cv2.cvtColor(image, cv2.COLOR_RGB2BGR))
    if not done:
        height, width = image.shape[:2]
        raise MindSSDError(f"{path}: {width} × {height} pixels cannot be encoded as {path.suffix}")
    write_file(path, data.tobytes())

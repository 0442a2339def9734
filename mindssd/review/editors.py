"""Labels with proposals as editors take them in: COCO, CVAT and Label Studio.

What is proposed is in place, and marked as far as the format has room for that; a label that is
perhaps of nothing stays, for what is not there cannot be looked at. Only images with a proposal are
listed.

- COCO: a proposed annotation has `score`, `kind` and `probability` beside what COCO knows.
- CVAT for images 1.1 (https://docs.cvat.ai/docs/other/xml_format): `source="auto"` marks it, in a
  task of the same images and labels, by "Upload annotations".
- Label Studio (https://labelstud.io/guide/predictions): tasks with predictions, boxes in per cent;
  the images are addressed as local files under `LOCAL_FILES_DOCUMENT_ROOT`.
"""

import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote
from xml.etree.ElementTree import Element, SubElement, indent, tostring

from mindssd.data.dataset import DetectionDataset
from mindssd.review.mistakes import Mistake

_NO_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
"""What XML 1.0 cannot hold, as bytes of a file name that are no text."""


@dataclass(frozen=True)
class Box:
    """A label as an editor shows it: `box` (x1, y1, x2, y2) in pixels, `kind` "" as it was."""

    box: tuple[float, ...]
    class_id: int
    kind: str = ""
    probability: float = 0.0
    score: float | None = None

    @property
    def xywh(self) -> list[float]:
        x1, y1, x2, y2 = self.box
        return [x1, y1, round(x2 - x1, 3), round(y2 - y1, 3)]


@dataclass(frozen=True)
class Sheet:
    """An image with its boxes."""

    image: int
    boxes: tuple[Box, ...]


def proposals(
    dataset: DetectionDataset, mistakes: Sequence[Mistake], least: float = 0.0
) -> list[Sheet]:
    """The images with a mistake of probability >= `least`, all their labels, and what is proposed.

    Crowds are left out: no editor has them.
    """
    by_image: dict[int, list[Mistake]] = {}
    for mistake in mistakes:
        if mistake.probability >= least:
            by_image.setdefault(mistake.image, []).append(mistake)
    return [Sheet(image, tuple(_boxes(dataset, image, of))) for image, of in by_image.items()]


def _boxes(dataset: DetectionDataset, image: int, mistakes: list[Mistake]) -> Iterator[Box]:
    record = dataset[image]
    changed = {mistake.label: mistake for mistake in mistakes if mistake.label >= 0}
    for place, (box, label) in enumerate(zip(record.boxes, record.labels, strict=True)):
        if record.is_crowd[place]:
            continue
        as_it_is = tuple(round(float(value), 3) for value in box)
        mistake = changed.get(place)
        if mistake is None:
            yield Box(as_it_is, int(label) - 1)
            continue
        class_id, corners = int(label) - 1, as_it_is
        if mistake.kind == "class" and mistake.found_class is not None:
            class_id = mistake.found_class
        if mistake.kind == "box" and mistake.found_box is not None:
            corners = mistake.found_box
        yield Box(corners, class_id, mistake.kind, mistake.probability, mistake.score)
    for mistake in mistakes:
        if mistake.kind == "missing" and mistake.found_box and mistake.found_class is not None:
            found = mistake.found_box, mistake.found_class
            yield Box(*found, mistake.kind, mistake.probability, mistake.score)


def as_coco(dataset: DetectionDataset, sheets: Sequence[Sheet]) -> dict[str, Any]:
    images: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    for sheet in sheets:
        record = dataset[sheet.image]
        images.append(
            {
                "id": record.image_id,
                "file_name": dataset.file_names[sheet.image],
                "width": record.width,
                "height": record.height,
            }
        )
        for box in sheet.boxes:
            proposed = {"kind": box.kind, "probability": round(box.probability, 4)}
            annotations.append(
                {
                    "id": len(annotations) + 1,
                    "image_id": record.image_id,
                    "category_id": dataset.category_ids[box.class_id],
                    "bbox": box.xywh,
                    "area": round(box.xywh[2] * box.xywh[3], 3),
                    "iscrowd": 0,
                    **({**proposed, "score": round(box.score or 0.0, 4)} if box.kind else {}),
                }
            )
    categories = [
        {"id": number, "name": name}
        for number, name in zip(dataset.category_ids, dataset.class_names, strict=True)
    ]
    return {"images": images, "annotations": annotations, "categories": categories}


def as_cvat(dataset: DetectionDataset, sheets: Sequence[Sheet]) -> bytes:
    root = Element("annotations")
    SubElement(root, "version").text = "1.1"
    labels = SubElement(SubElement(SubElement(root, "meta"), "task"), "labels")
    for name in dataset.class_names:
        label = SubElement(labels, "label")
        SubElement(label, "name").text = name
        SubElement(label, "attributes")
    for number, sheet in enumerate(sheets):
        record = dataset[sheet.image]
        named = {"id": str(number), "name": dataset.file_names[sheet.image]}
        size = {"width": str(record.width), "height": str(record.height)}
        image = SubElement(root, "image", {**named, **size})
        for box in sheet.boxes:
            corners = zip(("xtl", "ytl", "xbr", "ybr"), box.box, strict=True)
            SubElement(
                image,
                "box",
                {
                    "label": dataset.class_names[box.class_id],
                    "occluded": "0",
                    "source": "auto" if box.kind else "manual",
                    **{key: f"{value:.2f}" for key, value in corners},
                    "z_order": "1" if box.kind else "0",
                },
            )
    indent(root)
    text: str = tostring(root, encoding="unicode")
    text = _NO_XML.sub("?", text)
    return f'<?xml version="1.0" encoding="utf-8"?>\n{text}\n'.encode()


def as_label_studio(
    dataset: DetectionDataset, sheets: Sequence[Sheet], folder: str = ""
) -> list[dict[str, Any]]:
    """Tasks with one prediction each; `folder` is where the images lie below the document root."""
    return [
        label_studio_task(
            f"{folder}/{dataset.file_names[sheet.image]}".removeprefix("/"),
            (dataset[sheet.image].width, dataset[sheet.image].height),
            sheet.boxes,
            dataset.class_names,
            "mindssd review",
        )
        for sheet in sheets
    ]


def label_studio_task(
    name: str,
    size: tuple[int, int],
    boxes: Sequence[Box],
    class_names: Sequence[str],
    model: str,
) -> dict[str, Any]:
    """An image with boxes as a prediction; `size` is (width, height)."""
    width, height = size
    result = []
    for number, box in enumerate(boxes):
        x, y, across, down = box.xywh
        value: dict[str, Any] = {
            "x": _percent(x, width),
            "y": _percent(y, height),
            "width": _percent(across, width),
            "height": _percent(down, height),
            "rotation": 0,
            "rectanglelabels": [class_names[box.class_id]],
        }
        region: dict[str, Any] = {
            "id": f"box{number}",
            "from_name": "label",
            "to_name": "image",
            "type": "rectanglelabels",
            "original_width": width,
            "original_height": height,
            "image_rotation": 0,
            "value": value,
        }
        if box.score is not None:
            region["score"] = round(box.score, 4)
        if box.kind:
            region["meta"] = {"text": [f"{box.kind} {box.probability:.2f}"]}
        result.append(region)
    scores = [box.score for box in boxes if box.score is not None]
    prediction: dict[str, Any] = {"model_version": model, "result": result}
    if scores:
        prediction["score"] = round(sum(scores) / len(scores), 4)
    address = f"/data/local-files/?d={quote(os.fsencode(name))}"
    return {"data": {"image": address}, "predictions": [prediction]}


def _percent(value: float, whole: int) -> float:
    return round(100 * value / max(whole, 1), 4)

"""Detections as an answer: our JSON, COCO's, or a picture."""

from collections.abc import Sequence
from typing import Any

import msgspec
from starlette.responses import Response

from mindssd.evaluation.coco_results import as_annotations, detections_to_coco
from mindssd.serve.detecting import Looked
from mindssd.types import Detections
from mindssd.weights.safetensors_file import ModelMetadata

JSON = "application/json"


def as_json(model: str, looked: Sequence[Looked]) -> Response:
    """Numbers have every bit of float32 in them."""
    images = [_image(one) for one in looked]
    return Response(msgspec.json.encode({"model": model, "images": images}), media_type=JSON)


def _image(looked: Looked) -> dict[str, Any]:
    if looked.error is not None:
        return {"name": looked.name, "error": looked.error}
    height, width = looked.size
    found = _detections(looked.detections)
    return {"name": looked.name, "width": width, "height": height, "detections": found}


def _detections(detections: Detections) -> list[dict[str, Any]]:
    columns = detections.class_ids, detections.scores, detections.boxes
    names = detections.class_names
    return [
        {"class": names[class_id], "class_id": class_id, "score": score, "box": box}
        # Whole arrays at once: a hundred detections one by one take as long as decoding a picture.
        for class_id, score, box in zip(*(column.tolist() for column in columns), strict=True)
    ]


def as_coco(metadata: ModelMetadata, looked: Sequence[Looked]) -> Response:
    """`detections.json` as `mindssd predict` writes it; what could not be read is not in it."""
    category_ids = metadata.category_ids
    content: dict[str, list[Any]] = {
        "categories": [
            {"id": category_id, "name": name}
            for category_id, name in zip(category_ids, metadata.class_names, strict=True)
        ],
        "annotations": [],
        "images": [],
    }
    for one in looked:
        if one.error is None:
            image_id = len(content["images"]) + 1
            height, width = one.size
            content["images"].append(
                {"id": image_id, "file_name": one.name, "width": width, "height": height}
            )
            found = detections_to_coco(image_id, one.detections, category_ids)
            content["annotations"] += as_annotations(found, len(content["annotations"]) + 1)
    return Response(msgspec.json.encode(content), media_type=JSON)

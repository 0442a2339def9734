"""The YAML at a card's head, as the Hugging Face Hub reads it.

Values are written as JSON, which YAML contains. What is not known is a comment to fill in.
Source: https://github.com/huggingface/hub-docs/blob/main/modelcard.md
"""

import json
from textwrap import indent
from typing import Any

from mindssd.card.facts import Facts
from mindssd.evaluation.report import protocol_line

METRICS = {
    "AP": "AP (mean over IoU 0.50 to 0.95)",
    "AP50": "AP at IoU 0.50",
    "AP75": "AP at IoU 0.75",
}


def front_matter(facts: Facts, licence: str | None) -> str:
    """The block with its marks; `licence` is the hub's identifier of one, None to be filled in."""
    lines = [
        "---",
        "# license: fill in, such as apache-2.0; the images and their labels may bind you"
        if licence is None
        else f"license: {json.dumps(licence)}",
        'library_name: "mindssd"',
        'pipeline_tag: "object-detection"',
        f"tags: {json.dumps(_tags(facts), ensure_ascii=False)}",
        "# datasets: fill in their names on the hub, if they are there",
    ]
    index = _model_index(facts)
    if index:
        lines += ['metrics: ["map"]', "model-index:", indent(_json(index), "  ")]
    return "\n".join([*lines, "---"])


_FORMATS = {".xml": "openvino", ".tflite": "tflite", ".param": "ncnn"}
"""By what a deployed file ends in; other files are ONNX's, whatever they are called."""


def _tags(facts: Facts) -> list[str]:
    names = ["object-detection", "ssd", facts.config.backbone.name]
    if facts.is_deployed:
        names.append(_FORMATS.get(facts.path.suffix, "onnx"))
    return names


def _model_index(facts: Facts) -> list[dict[str, Any]]:
    """The figures under the protocol that they were measured by; empty without any."""
    figures = facts.figures
    metrics = []
    for name, words in METRICS.items():
        if name not in figures.values:
            continue
        metric: dict[str, Any] = {
            "type": "map",
            "name": words,
            "value": round(figures.values[name], 4),
        }
        if figures.protocol is not None:
            metric["args"] = {"protocol": figures.protocol.name}
        metrics.append(metric)
    if not metrics:
        return []
    result: dict[str, Any] = {
        "task": {"type": "object-detection", "name": "Object detection"},
        "dataset": {"type": "other", "name": facts.dataset or "not stated", "split": "validation"},
        "metrics": metrics,
    }
    if figures.protocol is not None:
        result["dataset"]["args"] = {"protocol": protocol_line(figures.protocol)}
    return [{"name": facts.name, "results": [result]}]


def _json(value: object) -> str:
    return json.dumps(value, indent=2, ensure_ascii=False)

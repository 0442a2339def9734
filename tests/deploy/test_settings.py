"""What an export is asked for, by programs too, which no range of an option guards."""

import math
from pathlib import Path
from typing import Any

import pytest

from mindssd.deploy.manifest import InGraphNMS
from mindssd.deploy.settings import ExportSettings
from mindssd.errors import ConfigError


@pytest.mark.parametrize(
    ("settings", "fault"),
    [
        ({"max_loss": math.nan}, "--max-loss is nan: expected at least 0"),
        ({"max_loss": -0.1}, "--max-loss is -0.1: expected at least 0"),
        ({"nms": InGraphNMS(math.nan, 0.6, 300)}, "--nms-score is nan: expected 0 to 1"),
        ({"nms": InGraphNMS(0.01, 1.5, 300)}, "--nms-iou is 1.5: expected 0 to 1"),
        ({"format": "ncnn", "int8": True}, "--int8 is for onnx, openvino and tflite, not for ncnn"),
        ({"format": "ncnn", "out": Path("a.bin")}, "--out a.bin: what ncnn reads ends in .param"),
        ({"format": "openvino", "out": Path("a")}, "--out a: what openvino reads ends in .xml"),
        ({"nms": InGraphNMS(0.01, 0.6, 0)}, "--nms-detections is 0: expected at least 1"),
    ],
)
def test_what_cannot_be_had_is_refused_before_any_work(
    settings: dict[str, Any], fault: str
) -> None:
    with pytest.raises(ConfigError) as raised:
        ExportSettings(**settings)
    assert str(raised.value) == fault

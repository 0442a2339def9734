"""mindssd: SSD object detection on MindCV's backbones."""

from importlib.metadata import version as _version
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pathlib import Path

    from mindssd.inference.detector import Detector

__version__ = _version("mindssd")


def load(path: "str | Path", **settings: Any) -> "Detector":
    """Open a trained model: `detections = mindssd.load("best.safetensors")("photo.jpg")`.

    Instead of a file it may be named as a published detector is: `mindssd.load("ssd_mobilenetv2")`
    fetches MindCV's, trained on COCO, once.

    `settings` are those of `mindssd.build.model.load`: classes, score_threshold, iou_threshold,
    max_detections, batch_size, tile, overlap and device; engine for a model as it was trained;
    runtime, precision and threads for an exported one. What runs it is imported here, not by
    `import mindssd`.
    """
    from mindssd.build.model import load as load_detector

    return load_detector(path, **settings)

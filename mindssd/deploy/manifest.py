"""What a deployed file says of itself: a model's description, and how its outputs are to be read.

It travels as text under text keys, in ONNX's `metadata_props` and OpenVINO's `rt_info` alike, so
that other programs can read it too: `class_names`, `image_size`, `mean`, `std` and the others are
JSON.
"""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from mindssd.errors import ConfigError, WeightsError
from mindssd.geometry.postprocess import PostProcessDecoded, PostProcessSelected
from mindssd.weights.safetensors_file import FORMAT, ModelMetadata, from_strings, to_strings

INPUT = "images"
"""(B, 3, H, W) float32, RGB normalised by `mean` and `std`; B is free."""

SCORE_THRESHOLD = 0.3
"""What is worth showing to a person; evaluation counts down to 0.01."""

IOU_THRESHOLD = 0.5
"""Of two detections that overlap more, whatever their classes, a person is shown one."""

MAX_DETECTIONS = 100
"""So many of an image are shown at most."""

BOXES, SCORES, CLASS_IDS = "boxes", "scores", "class_ids"
"""Outputs. Boxes are (x1, y1, x2, y2) as fractions of the image, clipped to it."""


@dataclass(frozen=True)
class InGraphNMS:
    """The thresholds of NMS inside the graph; `max_detections` rows come out for each image."""

    score_threshold: float
    iou_threshold: float
    max_detections: int


@dataclass(frozen=True)
class Manifest:
    """A deployed file's description.

    Without `nms` the outputs are `boxes` (B, num_boxes, 4) and `scores` (B, num_boxes, C) after the
    sigmoid. With it they are `boxes` (B, M, 4), `scores` (B, M) and `class_ids` (B, M) int32, best
    first; left-over rows have score 0 and class -1.
    """

    metadata: ModelMetadata
    num_boxes: int
    score_threshold: float
    """What is worth showing, unless the user says otherwise."""
    recipe: str | None
    """The recipe whose network it is, None for one of the user's own."""
    precision: Literal["float32", "int8"] = "float32"
    nms: InGraphNMS | None = None

    def postprocess(self) -> PostProcessDecoded | PostProcessSelected:
        """How to go on from the file's outputs, at the thresholds' defaults."""
        if self.nms is None:
            return PostProcessDecoded(num_boxes=self.num_boxes)
        return PostProcessSelected(num_boxes=self.nms.max_detections)

    def shown(self) -> tuple[float, float, int]:
        """What is shown by default: score threshold, IoU threshold, most detections of an image.

        Those of NMS inside where they are narrower.
        """
        if self.nms is None:
            return self.score_threshold, IOU_THRESHOLD, MAX_DETECTIONS
        return (
            max(self.score_threshold, self.nms.score_threshold),
            min(IOU_THRESHOLD, self.nms.iou_threshold),
            min(MAX_DETECTIONS, self.nms.max_detections),
        )

    def require_wider(
        self,
        score_threshold: float,
        iou_threshold: float,
        max_detections: int | None,
        pixel_offset: float,
    ) -> None:
        """ConfigError where NMS inside the graph has dropped what these thresholds would keep."""
        nms = self.nms
        if nms is None:
            return
        wanted = nms.max_detections + 1 if max_detections is None else max_detections
        for name, value, fits in (
            ("score threshold", score_threshold, score_threshold >= nms.score_threshold),
            ("IoU threshold", iou_threshold, iou_threshold <= nms.iou_threshold),
            ("limit of detections", max_detections or "none", wanted <= nms.max_detections),
            ("pixel offset", pixel_offset, pixel_offset == 0),
        ):
            if not fits:
                raise ConfigError(
                    f"the file has NMS inside (scores above {nms.score_threshold:g}, IoU "
                    f"{nms.iou_threshold:g}, {nms.max_detections} detections), which a {name} of "
                    f"{value} would undo; export it without --nms"
                )

    def to_strings(self, path: Path) -> dict[str, str]:
        """Text by key, for a file's metadata; `path` is for the error where it cannot be text."""
        own = {key: value for key, value in asdict(self).items() if key != "metadata"}
        return to_strings(path, self.metadata) | {"deployed": json.dumps(own)}

    @classmethod
    def from_strings(cls, path: Path, strings: Mapping[str, str]) -> "Manifest":
        """The inverse; WeightsError where the file is not ours, or its description is damaged."""
        if strings.get("format") != FORMAT or "deployed" not in strings:
            raise WeightsError(
                f"{path}: was not written by mindssd: it does not say what its classes and outputs "
                "are; `mindssd export MODEL` writes a file that does"
            )
        metadata = from_strings(path, strings)
        try:
            own: dict[str, Any] = json.loads(strings["deployed"])
            nms = own.pop("nms")
            return cls(metadata=metadata, nms=InGraphNMS(**nms) if nms else None, **own)
        except (TypeError, ValueError, KeyError, AttributeError) as error:
            raise WeightsError(f"{path}: its description is damaged ({error!r})") from error

"""What a deployed file says of itself: a model's description, and how its outputs are to be read.

It travels as text under text keys, in ONNX's `metadata_props` and OpenVINO's `rt_info` alike, so
that other programs can read it too: `class_names`, `image_size`, `mean`, `std` and the others are
JSON.
"""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Literal

from mindssd.errors import ConfigError, WeightsError
from mindssd.geometry.postprocess import PostProcessDecoded, PostProcessSelected
from mindssd.geometry.refinement import Refinement
from mindssd.geometry.selection import Selection
from mindssd.weights.class_rows import some
from mindssd.weights.safetensors_file import DAMAGE, FORMAT, ModelMetadata, from_strings, to_strings

INPUT = "images"
"""(B, 3, H, W) float32, RGB normalised by `mean` and `std`; B is free, or the manifest's."""

MAX_DETECTIONS = 100

Precision = Literal["float32", "float16", "int8"]
"""What a file's weights are kept in."""

NUM_THRESHOLDS = 8
"""A line says the thresholds of so many classes."""

FOR_PEOPLE = Selection(
    score_threshold=0.3,
    iou_threshold=0.5,
    max_detections=MAX_DETECTIONS,
    across_classes_iou=0.5,
)
"""What is worth showing to a person: one class for one thing, and not too many things.

Evaluation counts down to a score of 0.01, and class by class.
"""

BOXES, SCORES, CLASS_IDS = "boxes", "scores", "class_ids"
"""Outputs. Boxes are (x1, y1, x2, y2) as fractions of the image, clipped to it."""


def shown_by(
    metadata: ModelMetadata, score_threshold: float = FOR_PEOPLE.score_threshold
) -> Selection:
    """What a model's detections are shown by: its own thresholds, or `score_threshold`."""
    own = own_thresholds(metadata)
    if own is None:
        return replace(FOR_PEOPLE, score_threshold=score_threshold)
    return FOR_PEOPLE.with_thresholds(own)


def own_thresholds(metadata: ModelMetadata) -> list[float] | None:
    """The score of each class above which the model itself shows it; None where it has none."""
    return [metadata.thresholds[x] for x in metadata.class_names] if metadata.thresholds else None


def threshold_line(metadata: ModelMetadata) -> str | None:
    """What a model's own thresholds are, for people; None where it has none."""
    found = metadata.thresholds
    if not found:
        return None
    if len(set(found.values())) == 1:
        said = f"{next(iter(found.values())):.3g}"
    else:
        said = some([f"{name} {value:.3g}" for name, value in found.items()], NUM_THRESHOLDS)
    return f"score > {said}" + (f" ({metadata.thresholds_by})" if metadata.thresholds_by else "")


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
    precision: Precision = "float32"
    nms: InGraphNMS | None = None
    batch: int | None = None
    """How many images the graph takes, no more and no fewer; any number where it is None."""

    def postprocess(
        self, selection: Selection = FOR_PEOPLE, class_ids: tuple[int, ...] | None = None
    ) -> PostProcessDecoded | PostProcessSelected:
        """How to go on from the file's outputs."""
        if self.nms is None:
            return PostProcessDecoded(
                self.num_boxes,
                selection=selection,
                class_ids=class_ids,
                refinement=self.refinement(),
            )
        num_rows = self.nms.max_detections
        return PostProcessSelected(num_rows, selection=selection, class_ids=class_ids)

    @property
    def keeps_aspect(self) -> bool:
        """Whether a picture is fitted into the network's image, not stretched to it."""
        return self.metadata.config.get("image_fit") == "letterbox"

    def refinement(self) -> Refinement:
        """The model's own, by its configuration; NMS inside leaves nothing to refine."""
        if self.nms is not None:
            return Refinement()
        asked = self.metadata.config.get("detection", {})
        return Refinement(soft_sigma=asked.get("soft_sigma"), vote_iou=asked.get("vote_iou"))

    def shown(self) -> Selection:
        """What is shown by default: `FOR_PEOPLE`, or NMS inside where that is narrower."""
        shown = shown_by(self.metadata, self.score_threshold)
        if self.nms is None:
            return shown
        iou_threshold = min(FOR_PEOPLE.iou_threshold, self.nms.iou_threshold)
        thresholds = shown.class_thresholds or (shown.score_threshold,)
        return replace(
            shown.with_thresholds([max(x, self.nms.score_threshold) for x in thresholds]),
            iou_threshold=iou_threshold,
            max_detections=min(MAX_DETECTIONS, self.nms.max_detections),
            across_classes_iou=iou_threshold,
        )

    def require_wider(self, selection: Selection) -> None:
        """ConfigError where NMS inside the graph has dropped what a selection would keep."""
        nms = self.nms
        if nms is None:
            return
        score, iou = selection.score_threshold, selection.iou_threshold
        limit, offset = selection.max_detections, selection.pixel_offset
        for name, value, fits in (
            ("score threshold", score, score >= nms.score_threshold),
            ("IoU threshold", iou, iou <= nms.iou_threshold),
            ("limit of detections", limit or "none", limit and limit <= nms.max_detections),
            ("pixel offset", offset, offset == 0),
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
        if self.batch is None:
            del own["batch"]  # which earlier versions do not know
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
        except DAMAGE as error:
            raise WeightsError(f"{path}: its description is damaged ({error!r})") from error

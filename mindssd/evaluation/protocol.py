"""What an evaluation counts: which detections of which images."""

import typing
from dataclasses import asdict, dataclass
from typing import Any

from mindssd.geometry.selection import Selection
from mindssd.types import ImageRecord


class AnnotatedImages(typing.Protocol):
    """A data set as evaluation sees it, such as `mindssd.data.dataset.DetectionDataset`."""

    @property
    def class_names(self) -> tuple[str, ...]: ...

    @property
    def category_ids(self) -> tuple[int, ...]:
        """The annotation file's id of each class."""

    @property
    def annotation_file(self) -> str: ...

    def __len__(self) -> int: ...

    def __getitem__(self, index: int, /) -> ImageRecord: ...


@dataclass(frozen=True)
class Protocol:
    """How detections are selected and which images they are scored on.

    `only_clean_images` leaves out images without boxes and those with any crowd.
    """

    name: str
    selection: Selection
    only_clean_images: bool = False

    def as_dict(self) -> dict[str, Any]:
        """Its name and every setting, in plain JSON types."""
        selection = asdict(self.selection)
        del selection["class_thresholds"]  # which no protocol has
        return {
            "name": self.name,
            **selection,
            "only_clean_images": self.only_clean_images,
        }

    def counts(self, record: ImageRecord) -> bool:
        """Tell whether an image is scored."""
        if not self.only_clean_images:
            return True
        return len(record.boxes) > 0 and not bool(record.is_crowd.any())


COCO = Protocol(
    name="coco",
    # COCO ranks detections, so a threshold can only lose. 0.01, torchvision's for SSD, bounds the
    # work of a network with few sure detections; one trained with focal loss has more than 100
    # above it (the reference's on BCCD has the same AP with any threshold up to 0.1).
    selection=Selection(score_threshold=0.01, iou_threshold=0.6, max_detections=100),
)
"""COCO's: every image, crowds ignored, 100 detections an image."""

MINDCV = Protocol(
    name="mindcv",
    selection=Selection(
        score_threshold=0.1,
        iou_threshold=0.6,
        max_detections=None,
        max_per_class=100,
        pixel_offset=1.0,
    ),
    only_clean_images=True,
)
"""The reference's own, whose mAP is not COCO's: for comparison with MindCV's published figures."""

PROTOCOLS = {protocol.name: protocol for protocol in (COCO, MINDCV)}


def chosen_images(dataset: AnnotatedImages, protocol: Protocol) -> list[int]:
    """List the indices of the images that a protocol scores, in the data set's order."""
    return [index for index in range(len(dataset)) if protocol.counts(dataset[index])]

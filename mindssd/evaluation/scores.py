"""A detector's figures on a data set."""

from dataclasses import asdict, dataclass
from typing import Any

from mindssd.evaluation.protocol import Protocol


@dataclass(frozen=True)
class ClassResult:
    """One class's numbers, over all sizes and at 100 detections; None where it has no truths."""

    name: str
    num_truths: int
    ap: float | None
    ap50: float | None
    ar100: float | None


@dataclass(frozen=True)
class Evaluation:
    """A detector's figures on a data set, with all that they depend on.

    AP and AR as COCO defines them: means over IoU 0.50 to 0.95 unless a number says otherwise, over
    the classes that have truths; small is an area below 32², large above 96². None where there are
    no truths.
    """

    ap: float | None
    ap50: float | None
    ap75: float | None
    ap_small: float | None
    ap_medium: float | None
    ap_large: float | None
    ar1: float | None
    ar10: float | None
    ar100: float | None
    ar_small: float | None
    ar_medium: float | None
    ar_large: float | None
    per_class: tuple[ClassResult, ...]
    protocol: Protocol
    num_images: int
    num_truths: int
    num_crowds: int
    num_detections: int
    seconds: float
    unreadable: tuple[str, ...] = ()

    @property
    def images_per_second(self) -> float | None:
        """Images read and detected in a second; None where that was not timed."""
        return self.num_images / self.seconds if self.seconds > 0 else None

    def twelve_numbers(self) -> dict[str, float | None]:
        """COCO's twelve, in its order, under its names."""
        return {
            "AP": self.ap,
            "AP50": self.ap50,
            "AP75": self.ap75,
            "APs": self.ap_small,
            "APm": self.ap_medium,
            "APl": self.ap_large,
            "AR1": self.ar1,
            "AR10": self.ar10,
            "AR100": self.ar100,
            "ARs": self.ar_small,
            "ARm": self.ar_medium,
            "ARl": self.ar_large,
        }

    def as_dict(self) -> dict[str, Any]:
        """Everything in plain JSON types; what is undefined is null, never NaN."""
        return {
            **self.twelve_numbers(),
            "per_class": [asdict(result) for result in self.per_class],
            "protocol": self.protocol.as_dict(),
            "num_images": self.num_images,
            "num_truths": self.num_truths,
            "num_crowds": self.num_crowds,
            "num_detections": self.num_detections,
            "seconds": self.seconds,
            "images_per_second": self.images_per_second,
            "unreadable": list(self.unreadable),
        }

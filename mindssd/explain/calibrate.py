"""One temperature by which a model's scores say how often its detections are right."""

from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np

from mindssd.errors import MindSSDError
from mindssd.evaluation.calibration import fit_temperature, reliability, with_temperature
from mindssd.evaluation.curves import Ranked, ranked
from mindssd.evaluation.outcomes import Outcomes

NUM_SPLITS = 50
"""So often the images are halved; each half fits a temperature for the other."""


@dataclass(frozen=True)
class Calibration:
    """A temperature, and the expected calibration error (arXiv:1706.04599) without and with it.

    `elsewhere_…` are means over images that took no part in the fit; None where none could.
    """

    temperature: float
    before: float
    after: float
    elsewhere_before: float | None
    elsewhere_after: float | None

    def as_dict(self) -> dict[str, Any]:
        """In plain JSON types."""
        return asdict(self)

    def line(self) -> str:
        """For people."""
        said = (
            f"temperature {self.temperature:.3f}: scores lie {self.after:.3f} from the share that "
            f"is right, {self.before:.3f} without it"
        )
        if self.elsewhere_after is None:
            return said
        there = f"{self.elsewhere_after:.3f} instead of {self.elsewhere_before:.3f}"
        return f"{said}; on other images {there}"


def calibrate(found: Outcomes, iou: float, seed: int = 0) -> Calibration:
    """Fit a temperature to all detections; MindSSDError where none fits them."""
    detections = ranked(found, iou)
    temperature = fit_temperature(detections.scores, detections.right)
    if temperature is None:
        all_told = bool((detections.right == (detections.scores > 0.5)).all())
        why = (
            "0.5 tells all of them, so that the lower it is the better; validate on more images"
            if all_told and len(detections.scores)
            else "their scores do not tell which"
        )
        raise MindSSDError(
            f"--calibrate: no temperature fits the {len(detections.scores)} detections, of which "
            f"{int(detections.right.sum())} are right: {why}"
        )
    elsewhere = _elsewhere(detections, len(found.image_ids), np.random.default_rng(seed))
    return Calibration(temperature, _error(detections), _error(detections, temperature), *elsewhere)


def rescored(found: Outcomes, temperature: float) -> Outcomes:
    """The same detections with the scores that the divided logits give: sigmoid(logit / T)."""
    scores = with_temperature(found.table.scores, temperature).astype(np.float32)
    return replace(found, table=replace(found.table, scores=scores))


def _elsewhere(
    detections: Ranked, num_images: int, rng: np.random.Generator
) -> tuple[float | None, float | None]:
    before, after = [], []
    for _ in range(NUM_SPLITS if num_images > 1 else 0):
        in_first = np.zeros(num_images, np.bool_)
        in_first[rng.permutation(num_images)[: num_images // 2]] = True
        halves = detections.of_images(in_first), detections.of_images(~in_first)
        for here, there in (halves, halves[::-1]):
            temperature = fit_temperature(here.scores, here.right)
            if temperature is not None and len(there.scores):
                before.append(_error(there))
                after.append(_error(there, temperature))
    return (float(np.mean(before)), float(np.mean(after))) if before else (None, None)


def _error(detections: Ranked, temperature: float = 1.0) -> float:
    scores = with_temperature(detections.scores, temperature)
    error = reliability(scores, detections.right).expected_error
    assert error is not None  # there are detections
    return error

"""From which score on a report counts a detection: the model's saved thresholds, or the best F1."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from mindssd.build.evaluation import Detected
from mindssd.evaluation.curves import ScoreCurve
from mindssd.evaluation.outcomes import Outcomes
from mindssd.evaluation.thresholds import Figures, figures_of_thresholds
from mindssd.types import Array


@dataclass(frozen=True, eq=False)
class Counted:
    """The scores above which detections count, `thresholds` (C,), and what they give.

    `by` says what saved ones were chosen by, and is None where the model has none: then it is the
    score of the highest F1 over all classes, 0 where there is none.
    """

    thresholds: Array
    by: str | None
    together: Figures
    of_classes: tuple[Figures, ...]

    @property
    def are_saved(self) -> bool:
        return self.by is not None

    @property
    def one(self) -> float | None:
        """The threshold of all classes; None where they have different ones."""
        first = float(self.thresholds[0])
        return first if (self.thresholds == first).all() else None

    @property
    def words(self) -> str:
        """For the end of a sentence: `above …`."""
        if self.by is None:
            return f"{self.one:.2f}, the score of the highest F1"
        chosen = f" ({self.by})" if self.by else ""
        if self.one is None:
            return f"each class’s threshold, as the model has them saved{chosen}"
        return f"{self.one:.2f}, the threshold that the model has saved{chosen}"

    def as_dict(self, class_names: tuple[str, ...]) -> dict[str, Any]:
        """In plain JSON types."""
        per_class = zip(class_names, self.thresholds.tolist(), self.of_classes, strict=True)
        return {
            "saved": self.are_saved,
            "by": self.by,
            **_figures(self.together),
            "per_class": {
                name: {"threshold": threshold, **_figures(figures)}
                for name, threshold, figures in per_class
            },
        }


def counted(detected: Detected, result: Outcomes, whole: ScoreCurve, iou: float) -> Counted:
    """The model's own thresholds where it has some, or else that of the curve's highest F1."""
    metadata = detected.metadata
    saved: Mapping[str, float] = {} if metadata is None else metadata.thresholds
    if saved and metadata is not None:
        thresholds = np.array([saved[name] for name in result.class_names])
        by: str | None = metadata.thresholds_by
    else:
        best = whole.best_f1
        score = 0.0 if best is None else whole.threshold(best)
        thresholds, by = np.full(len(result.class_names), score), None
    return Counted(thresholds, by, *figures_of_thresholds(result, thresholds, iou))


def _figures(figures: Figures) -> dict[str, float | None]:
    return {"precision": figures.precision, "recall": figures.recall, "f1": figures.f1}

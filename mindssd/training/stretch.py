"""A stretch of steps as a line of the log has it: the means of their losses, and the pace."""

import time
from collections import deque

from mindssd.engines.base import StepResult


class Stretch:
    """The steps that no line of the log has yet, and the pace of the last fifty."""

    def __init__(self) -> None:
        self.results: list[StepResult] = []
        self._recent: deque[tuple[float, int]] = deque(maxlen=50)

    def add(self, result: StepResult, images: int) -> None:
        """A step that has just ended, of so many images."""
        self.results.append(result)
        self._recent.append((time.monotonic(), images))

    def images_per_s(self) -> float:
        """The pace; 0 before the second step."""
        if len(self._recent) < 2:
            return 0.0
        seconds = self._recent[-1][0] - self._recent[0][0]
        images = sum(count for _, count in list(self._recent)[1:])
        return images / seconds if seconds > 0 else 0.0

    def pause(self) -> None:
        """Leave what comes before the next step out of the pace, such as an evaluation."""
        self._recent.clear()

    def end(self) -> dict[str, float]:
        """The means of the steps whose loss was finite, none without such steps; begin anew."""
        finite = [result for result in self.results if result.finite]
        self.results = []
        if not finite:
            return {}
        count = len(finite)
        return {
            "loss": sum(r.loss for r in finite) / count,
            "class_loss": sum(r.class_loss for r in finite) / count,
            "box_loss": sum(r.box_loss for r in finite) / count,
            "gradient_norm": sum(r.gradient_norm for r in finite) / count,
            "positives": sum(r.num_positives for r in finite) / count,
            "images_per_s": self.images_per_s(),
        }

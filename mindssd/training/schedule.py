"""The learning rate as a pure function of the step."""

import math
from dataclasses import dataclass


@dataclass(frozen=True)
class Schedule:
    """Linear warm-up, `flat_share` of the rest at the peak, then half a cosine down to
    `peak * final_factor`.
    """

    peak: float
    warmup_start: float
    final_factor: float
    warmup_steps: int
    total_steps: int
    flat_share: float = 0.0

    def learning_rate(self, step: int) -> float:
        """The rate of step `step`, from 0. Beyond the last step it stays at the last one's."""
        if step < self.warmup_steps:
            return self.warmup_start + (self.peak - self.warmup_start) * step / self.warmup_steps
        rest = self.total_steps - self.warmup_steps
        flat_steps = round(self.flat_share * rest)
        progress = (step - self.warmup_steps - flat_steps) / max(1, rest - flat_steps)
        progress = min(1.0, max(0.0, progress))
        end = self.peak * self.final_factor
        return end + (self.peak - end) * (1 + math.cos(math.pi * progress)) / 2


def ema_decay(step: int, decay: float) -> float:
    """The old average's weight at `step`: small at first, so that initial values are forgotten."""
    return min(decay, (1 + step) / (10 + step))

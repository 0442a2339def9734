"""How long a training run is, what it asks of the layers above, and how it ended."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from mindssd.engines.base import Parameters
from mindssd.training.losses import Losses
from mindssd.types import Array

Metrics = Mapping[str, float | None]
"""None where a number is undefined, such as AP without truths."""

FOUND = 1e-3
"""An AP below this is chance."""

WAY_OUT = "lower schedule.learning_rate or set optimizer.clip_norm"
"""Where the loss explodes."""


@dataclass(frozen=True)
class Plan:
    """How long a run is and what happens when."""

    epochs: int
    steps_per_epoch: int
    evaluate_every: int
    """In epochs; 0 only after the last."""
    max_bad_steps: int
    ema_decay: float | None
    accumulate_steps: int = 1
    patience: int | None = None
    """The run ends after so many evaluations without a better score; None: at its last step."""
    smoothing: int = 1
    """A score is the mean AP of the last so many evaluations."""

    @property
    def total_steps(self) -> int:
        return self.epochs * self.steps_per_epoch

    def evaluates_after(self, epoch: int) -> bool:
        """`epoch` counts from 1. The last one is always evaluated."""
        due = self.evaluate_every > 0 and epoch % self.evaluate_every == 0
        return due or epoch == self.epochs


@dataclass(frozen=True)
class Actions:
    """What the loop asks of the layers above it."""

    evaluate: Callable[[], Metrics]
    """Evaluate the network as it stands; the key `AP` decides what is best."""
    save_model: Callable[[Parameters, Metrics], None]
    """Write the best model's file."""
    sample_picture: Callable[[], Array | None]
    """A picture of detections for TensorBoard, (H, W, 3) uint8 RGB."""


@dataclass(frozen=True)
class Outcome:
    """How a run ended."""

    metrics: Metrics
    """Of the last evaluation."""
    best: float
    """The best score: an AP, or the mean of the last ones where the plan smooths."""
    skipped_steps: int
    unreadable_images: tuple[int, ...]
    elapsed_s: float
    losses: Losses

    @property
    def found_nothing(self) -> bool:
        """Whether no evaluation found anything to speak of, where there was something to find."""
        return self.metrics["AP"] is not None and self.best < FOUND

    @property
    def learnt_nothing(self) -> bool:
        """Whether that is because the loss exploded."""
        return self.losses.exploded and self.best < FOUND

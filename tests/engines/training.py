"""What tests of optimizer steps share: settings, a stepper that can be put back, bad batches."""

from dataclasses import dataclass, replace

import numpy as np

from mindssd.engines.base import LossSpec, Network, Parameters, Stepper, StepperState, StepSpec
from mindssd.types import Array, Batch

RATE = 0.05
FROZEN = ("backbone.features_1.", "backbone.features_2.")
ALL_BUT_PREDICTIONS = (
    "backbone.",
    "neck.",
    *(f"head.{kind}.{k}.depthwise." for kind in ("boxes", "classes") for k in range(3)),
)
"""What to freeze so that no BatchNorm is left in training."""


ADAMW = StepSpec(
    loss=LossSpec("quality_focal", class_weight=0.5, box_kind="giou", box_weight=2.0),
    optimizer="adamw",
    weight_decay=0.05,
    decayed="weights",
    backbone_rate=0.25,
    ema=True,
    frozen_prefixes=FROZEN,
)


@dataclass
class Training:
    """A network and its stepper, which can be put back to where they began."""

    network: Network
    stepper: Stepper
    spec: StepSpec
    start: Parameters
    start_state: StepperState

    def reset(self) -> "Training":
        self.network.load_parameters(self.start)
        self.stepper.load_state(self.start_state)
        return self

    def velocities(self) -> dict[str, Array]:
        """The momentum buffers by canonical name: gradient and decay after one step from zero."""
        return {
            name.removeprefix("momentum.").replace("backbone.net.", "backbone."): value
            for name, value in self.stepper.state().arrays.items()
            if name.startswith("momentum.")
        }


def equal(one: dict[str, Array], other: dict[str, Array]) -> bool:
    return set(one) == set(other) and all(np.array_equal(one[n], other[n]) for n in one)


def bad_image(batch: Batch) -> Batch:
    """One pixel that is not a number; ReLU6 hides it from the loss, but not from the gradient."""
    images = batch.images.copy()
    images[0, 0, 0, 0] = np.nan
    return replace(batch, images=images)


def bad_targets(batch: Batch) -> Batch:
    """Infinite offsets: the loss itself is infinite."""
    return replace(batch, offsets=np.full_like(batch.offsets, np.inf))

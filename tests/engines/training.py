"""The tiny detector with its steppers, each compiled once and put back for every test."""

from dataclasses import dataclass, replace

import numpy as np
import pytest

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


@pytest.fixture(scope="module")
def make_training(engine, tiny_spec):
    def make(spec: StepSpec) -> Training:
        network = engine.build_network(tiny_spec, seed=3)
        # Values beyond the initial ones, so that decay and frozen statistics show.
        rng = np.random.default_rng(0)
        start = network.parameters()
        for name, value in start.items():
            kind = name.rpartition(".")[2]
            if kind in ("gamma", "moving_variance"):
                value[...] = rng.uniform(0.5, 1.5, value.shape)
            elif kind in ("beta", "bias", "moving_mean"):
                value[...] = rng.normal(0, 0.1, value.shape)
        network.load_parameters(start)
        stepper = engine.build_stepper(network, spec)
        return Training(network, stepper, spec, start, stepper.state())

    return make


@pytest.fixture(scope="module")
def _plain(make_training):
    return make_training(StepSpec(weight_decay=0.01, frozen_prefixes=FROZEN))


@pytest.fixture
def plain(_plain) -> Training:
    """Momentum, with decay on all but BatchNorm; two layers frozen."""
    return _plain.reset()


@pytest.fixture(scope="module")
def _refined(make_training):
    return make_training(
        StepSpec(
            weight_decay=0.01,
            decayed="weights",
            clip_norm=0.5,
            ema=True,
            frozen_prefixes=FROZEN,
        )
    )


@pytest.fixture
def refined(_refined) -> Training:
    """The same with clipping, averaging, and decay on weights alone."""
    return _refined.reset()


@pytest.fixture(scope="module")
def _accumulating(make_training):
    return make_training(
        StepSpec(weight_decay=0.0, accumulate_steps=2, frozen_prefixes=ALL_BUT_PREDICTIONS)
    )


@pytest.fixture
def accumulating(_accumulating) -> Training:
    """Two micro-steps an update; only the last 1×1 convolutions train, so no BatchNorm moves."""
    return _accumulating.reset()


@pytest.fixture(scope="module")
def _adamw(make_training):
    return make_training(ADAMW)


@pytest.fixture
def adamw(_adamw) -> Training:
    """AdamW with the losses that it is meant to train with; the backbone learns more slowly."""
    return _adamw.reset()


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

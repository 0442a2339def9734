"""Both engines, each once for the whole process, the tiny detector with its steppers, each compiled
once and put back for every test, and the reference's facts about its networks.
"""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
import pytest

from mindssd.build.engine import build_engine
from mindssd.config.schema import Config
from mindssd.engines.base import Engine, NetworkSpec, StepSpec
from mindssd.types import Array, Batch
from tests.engines.training import ADAMW, ALL_BUT_PREDICTIONS, FROZEN, Training
from tests.golden.facts import Golden, parameter_by_rule
from tests.tiny_network import TINY


@pytest.fixture(scope="session")
def mindspore_engine() -> Engine:
    """On the CPU, as for the golden facts, and as it trains."""
    pytest.importorskip("mindspore")
    return build_engine(Config(engine="mindspore", device="CPU"), training=True)


@pytest.fixture(scope="session")
def torch_engine() -> Engine:
    """On the CPU, in the golden facts' float32."""
    pytest.importorskip("torch")
    config = Config(engine="torch", device="CPU", precision="float32")
    return build_engine(config, training=True)


@pytest.fixture(scope="session", params=["mindspore", "torch"])
def engine(request: pytest.FixtureRequest) -> Engine:
    """Each of the engines: what a test asks of one, it asks of all."""
    return request.getfixturevalue(f"{request.param}_engine")


@pytest.fixture(scope="session")
def tiny_spec() -> NetworkSpec:
    return TINY


@pytest.fixture(scope="session")
def make_batch() -> Callable[..., Batch]:
    """Make a batch for the tiny detector: `num_positives` default boxes of each image, at random.

    Image i of seed s is the same in a batch of any size.
    """

    def make(seeds: Sequence[int], num_positives: int = 10, images: Array | None = None) -> Batch:
        num_boxes = 3 * 64 + 6 * 16 + 6 * 4
        columns = []
        for seed in seeds:
            rng = np.random.default_rng(seed)
            image = rng.normal(size=(3, 32, 32))
            offsets = rng.normal(size=(num_boxes, 4))
            labels = np.zeros(num_boxes, np.int32)
            chosen = rng.permutation(num_boxes)[:num_positives]
            labels[chosen] = rng.integers(1, 4, num_positives)
            columns.append((image, offsets, labels))
        stacked = [np.stack(column) for column in zip(*columns, strict=True)]
        return Batch(
            images=(stacked[0] if images is None else images).astype(np.float32),
            offsets=stacked[1].astype(np.float32),
            labels=stacked[2],
            weights=np.ones(len(seeds), np.float32),
            image_ids=np.array(seeds, np.int64),
            unreadable=np.zeros(len(seeds), np.bool_),
        )

    return make


@pytest.fixture(scope="session")
def by_rule() -> Callable[[Mapping[str, Array]], dict[str, Array]]:
    """Other values for parameters of these names and shapes, which outputs depend on: at the
    initial ones they are little more than the last biases.
    """
    return lambda parameters: {n: parameter_by_rule(n, v.shape) for n, v in parameters.items()}


@pytest.fixture(scope="session")
def golden_network(golden_dir: Path) -> Callable[[str], Golden]:
    """Give the facts of a recipe by its name."""
    return lambda recipe: Golden(recipe, golden_dir)


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
def compiled_plain(make_training):
    return make_training(StepSpec(weight_decay=0.01, frozen_prefixes=FROZEN))


@pytest.fixture
def plain(compiled_plain) -> Training:
    """Momentum, with decay on all but BatchNorm; two layers frozen."""
    return compiled_plain.reset()


@pytest.fixture(scope="module")
def compiled_refined(make_training):
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
def refined(compiled_refined) -> Training:
    """The same with clipping, averaging, and decay on weights alone."""
    return compiled_refined.reset()


@pytest.fixture(scope="module")
def compiled_accumulating(make_training):
    return make_training(
        StepSpec(weight_decay=0.0, accumulate_steps=2, frozen_prefixes=ALL_BUT_PREDICTIONS)
    )


@pytest.fixture
def accumulating(compiled_accumulating) -> Training:
    """Two micro-steps an update; only the last 1×1 convolutions train, so no BatchNorm moves."""
    return compiled_accumulating.reset()


@pytest.fixture(scope="module")
def compiled_adamw(make_training):
    return make_training(ADAMW)


@pytest.fixture
def adamw(compiled_adamw) -> Training:
    """AdamW with the losses that it is meant to train with; the backbone learns more slowly."""
    return compiled_adamw.reset()


def largest_difference(ours: Array, golden: Array) -> float:
    """The largest difference as a share of the largest golden value."""
    assert ours.shape == golden.shape
    return float(np.abs(ours - golden).max() / np.abs(golden).max())


@pytest.fixture(scope="session")
def record_figure(request: pytest.FixtureRequest) -> Callable[[str, float], None]:
    """Print a measured figure where `-s` shows it."""

    def record(what: str, value: float) -> None:
        print(f"\nmeasured: {what}: {value:.3g}")

    return record


@pytest.fixture(scope="session")
def difference() -> Callable[[Array, Array], float]:
    return largest_difference

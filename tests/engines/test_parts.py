"""The parts of pyramid and shared head that the reference has not: the same in both engines."""

import numpy as np
import pytest

from mindssd.engines.base import DEPTHWISE_STD, FPNNeck, NetworkSpec, SharedHead, StepSpec
from mindssd.types import Batch
from mindssd.weights.names import detect_kind
from tests.engines.training import equal

NUM_BOXES = 16 * 16 + 8 * 8 + 4 * 4
OUTPUT_TOLERANCE = 2e-4
GRADIENT_TOLERANCE = 1e-3

PARTS = NetworkSpec(
    backbone="resnet18",
    out_indices=(0, 1),
    image_size=(32, 32),
    neck=FPNNeck(channels=8, extra_levels=1, separable=True),
    head=SharedHead(tower_depth=1, separable=True),
    boxes_per_location=(1, 1, 1),
    num_classes=2,
)
"""Five convolutions of ResNet18, and every part at once."""


def make_batch(step: int) -> Batch:
    rng = np.random.default_rng(step)
    labels = rng.integers(0, 3, (4, NUM_BOXES)).astype(np.int32)
    labels[rng.random(labels.shape) < 0.8] = 0
    return Batch(
        images=rng.normal(size=(4, 3, 32, 32)).astype(np.float32),
        offsets=rng.normal(size=(4, NUM_BOXES, 4)).astype(np.float32),
        labels=labels,
        weights=np.ones(4, np.float32),
        image_ids=np.arange(4),
        unreadable=np.zeros(4, np.bool_),
    )


@pytest.fixture(scope="module")
def both(mindspore_engine, torch_engine):
    """(MindSpore's network, PyTorch's), with the parameters that the first began with."""
    first = mindspore_engine.build_network(PARTS, seed=3)
    second = torch_engine.build_network(PARTS, seed=4)
    return first, second


@pytest.fixture(scope="module")
def trained(both, mindspore_engine, torch_engine):
    """Of each engine, from one start: the losses of four steps, the state after the first."""
    start, of_each = both[0].parameters(), []
    spec = StepSpec(weight_decay=0.0)
    for engine, network in zip((mindspore_engine, torch_engine), both, strict=True):
        network.load_parameters(start)
        stepper = engine.build_stepper(network, spec)
        losses = [stepper.step(make_batch(0), 0.01, 0.0).loss]
        parameters, state = network.parameters(), stepper.state()
        losses += [stepper.step(make_batch(step), 0.01, 0.0).loss for step in (1, 2, 3)]
        of_each.append((network, stepper, losses, parameters, state))
    return of_each


def test_names_shapes_and_grids_are_the_same_and_mindssds_own(both):
    first, second = (network.parameters() for network in both)
    assert [(n, v.shape) for n, v in first.items()] == [(n, v.shape) for n, v in second.items()]
    assert [*both[0].trainable_names()] == [*both[1].trainable_names()]
    assert both[0].grids == both[1].grids == ((16, 16), (8, 8), (4, 4))
    assert detect_kind(first) == "canonical"


def test_depthwise_weights_start_wide_in_both(both):
    for network in both:
        weights = [
            v for n, v in network.parameters().items() if n.endswith("depthwise.conv.weight")
        ]
        values = np.concatenate([weight.ravel() for weight in weights])
        assert len(weights) == 5 and np.abs(values).max() <= 2 * DEPTHWISE_STD
        assert values.std() == pytest.approx(0.88 * DEPTHWISE_STD, rel=0.15)


def test_the_outputs_are_the_same(both, by_rule, difference, record_figure):
    images = make_batch(0).images
    start = both[0].parameters()
    for network in both:
        network.load_parameters(by_rule(start))
    outputs = [network.forward(images) for network in both]
    for network in both:
        network.load_parameters(start)
    for one, other in zip(*outputs, strict=True):
        record_figure("outputs", difference(other, one))
        assert difference(other, one) < OUTPUT_TOLERANCE


def test_losses_and_the_first_gradients_are_the_same(trained, record_figure):
    (_, _, losses, _, state), (_, _, other_losses, _, other) = trained
    np.testing.assert_allclose(other_losses, losses, rtol=1e-2)
    assert other_losses[0] == pytest.approx(losses[0], rel=1e-4)
    gradients = {n.replace("backbone.net.", "backbone."): v for n, v in state.arrays.items()}
    assert list(gradients) == list(other.arrays)
    largest = max(float(np.abs(gradient).max()) for gradient in gradients.values())
    off = max(float(np.abs(other.arrays[n] - g).max()) for n, g in gradients.items()) / largest
    record_figure("gradients", off)
    assert off < GRADIENT_TOLERANCE
    assert all(np.abs(v).max() > 0 for n, v in gradients.items() if n.endswith(".weight"))


@pytest.mark.parametrize("which", [0, 1], ids=["mindspore", "torch"])
def test_a_stepper_goes_on_from_its_state_bit_for_bit(trained, which):
    network, stepper, _, parameters, state = trained[which]
    ends = []
    for _ in range(2):
        network.load_parameters(parameters)
        stepper.load_state(state)
        stepper.step(make_batch(1), 0.01, 0.0)
        ends.append(network.parameters())
    assert equal(*ends) and not equal(ends[0], parameters)

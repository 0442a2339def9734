"""The parts of pyramid and shared head that the reference has not: the same in both engines."""

from dataclasses import replace

import numpy as np
import pytest

from mindssd.build.training import batch_norms
from mindssd.config.schema import Config
from mindssd.engines.base import (
    DEPTHWISE_STD,
    FPNNeck,
    NetworkSpec,
    SharedHead,
    StepSpec,
    require_halving,
)
from mindssd.errors import EngineError
from mindssd.types import Batch
from mindssd.weights.names import detect_kind
from tests.engines.training import equal

slow = pytest.mark.slow  # MindSpore compiles the step

NUM_BOXES = 16 * 16 + 8 * 8 + 4 * 4
OUTPUT_TOLERANCE = 2e-4
GRADIENT_TOLERANCE = 1e-3

PARTS = NetworkSpec(
    backbone="resnet18",
    out_indices=(0, 1),
    image_size=(32, 32),
    neck=FPNNeck(channels=8, extra_levels=1, separable=True, path_aggregation=True),
    head=SharedHead(tower_depth=1, separable=True),
    boxes_per_location=(1, 1, 1),
    num_classes=2,
)
"""Five convolutions of ResNet18, and every part at once; its BatchNorms are frozen in training."""


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
    rng = np.random.default_rng(0)  # statistics, scales and shifts as pretraining leaves them
    for name, value in start.items():
        if name.startswith("backbone.") and not name.endswith(".weight"):
            spread = name.endswith((".gamma", "variance"))
            value[...] = rng.uniform(*((0.5, 1.5) if spread else (-0.2, 0.2)), value.shape)
    norms = batch_norms(Config(), list(start))
    spec = StepSpec(weight_decay=0.0, frozen_prefixes=norms)
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
        assert len(weights) == 7 and np.abs(values).max() <= 2 * DEPTHWISE_STD
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


@slow
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


@slow
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


@slow
@pytest.mark.parametrize("which", [0, 1], ids=["mindspore", "torch"])
def test_a_frozen_batch_norm_keeps_all_it_has_while_the_convolutions_learn(trained, which):
    network, _, _, parameters, _ = trained[which]
    now = network.parameters()
    moved = {name for name in now if not np.array_equal(now[name], parameters[name])}
    still = {n for n in now if n.startswith("backbone.") and not n.endswith(".weight")}
    assert any(name.endswith("moving_variance") for name in still)
    assert not moved & still and {*network.trainable_names()}.isdisjoint(still)
    assert {name for name in now if name.endswith((".weight", "moving_mean"))} - still <= moved


def test_maps_that_do_not_halve_have_no_path_from_one_to_the_next(torch_engine):
    spec = replace(PARTS, backbone="mobilenet_v2_035_96", out_indices=(2, 3))
    with pytest.raises(EngineError) as caught:
        torch_engine.build_network(spec, seed=0)
    assert str(caught.value) == (
        "neck.path_aggregation=true needs maps that halve from each to the next; "
        "backbone.out_indices=[2, 3] of mobilenet_v2_035_96 give 8×8 and then 8×8 cells"
    )
    require_halving(PARTS, [(19, 25), (10, 13), (5, 7)])  # odd ones are rounded up
    require_halving(replace(PARTS, neck=FPNNeck()), [(8, 8), (8, 8)])

"""One optimizer step, number by number, on a detector that compiles in seconds."""

import numpy as np
import pytest

from mindssd.engines.base import StepperState, StepSpec
from mindssd.errors import EngineError, WeightsError
from mindssd.types import Array
from tests.engines.training import FROZEN, RATE, Training, bad_image, bad_targets, equal


def test_an_update_is_the_learning_rate_times_the_momentum(plain, make_batch):
    plain.stepper.step(make_batch([0, 1]), RATE, 0.0)
    first = plain.velocities()
    after_first = plain.network.parameters()
    plain.stepper.step(make_batch([0, 1]), RATE, 0.0)
    second, after_second = plain.velocities(), plain.network.parameters()
    for name, velocity in first.items():
        expected = plain.start[name] - RATE * velocity
        np.testing.assert_allclose(after_first[name], expected, rtol=0, atol=1e-6)
        expected = after_first[name] - RATE * second[name]
        np.testing.assert_allclose(after_second[name], expected, rtol=0, atol=1e-6)
    assert set(first) == set(plain.network.trainable_names())


def test_the_loss_is_its_two_parts_and_falls(plain, make_batch):
    results = [plain.stepper.step(make_batch([0, 1]), RATE, 0.0) for _ in range(20)]
    first = results[0]
    assert first.loss == pytest.approx(first.class_loss + first.box_loss, rel=1e-6)
    assert first.class_loss > 0 and first.box_loss > 0
    assert first.num_positives == 20
    assert results[-1].loss < 0.8 * first.loss


def test_the_same_steps_twice_end_bit_for_bit_alike(plain, make_batch):
    ends = []
    for _ in range(2):
        plain.reset()
        for seed in (0, 2):
            plain.stepper.step(make_batch([seed, seed + 1]), RATE, 0.0)
        ends.append(plain.network.parameters())
    assert equal(*ends)


def test_a_stepper_goes_on_from_its_state_bit_for_bit(plain, make_batch):
    plain.stepper.step(make_batch([0, 1]), RATE, 0.0)
    parameters, state = plain.network.parameters(), plain.stepper.state()
    plain.stepper.step(make_batch([2, 3]), RATE, 0.0)
    whole = plain.network.parameters()
    plain.reset()
    plain.network.load_parameters(parameters)
    plain.stepper.load_state(state)
    plain.stepper.step(make_batch([2, 3]), RATE, 0.0)
    assert equal(plain.network.parameters(), whole)


def test_a_state_of_another_configuration_is_refused(plain):
    with pytest.raises(WeightsError, match="state does not fit this configuration"):
        plain.stepper.load_state(StepperState({"momentum.x": np.zeros(1, np.float32)}, {}))


def test_a_frozen_layer_keeps_parameters_and_statistics_bit_for_bit(plain, make_batch):
    for seed in (0, 2, 4):
        plain.stepper.step(make_batch([seed, seed + 1]), RATE, 0.0)
    after = plain.network.parameters()
    frozen = [name for name in after if name.startswith(FROZEN)]
    assert any(name.endswith("moving_mean") for name in frozen)
    assert all(np.array_equal(after[name], plain.start[name]) for name in frozen)
    still = {name for name in after if np.array_equal(after[name], plain.start[name])}
    # All else moved, statistics too, but for shifts that the next BatchNorm takes out again.
    assert all(name.endswith("layers.7.beta") for name in still.difference(frozen))
    assert not set(plain.network.trainable_names()) & set(frozen)


def test_the_forward_pass_is_the_same_after_a_training_step(plain, engine, tiny_spec, make_batch):
    """No flag is left set: a new network with these parameters gives the same raw outputs."""
    plain.stepper.step(make_batch([0, 1]), RATE, 0.0)
    other = engine.build_network(tiny_spec, seed=9)
    other.load_parameters(plain.network.parameters())
    images = make_batch([5]).images
    for ours, theirs in zip(plain.network.forward(images), other.forward(images), strict=True):
        np.testing.assert_array_equal(ours, theirs)


# For MindSpore compiles each step: the fast tests have the plain one alone.
refining = pytest.mark.slow


@pytest.mark.parametrize("bad", [bad_image, bad_targets])
@pytest.mark.parametrize("training", ["plain", pytest.param("refined", marks=refining)])
def test_a_step_that_is_not_finite_changes_nothing(training, bad, engine, request, make_batch):
    training = request.getfixturevalue(training)
    training.stepper.step(make_batch([0, 1]), RATE, 0.5)
    parameters, state = training.network.parameters(), training.stepper.state()
    result = training.stepper.step(bad(make_batch([2, 3])), RATE, 0.5)
    assert result.finite is False
    assert equal(training.network.parameters(), parameters)  # BatchNorm's statistics too
    assert equal(training.stepper.state().arrays, state.arrays)  # momentum and average
    assert training.stepper.step(make_batch([2, 3]), RATE, 0.5).finite


def test_a_batch_of_background_alone_has_a_finite_loss(plain, make_batch):
    result = plain.stepper.step(make_batch([0, 1], num_positives=0), RATE, 0.0)
    assert result.finite and result.num_positives == 0
    assert result.box_loss == 0 and result.class_loss > 0
    assert np.isfinite(result.gradient_norm)


def _clipped_velocities(plain: Training, refined: Training, norm: float) -> dict[str, Array]:
    """What `refined`'s first velocities must be, from those of `plain`, which spares norms."""
    assert refined.spec.clip_norm is not None
    factor = min(1.0, refined.spec.clip_norm / norm)
    expected = {}
    for name, velocity in plain.velocities().items():
        decay = plain.spec.weight_decay * plain.start[name]
        gradient = velocity if name.endswith((".gamma", ".beta")) else velocity - decay
        expected[name] = factor * gradient + (decay if name.endswith(".weight") else 0)
    return expected


@refining
def test_clipping_bounds_the_gradient_and_decay_leaves_norms_and_biases_out(
    plain, refined, make_batch
):
    batch = make_batch([0, 1])
    norm = plain.stepper.step(batch, RATE, 0.0).gradient_norm
    clipped = refined.stepper.step(batch, RATE, 0.0)
    assert clipped.gradient_norm == pytest.approx(norm, rel=1e-5)  # told as it was
    assert norm > 1  # so that clipping to 0.5 does something
    velocities = refined.velocities()
    for name, expected in _clipped_velocities(plain, refined, norm).items():
        np.testing.assert_allclose(velocities[name], expected, rtol=1e-3, atol=1e-6, err_msg=name)
    # What decays are weights alone, so without their decay the update has the norm it may have.
    gradients = {
        name: value - (0.01 * refined.start[name] if name.endswith(".weight") else 0)
        for name, value in velocities.items()
    }
    total = np.sqrt(
        sum(float((value.astype(np.float64) ** 2).sum()) for value in gradients.values())
    )
    assert total == pytest.approx(0.5, rel=1e-3)


@refining
def test_the_average_is_its_formula(refined, make_batch):
    """average ← decay · average + (1 - decay) · parameter, twice, from the start values."""
    average = refined.start
    for decay, seed in ((0.1, 0), (0.75, 2)):
        refined.stepper.step(make_batch([seed, seed + 1]), RATE, decay)
        now = refined.network.parameters()
        average = {name: decay * average[name] + (1 - decay) * now[name] for name in average}
    ours = refined.stepper.ema_parameters()
    assert list(ours) == list(average)
    for name, value in average.items():  # statistics alike
        np.testing.assert_allclose(ours[name], value, rtol=0, atol=1e-6, err_msg=name)


@refining
def test_averaging_does_not_touch_the_parameters(refined, make_batch):
    ends = []
    for decay in (0.0, 0.99):
        refined.reset()
        for seed in (0, 2):
            refined.stepper.step(make_batch([seed, seed + 1]), RATE, decay)
        ends.append(refined.network.parameters())
    assert equal(*ends)


def test_mindspores_mixed_precision_is_refused_on_a_cpu_with_the_way_out(engine, tiny_spec):
    network = engine.build_network(tiny_spec, seed=0)
    with pytest.raises(EngineError, match=r"optimizer\.amp_level=O2.* set O0"):
        engine.build_stepper(network, StepSpec(amp_level="O2"))

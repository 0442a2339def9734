"""AdamW's steps, number by number, with the losses that it is meant to train with."""

from dataclasses import replace

import numpy as np
import pytest

from mindssd.errors import WeightsError
from mindssd.types import Array
from tests.engines.training import ADAMW, RATE, Training, bad_image, equal

pytestmark = pytest.mark.slow  # MindSpore compiles steps of its own for it


def _moments(training: Training) -> dict[str, dict[str, Array]]:
    """AdamW's two averages by canonical name."""
    arrays = training.stepper.state().arrays
    return {
        prefix: {
            name.removeprefix(prefix).replace("backbone.net.", "backbone."): value
            for name, value in arrays.items()
            if name.startswith(prefix)
        }
        for prefix in ("momentum.", "square.")
    }


def test_adamws_updates_are_its_formula(adamw, make_batch):
    """arXiv:1711.05101, algorithm 2, from the averages that the step itself has kept."""
    before = adamw.start
    for update, seed in ((1, 0), (2, 2)):
        adamw.stepper.step(make_batch([seed, seed + 1]), RATE, 0.5)
        now, moments = adamw.network.parameters(), _moments(adamw)
        for name, mean in moments["momentum."].items():
            rate = RATE * (0.25 if name.startswith("backbone.") else 1)
            decay = 0.05 if name.endswith(".weight") else 0
            root = np.sqrt(moments["square."][name] / (1 - 0.999**update)) + 1e-8
            expected = before[name] * (1 - rate * decay) - rate * mean / (1 - 0.9**update) / root
            np.testing.assert_allclose(now[name], expected, rtol=0, atol=2e-5, err_msg=name)
        before = now
    assert set(moments["square."]) == set(adamw.network.trainable_names())


def test_adamws_averages_are_of_the_gradient_and_its_square(adamw, make_batch):
    adamw.stepper.step(make_batch([0, 1]), RATE, 0.5)
    moments = _moments(adamw)
    for name, mean in moments["momentum."].items():
        gradient = mean / 0.1
        np.testing.assert_allclose(
            moments["square."][name], 0.001 * gradient**2, rtol=1e-3, atol=1e-12, err_msg=name
        )


def test_adamw_goes_on_from_its_state_bit_for_bit(adamw, make_batch):
    """With both averages and the number of updates, which the next one is corrected by."""
    for seed in (0, 2, 4):
        adamw.stepper.step(make_batch([seed, seed + 1]), RATE, 0.5)
    parameters, state = adamw.network.parameters(), adamw.stepper.state()
    assert state.scalars["updates"] == 3
    adamw.stepper.step(make_batch([6, 7]), RATE, 0.5)
    whole, whole_state = adamw.network.parameters(), adamw.stepper.state()
    adamw.reset()
    assert adamw.stepper.state().scalars["updates"] == 0
    adamw.network.load_parameters(parameters)
    adamw.stepper.load_state(state)
    adamw.stepper.step(make_batch([6, 7]), RATE, 0.5)
    assert equal(adamw.network.parameters(), whole)
    assert equal(adamw.stepper.state().arrays, whole_state.arrays)
    assert adamw.stepper.state().scalars == whole_state.scalars


def test_a_step_that_is_not_finite_is_no_update_of_adamw(adamw, make_batch):
    adamw.stepper.step(make_batch([0, 1]), RATE, 0.5)
    parameters, state = adamw.network.parameters(), adamw.stepper.state()
    assert adamw.stepper.step(bad_image(make_batch([2, 3])), RATE, 0.5).finite is False
    assert equal(adamw.network.parameters(), parameters)
    assert equal(adamw.stepper.state().arrays, state.arrays)
    assert adamw.stepper.state().scalars == state.scalars


def test_a_state_of_sgd_is_refused_by_adamw_and_the_other_way_round(adamw, plain):
    for training, other in ((adamw, plain), (plain, adamw)):
        with pytest.raises(WeightsError, match="state does not fit this configuration"):
            training.stepper.load_state(other.start_state)


def test_a_batch_of_background_alone_trains_the_classes_of_the_other_losses(adamw, make_batch):
    result = adamw.stepper.step(make_batch([0, 1], num_positives=0), RATE, 0.5)
    assert result.finite and result.num_positives == 0
    assert result.box_loss == 0 and result.class_loss > 0


@pytest.mark.parametrize("engine", ["torch"], indirect=True)
def test_the_losses_have_their_weights(adamw, engine, tiny_spec, make_batch):
    """MindSpore's in `test_both_engines.py`, where it trains by such weights as PyTorch does."""
    network = engine.build_network(tiny_spec, seed=3)
    network.load_parameters(adamw.start)
    doubled = replace(ADAMW.loss, class_weight=1.0, box_weight=4.0)
    stepper = engine.build_stepper(network, replace(ADAMW, loss=doubled))
    once = adamw.stepper.step(make_batch([0, 1]), RATE, 0.5)
    twice = stepper.step(make_batch([0, 1]), RATE, 0.5)
    assert twice.class_loss == pytest.approx(2 * once.class_loss, rel=1e-5)
    assert twice.box_loss == pytest.approx(2 * once.box_loss, rel=1e-5)
    assert twice.loss == pytest.approx(twice.class_loss + twice.box_loss, rel=1e-6)

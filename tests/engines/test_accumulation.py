"""Updates of several micro-steps, and batches of which a part counts, without any BatchNorm."""

from dataclasses import replace

import numpy as np
import pytest

from mindssd.engines.base import StepperState
from mindssd.types import Array, Batch
from tests.engines.training import RATE, Training, bad_targets, equal

pytestmark = pytest.mark.slow  # MindSpore compiles steps of its own for it


def test_a_sample_of_weight_0_does_not_count(accumulating, make_batch):
    """Its targets have no part in loss or gradient, whatever they are."""
    batch = make_batch([0, 1])
    wild = replace(
        batch,
        weights=np.array([1, 0], np.float32),
        offsets=batch.offsets * np.array([1, 1e6], np.float32)[:, None, None],
    )
    empty = replace(
        wild,
        offsets=wild.offsets * wild.weights[:, None, None],
        labels=wild.labels * wild.weights[:, None].astype(np.int32),
    )
    ends = []
    for batch in (wild, empty):
        accumulating.reset()
        results = [accumulating.stepper.step(batch, RATE, 0.0) for _ in range(2)]
        ends.append((results, accumulating.velocities()))
    (wild_results, wild_velocities), (empty_results, empty_velocities) = ends
    assert wild_results[0].num_positives == 10
    assert wild_results == empty_results
    assert equal(wild_velocities, empty_velocities)


def test_a_batch_of_weight_0_alone_is_finite_and_costs_nothing(accumulating, make_batch):
    batch = replace(make_batch([0, 1]), weights=np.zeros(2, np.float32))
    for _ in range(2):
        result = accumulating.stepper.step(batch, RATE, 0.0)
    assert result.finite and result.loss == 0
    assert equal(accumulating.network.parameters(), accumulating.start)


def test_an_update_waits_for_all_its_micro_steps(accumulating, make_batch):
    accumulating.stepper.step(make_batch([0, 1]), RATE, 0.0)
    assert equal(accumulating.network.parameters(), accumulating.start)
    accumulating.stepper.step(make_batch([2, 3]), RATE, 0.0)
    assert not equal(accumulating.network.parameters(), accumulating.start)


def _velocities_of(training: Training, *batches: Batch) -> dict[str, Array]:
    training.reset()
    for batch in batches:
        training.stepper.step(batch, RATE, 0.0)
    return training.velocities()


def test_an_update_is_the_mean_of_its_micro_steps_gradients(accumulating, make_batch):
    """Each micro-batch divides by its own positives: 5 and 20 of them weigh alike."""
    few, many = make_batch([0, 1], num_positives=5), make_batch([2, 3], num_positives=20)
    of_few = _velocities_of(accumulating, few, few)
    of_many = _velocities_of(accumulating, many, many)
    for name, velocity in _velocities_of(accumulating, few, many).items():
        np.testing.assert_allclose(
            velocity, (of_few[name] + of_many[name]) / 2, rtol=1e-4, atol=1e-7, err_msg=name
        )


def test_two_halves_with_equal_positives_are_one_whole_batch(accumulating, make_batch):
    """True where BatchNorm is frozen, and only with as many positives in each half."""
    whole = make_batch([0, 1, 2, 3])
    of_whole = _velocities_of(accumulating, whole, whole)
    of_halves = _velocities_of(accumulating, make_batch([0, 1]), make_batch([2, 3]))
    for name, velocity in of_whole.items():
        np.testing.assert_allclose(of_halves[name], velocity, rtol=1e-4, atol=1e-7, err_msg=name)


def test_a_short_batch_moves_the_weights_by_as_much_as_it_has_images(accumulating, make_batch):
    """One image beside one of weight 0 is half a batch of that image twice."""
    twice = make_batch([0, 0])
    once = replace(twice, weights=np.array([1, 0], np.float32))
    of_twice = _velocities_of(accumulating, twice, twice)
    for name, velocity in _velocities_of(accumulating, once, once).items():
        np.testing.assert_allclose(velocity, of_twice[name] / 2, rtol=1e-4, atol=1e-7, err_msg=name)


def test_a_micro_step_that_is_not_finite_drops_the_update_it_belongs_to(accumulating, make_batch):
    good = make_batch([0, 1])
    assert accumulating.stepper.step(good, RATE, 0.0).finite
    assert not accumulating.stepper.step(bad_targets(good), RATE, 0.0).finite
    assert equal(accumulating.network.parameters(), accumulating.start)
    # a new update begins: as if nothing had been
    for _ in range(2):
        accumulating.stepper.step(good, RATE, 0.0)
    after = accumulating.velocities()
    assert equal(after, _velocities_of(accumulating, good, good))


def test_the_half_of_an_update_is_part_of_the_state(accumulating, make_batch):
    one, other = make_batch([0, 1]), make_batch([2, 3])
    whole = _velocities_of(accumulating, one, other)
    accumulating.reset().stepper.step(one, RATE, 0.0)
    state = accumulating.stepper.state()
    accumulating.reset()
    accumulating.stepper.load_state(state)
    accumulating.stepper.step(other, RATE, 0.0)
    assert equal(accumulating.velocities(), whole)


def test_an_update_of_more_steps_than_there_are_now_begins_again(accumulating):
    """A resume may adapt `accumulate_steps`; the third of four steps is none of two."""
    arrays = accumulating.start_state.arrays
    for micro_step, expected in ((3.0, 0.0), (1.0, 1.0)):
        accumulating.stepper.load_state(StepperState(arrays, {"micro_step": micro_step}))
        assert accumulating.stepper.state().scalars["micro_step"] == expected


def test_with_all_batchnorm_frozen_the_loss_is_that_of_the_forward_pass(accumulating, make_batch):
    """Training and evaluation see the same raw outputs."""
    batch = make_batch([0, 1])
    offsets, logits = (x.astype(np.float64) for x in accumulating.network.forward(batch.images))
    result = accumulating.stepper.step(batch, RATE, 0.0)
    truth = np.eye(4)[batch.labels]
    p = 1 / (1 + np.exp(-logits))
    p_t = np.where(truth == 1, p, 1 - p)
    focal = -np.where(truth == 1, 0.75, 0.25) * (1 - p_t) ** 2 * np.log(p_t)
    assert result.class_loss == pytest.approx(focal.sum() / 20, rel=1e-4)
    distance = np.abs(offsets - batch.offsets)[batch.labels > 0]
    smooth = np.where(distance < 1, 0.5 * distance**2, distance - 0.5)
    assert result.box_loss == pytest.approx(smooth.sum() / 20, rel=1e-4)

"""One optimizer step, number by number, on a detector that compiles in seconds."""

from dataclasses import dataclass, replace

import numpy as np
import pytest

from mindssd.engines.base import LossSpec, Network, Parameters, Stepper, StepperState, StepSpec
from mindssd.errors import EngineError, WeightsError
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


def _equal(one: dict[str, Array], other: dict[str, Array]) -> bool:
    return set(one) == set(other) and all(np.array_equal(one[n], other[n]) for n in one)


def _bad_image(batch: Batch) -> Batch:
    """One pixel that is not a number; ReLU6 hides it from the loss, but not from the gradient."""
    images = batch.images.copy()
    images[0, 0, 0, 0] = np.nan
    return replace(batch, images=images)


def _bad_targets(batch: Batch) -> Batch:
    """Infinite offsets: the loss itself is infinite."""
    return replace(batch, offsets=np.full_like(batch.offsets, np.inf))


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
    assert _equal(*ends)


def test_a_stepper_goes_on_from_its_state_bit_for_bit(plain, make_batch):
    plain.stepper.step(make_batch([0, 1]), RATE, 0.0)
    parameters, state = plain.network.parameters(), plain.stepper.state()
    plain.stepper.step(make_batch([2, 3]), RATE, 0.0)
    whole = plain.network.parameters()
    plain.reset()
    plain.network.load_parameters(parameters)
    plain.stepper.load_state(state)
    plain.stepper.step(make_batch([2, 3]), RATE, 0.0)
    assert _equal(plain.network.parameters(), whole)


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


@pytest.mark.parametrize("bad", [_bad_image, _bad_targets])
@pytest.mark.parametrize("training", ["plain", "refined"])
def test_a_step_that_is_not_finite_changes_nothing(training, bad, engine, request, make_batch):
    training = request.getfixturevalue(training)
    training.stepper.step(make_batch([0, 1]), RATE, 0.5)
    parameters, state = training.network.parameters(), training.stepper.state()
    result = training.stepper.step(bad(make_batch([2, 3])), RATE, 0.5)
    assert result.finite is False
    assert _equal(training.network.parameters(), parameters)  # BatchNorm's statistics too
    assert _equal(training.stepper.state().arrays, state.arrays)  # momentum and average
    assert training.stepper.step(make_batch([2, 3]), RATE, 0.5).finite


def test_a_batch_of_background_alone_has_a_finite_loss(plain, make_batch):
    result = plain.stepper.step(make_batch([0, 1], num_positives=0), RATE, 0.0)
    assert result.finite and result.num_positives == 0
    assert result.box_loss == 0 and result.class_loss > 0
    assert np.isfinite(result.gradient_norm)


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
    assert _equal(wild_velocities, empty_velocities)


def test_a_batch_of_weight_0_alone_is_finite_and_costs_nothing(accumulating, make_batch):
    batch = replace(make_batch([0, 1]), weights=np.zeros(2, np.float32))
    for _ in range(2):
        result = accumulating.stepper.step(batch, RATE, 0.0)
    assert result.finite and result.loss == 0
    assert _equal(accumulating.network.parameters(), accumulating.start)


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


def test_averaging_does_not_touch_the_parameters(refined, make_batch):
    ends = []
    for decay in (0.0, 0.99):
        refined.reset()
        for seed in (0, 2):
            refined.stepper.step(make_batch([seed, seed + 1]), RATE, decay)
        ends.append(refined.network.parameters())
    assert _equal(*ends)


def test_an_update_waits_for_all_its_micro_steps(accumulating, make_batch):
    accumulating.stepper.step(make_batch([0, 1]), RATE, 0.0)
    assert _equal(accumulating.network.parameters(), accumulating.start)
    accumulating.stepper.step(make_batch([2, 3]), RATE, 0.0)
    assert not _equal(accumulating.network.parameters(), accumulating.start)


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
    assert not accumulating.stepper.step(_bad_targets(good), RATE, 0.0).finite
    assert _equal(accumulating.network.parameters(), accumulating.start)
    # a new update begins: as if nothing had been
    for _ in range(2):
        accumulating.stepper.step(good, RATE, 0.0)
    after = accumulating.velocities()
    assert _equal(after, _velocities_of(accumulating, good, good))


def test_the_half_of_an_update_is_part_of_the_state(accumulating, make_batch):
    one, other = make_batch([0, 1]), make_batch([2, 3])
    whole = _velocities_of(accumulating, one, other)
    accumulating.reset().stepper.step(one, RATE, 0.0)
    state = accumulating.stepper.state()
    accumulating.reset()
    accumulating.stepper.load_state(state)
    accumulating.stepper.step(other, RATE, 0.0)
    assert _equal(accumulating.velocities(), whole)


def test_an_update_of_more_steps_than_there_are_now_begins_again(accumulating):
    """A resume may adapt `accumulate_steps`; the third of four steps is none of two."""
    arrays = accumulating.start_state.arrays
    for micro_step, expected in ((3.0, 0.0), (1.0, 1.0)):
        accumulating.stepper.load_state(StepperState(arrays, {"micro_step": micro_step}))
        assert accumulating.stepper.state().scalars["micro_step"] == expected


def test_mindspores_mixed_precision_is_refused_on_a_cpu_with_the_way_out(engine, tiny_spec):
    network = engine.build_network(tiny_spec, seed=0)
    with pytest.raises(EngineError, match=r"optimizer\.amp_level=O2.* set O0"):
        engine.build_stepper(network, StepSpec(amp_level="O2"))


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
    assert _equal(adamw.network.parameters(), whole)
    assert _equal(adamw.stepper.state().arrays, whole_state.arrays)
    assert adamw.stepper.state().scalars == whole_state.scalars


def test_a_step_that_is_not_finite_is_no_update_of_adamw(adamw, make_batch):
    adamw.stepper.step(make_batch([0, 1]), RATE, 0.5)
    parameters, state = adamw.network.parameters(), adamw.stepper.state()
    assert adamw.stepper.step(_bad_image(make_batch([2, 3])), RATE, 0.5).finite is False
    assert _equal(adamw.network.parameters(), parameters)
    assert _equal(adamw.stepper.state().arrays, state.arrays)
    assert adamw.stepper.state().scalars == state.scalars


def test_a_state_of_sgd_is_refused_by_adamw_and_the_other_way_round(adamw, plain):
    for training, other in ((adamw, plain), (plain, adamw)):
        with pytest.raises(WeightsError, match="state does not fit this configuration"):
            training.stepper.load_state(other.start_state)


def test_a_batch_of_background_alone_trains_the_classes_of_the_other_losses(adamw, make_batch):
    result = adamw.stepper.step(make_batch([0, 1], num_positives=0), RATE, 0.5)
    assert result.finite and result.num_positives == 0
    assert result.box_loss == 0 and result.class_loss > 0


def test_the_losses_have_their_weights(adamw, engine, tiny_spec, make_batch):
    network = engine.build_network(tiny_spec, seed=3)
    network.load_parameters(adamw.start)
    doubled = replace(ADAMW.loss, class_weight=1.0, box_weight=4.0)
    stepper = engine.build_stepper(network, replace(ADAMW, loss=doubled))
    once = adamw.stepper.step(make_batch([0, 1]), RATE, 0.5)
    twice = stepper.step(make_batch([0, 1]), RATE, 0.5)
    assert twice.class_loss == pytest.approx(2 * once.class_loss, rel=1e-5)
    assert twice.box_loss == pytest.approx(2 * once.box_loss, rel=1e-5)
    assert twice.loss == pytest.approx(twice.class_loss + twice.box_loss, rel=1e-6)

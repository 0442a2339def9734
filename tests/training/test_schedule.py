"""The learning rate is a pure function of the step."""

import numpy as np
import pytest

from mindssd.build.training import build_plan, build_schedule
from mindssd.config.load import load_config
from mindssd.training.schedule import Schedule, ema_decay

# From 0.1 to 0.5 in four steps, then half a cosine over four down to a tenth of 0.5.
BY_HAND = Schedule(peak=0.5, warmup_start=0.1, final_factor=0.1, warmup_steps=4, total_steps=8)


def test_warm_up_rises_in_equal_steps():
    assert [BY_HAND.learning_rate(step) for step in range(4)] == pytest.approx([0.1, 0.2, 0.3, 0.4])


def test_then_half_a_cosine_falls():
    # (1 + cos(pi t)) / 2 at t = 0, 1/4, 1/2, 3/4 is 1, 0.8535534, 0.5, 0.1464466
    expected = [0.05 + 0.45 * share for share in (1, 0.8535534, 0.5, 0.1464466)]
    assert [BY_HAND.learning_rate(step) for step in range(4, 8)] == pytest.approx(expected)


def test_a_flat_share_of_the_steps_after_the_warm_up_stays_at_the_peak():
    # Four steps after the warm-up: two at the peak, then half a cosine over two.
    schedule = Schedule(0.5, 0.1, 0.1, warmup_steps=4, total_steps=8, flat_share=0.5)
    rates = [schedule.learning_rate(step) for step in range(3, 9)]
    assert rates == pytest.approx([0.4, 0.5, 0.5, 0.5, 0.05 + 0.45 * 0.5, 0.05])


def test_beyond_the_last_step_it_stays_at_the_end():
    assert BY_HAND.learning_rate(8) == pytest.approx(0.05)
    assert BY_HAND.learning_rate(1000) == BY_HAND.learning_rate(8)


def test_without_warm_up_the_first_step_has_the_peak():
    schedule = Schedule(0.5, 0.1, 0.0, warmup_steps=0, total_steps=4)
    assert schedule.learning_rate(0) == 0.5


def test_a_run_shorter_than_its_warm_up_only_rises():
    schedule = Schedule(0.5, 0.1, 0.0, warmup_steps=8, total_steps=2)
    assert [schedule.learning_rate(step) for step in range(2)] == pytest.approx([0.1, 0.15])


def test_a_warm_up_never_starts_above_the_peak():
    config = load_config("ssd_resnet50_fpn", ["schedule.learning_rate=0.01"])  # start 0.01333
    schedule = build_schedule(config, steps_per_epoch=7)
    assert schedule.learning_rate(0) == schedule.learning_rate(14) == 0.01


@pytest.mark.parametrize("recipe", ["ssd_mobilenetv2", "ssd_mobilenetv3", "ssd_resnet50_fpn"])
def test_each_recipe_has_the_references_rates(golden_dir, recipe):
    config = load_config(recipe, ["epochs=10"])
    schedule = build_schedule(config, steps_per_epoch=7)
    ours = [schedule.learning_rate(step) for step in range(70)]
    golden = np.load(golden_dir / f"{recipe}.schedule.npz")["learning_rate"]
    np.testing.assert_allclose(ours, golden, rtol=0, atol=1e-6)


def test_the_average_forgets_fast_at_first():
    assert ema_decay(0, 0.999) == 0.1
    assert ema_decay(90, 0.999) == 0.91
    assert ema_decay(100_000, 0.999) == 0.999


def test_a_length_in_steps_is_rounded_up_to_whole_epochs():
    config = load_config(
        "small_data",
        ["schedule={total_steps: 1000, warmup_steps: 30}", "evaluation.every_epochs=0"],
    )
    for steps_per_epoch, epochs in ((37, 28), (15, 67), (5, 200), (1000, 1), (3000, 1)):
        assert build_plan(config, steps_per_epoch).epochs == epochs
        schedule = build_schedule(config, steps_per_epoch)
        assert (schedule.warmup_steps, schedule.total_steps) == (30, epochs * steps_per_epoch)


def test_without_a_length_in_steps_epochs_tell_it():
    config = load_config(
        "small_data",
        [
            "epochs=9",
            "evaluation.every_epochs=0",
            "schedule={warmup_steps: null, warmup_epochs: 1.5}",
        ],
    )
    schedule = build_schedule(config, 20)
    assert (schedule.warmup_steps, schedule.total_steps) == (30, 180)
    assert build_plan(config, 20).epochs == 9

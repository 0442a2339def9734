"""The training loop's promises, kept with a network of one number.

The network is `w`, and a step takes it towards the batch's mean: no framework is needed to see when
the loop evaluates, what it saves and how it goes on.
"""

from dataclasses import replace

import numpy as np
import pytest

from mindssd.training.checkpoint import read_checkpoint
from mindssd.training.signals import Stopped
from mindssd.types import Batch
from tests.training.one_number import PLAN, STEPS_PER_EPOCH, FakeBatches, Run, without_tensorboard

__all__ = ["without_tensorboard"]


@pytest.mark.parametrize(
    ("every", "epochs", "expected"),
    [(1, 3, [1, 2, 3]), (2, 3, [2, 3]), (2, 4, [2, 4]), (0, 3, [3]), (10, 3, [3])],
)
def test_it_evaluates_when_due_and_always_at_the_end(tmp_path, every, epochs, expected):
    run = Run(tmp_path, replace(PLAN, epochs=epochs, evaluate_every=every))
    run.run()
    evaluated = [event["step"] // STEPS_PER_EPOCH for event in run.events("evaluation")]
    assert evaluated == expected


def test_each_step_has_the_learning_rate_of_its_number(tmp_path):
    run = Run(tmp_path, PLAN)
    run.run()
    assert run.stepper.rates == [run.schedule.learning_rate(step) for step in range(12)]


def test_best_is_what_was_best_and_not_what_came_last(tmp_path):
    run = Run(tmp_path, PLAN, values=(0.2, 0.4, 0.3))
    outcome = run.run()
    first, second, _ = run.evaluations.seen
    assert run.evaluations.saved == [(0.2, first), (0.4, second)]
    assert outcome.best == 0.4
    assert outcome.metrics["AP"] == 0.3


def test_an_ap_of_zero_is_still_a_first_best(tmp_path):
    run = Run(tmp_path, PLAN, values=(0.0, 0.0, 0.0))
    assert run.run().best == 0.0
    assert len(run.evaluations.saved) == 1


def test_last_is_saved_after_each_epoch_and_after_its_evaluation(tmp_path, monkeypatch):
    written = []
    run = Run(tmp_path, PLAN)
    monkeypatch.setattr(
        "mindssd.training.loop.write_checkpoint",
        lambda path, saved: written.append((saved.step, saved.best, saved.evaluation_due)),
    )
    run.run()
    assert written[:4] == [(4, None, True), (4, 0.1, False), (8, 0.1, True), (8, 0.2, False)]
    assert written[4:] == [(12, 0.2, True), (12, 0.3, False)]


def test_a_resumed_run_takes_the_same_steps_to_the_same_end(tmp_path):
    whole = Run(tmp_path / "whole", PLAN, values=(0.3, 0.2, 0.1))
    whole.run()

    class Interrupted(FakeBatches):
        def __next__(self) -> Batch:
            if self.next_step == 2 * STEPS_PER_EPOCH - 1:
                raise KeyboardInterrupt
            return super().__next__()

    first = Run(tmp_path / "parts", PLAN, values=(0.3, 0.2, 0.1))
    with pytest.raises(KeyboardInterrupt):
        first.run(Interrupted())

    checkpoint = read_checkpoint(tmp_path / "parts" / "last" / "checkpoint.safetensors")
    assert checkpoint.step == STEPS_PER_EPOCH  # the last whole epoch's end
    second = Run(tmp_path / "parts", PLAN, values=(0.2, 0.1))
    second.loop.restore(checkpoint)
    outcome = second.run(FakeBatches(checkpoint.step))
    assert first.stepper.rates[:STEPS_PER_EPOCH] + second.stepper.rates == whole.stepper.rates
    assert second.network.w.tobytes() == whole.network.w.tobytes()
    assert outcome.best == 0.3 and second.evaluations.saved == []  # the first epoch's stays best


@pytest.mark.parametrize("stopped_at", [1, 2, 3, 4, 5, 12])
def test_a_run_that_a_signal_stops_goes_on_from_that_step(tmp_path, stopped_at):
    """Also from the middle of an epoch, and of a stretch of which the log holds the mean."""
    plan = replace(PLAN, steps_per_epoch=40, epochs=1)
    stopped_at *= 3
    whole = Run(tmp_path / "whole", plan, values=(0.3,))
    whole.run()
    first = Run(tmp_path / "parts", plan, values=(0.3,), stop_after=stopped_at)
    with pytest.raises(Stopped) as stopped:
        first.run()
    assert stopped.value.code == 143
    second = Run(tmp_path / "parts", plan, values=(0.3,))
    checkpoint = read_checkpoint(second.folder.last_file)
    assert checkpoint.step == stopped_at
    second.loop.restore(checkpoint)
    second.run(FakeBatches(checkpoint.step))
    assert second.network.w.tobytes() == whole.network.w.tobytes()
    timed = {"time", "images_per_s"}
    assert [{k: e[k] for k in e.keys() - timed} for e in second.events("train")] == [
        {k: e[k] for k in e.keys() - timed} for e in whole.events("train")
    ]


def test_a_signal_at_an_epochs_end_leaves_its_evaluation_to_the_resume(tmp_path):
    first = Run(tmp_path, PLAN, stop_after=STEPS_PER_EPOCH)
    with pytest.raises(Stopped):
        first.run()
    assert first.evaluations.seen == []
    second = Run(tmp_path, PLAN)
    second.loop.restore(read_checkpoint(second.folder.last_file))
    second.run(FakeBatches(4))
    assert [event["step"] for event in second.events("evaluation")] == [4, 8, 12]


def test_a_process_that_does_not_lead_writes_nothing(tmp_path):
    run = Run(tmp_path, PLAN)
    run.loop.folder = None
    outcome = run.run()
    assert outcome.best == 0.3 and run.evaluations.saved == []
    assert not (tmp_path / "last").exists()


def test_a_finished_run_that_is_resumed_only_evaluates(tmp_path):
    Run(tmp_path, PLAN).run()
    again = Run(tmp_path, PLAN, values=(0.3,))
    again.loop.restore(read_checkpoint(again.folder.last_file))
    outcome = again.run()
    assert again.stepper.rates == []
    assert (outcome.metrics["AP"], outcome.best) == (0.3, 0.3)


def test_a_longer_plan_goes_on_behind_the_checkpoint(tmp_path):
    Run(tmp_path, replace(PLAN, epochs=1)).run()
    longer = Run(tmp_path, PLAN)
    longer.loop.restore(read_checkpoint(longer.folder.last_file))
    longer.run(FakeBatches(4))
    assert len(longer.stepper.rates) == 8


def test_the_average_is_evaluated_and_saved_and_then_put_back(tmp_path):
    run = Run(tmp_path, replace(PLAN, epochs=1, ema_decay=0.5), values=(0.4,))
    plain = Run(tmp_path / "plain", replace(PLAN, epochs=1), values=(0.4,))
    run.run()
    plain.run()
    average = float(run.stepper.average[0])
    assert run.evaluations.seen == [average] and run.evaluations.saved == [(0.4, average)]
    assert average != float(run.network.w[0])
    assert run.network.w == plain.network.w  # averaging does not change training
    checkpoint = read_checkpoint(run.folder.last_file)
    assert checkpoint.parameters["w"] == run.network.w


def test_the_average_is_put_back_even_when_evaluation_fails(tmp_path):
    run = Run(tmp_path, replace(PLAN, epochs=1, ema_decay=0.5), values=())  # nothing to give
    with pytest.raises(IndexError):
        run.run()
    assert run.network.w != run.stepper.average


def test_the_averages_decay_grows_up_to_the_plans(tmp_path):
    run = Run(tmp_path, replace(PLAN, ema_decay=0.3))
    run.run()
    # (1 + k) / (10 + k), at most 0.3
    assert run.stepper.decays[:5] == pytest.approx([1 / 10, 2 / 11, 3 / 12, 4 / 13, 0.3], abs=0.01)
    assert max(run.stepper.decays) == 0.3


def test_the_log_has_the_means_of_stretches(tmp_path):
    """Twenty stretches an epoch: of 40 steps, two each."""
    plan = replace(PLAN, epochs=1, steps_per_epoch=40)
    run = Run(tmp_path, plan)
    run.run()
    events = run.events("train")
    assert [event["step"] for event in events] == list(range(2, 41, 2))
    assert events[0]["epoch"] == 2 / 40
    assert events[-1]["learning_rate"] == run.schedule.learning_rate(39)
    assert {"loss", "class_loss", "box_loss", "gradient_norm", "images_per_s"} <= set(events[0])


def test_a_picture_goes_to_the_log_where_there_is_one(tmp_path):
    run = Run(tmp_path, replace(PLAN, epochs=1))
    pictures = []
    run.log.picture = lambda name, image, step: pictures.append((name, image.shape, step))
    picture = np.zeros((2, 3, 3), np.uint8)
    run.loop.actions = replace(run.loop.actions, sample_picture=lambda: picture)
    run.run()
    assert pictures == [("detections", (2, 3, 3), 4)]


def test_the_display_hears_of_every_step(tmp_path):
    run = Run(tmp_path, PLAN)
    run.run()
    assert [done for done, _ in run.said.steps] == list(range(1, 13))
    assert run.said.steps[4][1].startswith("epoch 2/3  loss ")
    assert "epoch 3: AP 0.3000, AP50 0.3000" in run.said.lines


def test_what_takes_long_without_steps_shows_that_it_goes_on(tmp_path):
    run = Run(tmp_path, replace(PLAN, epochs=2))
    run.run()
    # the graph is compiled at the first step and never again
    assert run.said.waited_for == ["compiling the training step", "evaluating", "evaluating"]

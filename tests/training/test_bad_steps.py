"""What the training loop does with steps, losses and images that are not as they should be."""

import numpy as np
import pytest

from mindssd.engines.base import StepResult
from mindssd.errors import TrainingError
from mindssd.training.checkpoint import read_checkpoint
from mindssd.training.signals import Stopped
from mindssd.types import Batch
from tests.training.one_number import (
    PLAN,
    FakeBatches,
    FakeNetwork,
    FakeStepper,
    Run,
    without_tensorboard,
)

__all__ = ["without_tensorboard"]


def test_a_bad_step_is_counted_and_logged_and_training_goes_on(tmp_path):
    run = Run(tmp_path, PLAN, bad_steps=(3, 4, 6))
    outcome = run.run()
    assert outcome.skipped_steps == 3
    assert len(run.stepper.rates) == 12
    assert [event["loss"] for event in run.events("skipped")] == ["inf"] * 3
    # what is logged are the means of finite steps: JSON has no infinity
    assert all(np.isfinite(event["loss"]) for event in run.events("train"))


def test_several_bad_steps_in_a_row_stop_the_run_and_name_the_step(tmp_path):
    run = Run(tmp_path, PLAN, bad_steps=(2, 6, 7, 8))
    with pytest.raises(TrainingError) as caught:
        run.run()
    message = str(caught.value)
    assert message.startswith("step 8: the loss or its gradient was not finite in 3 steps in a row")
    assert "schedule.learning_rate" in message and "optimizer.clip_norm" in message
    assert read_checkpoint(run.folder.last_file).step == 4  # of the sound epoch before


def test_the_steps_that_the_log_names_are_those_that_were_bad(tmp_path):
    run = Run(tmp_path, PLAN, bad_steps=(3,))
    run.run()
    assert [event["step"] for event in run.events("skipped")] == [3]


class Exploding(FakeStepper):
    """Its loss is 4, and 10^9 from some step on to some other."""

    def __init__(self, network: FakeNetwork, first: int, last: int) -> None:
        super().__init__(network)
        self.exploded = range(first, last + 1)

    def step(self, batch: Batch, learning_rate: float, ema_decay: float) -> StepResult:
        super().step(batch, learning_rate, ema_decay)
        loss = 1e9 if len(self.rates) in self.exploded else 4.0
        return StepResult(loss, loss, 0.0, True, 1.0, 1.0)


def exploding(run: Run, first: int, last: int = 99) -> Run:
    run.stepper = run.loop.stepper = Exploding(run.network, first, last)
    return run


def test_a_loss_that_explodes_is_told_once_and_what_was_learnt_decides(tmp_path):
    warning = "warning: the loss went from 4 to 1e+09: this training diverges; lower schedule."
    for name, values, learnt in (("never", (0, 0, 0), False), ("before", (0.3, 0, 0), True)):
        run = exploding(Run(tmp_path / name, PLAN, values=values), first=5)
        outcome = run.run()
        assert outcome.losses.exploded and outcome.learnt_nothing is not learnt
        assert [line.startswith(warning) for line in run.said.lines].count(True) == 1
        assert [(e["step"], e["loss"]) for e in run.events("exploded")] == [(8, 1e9)]


def test_a_loss_that_comes_back_is_no_fault(tmp_path):
    outcome = exploding(Run(tmp_path, PLAN, values=(0, 0, 0)), first=5, last=8).run()
    assert outcome.found_nothing and not outcome.learnt_nothing


def test_an_ap_of_zero_with_a_sound_loss_is_only_nothing_found(tmp_path):
    outcome = exploding(Run(tmp_path, PLAN, values=(0, 0, 0)), first=99).run()
    assert outcome.found_nothing and not outcome.learnt_nothing
    assert not Run(tmp_path / "found", PLAN, values=(0, 0.2, 0)).run().found_nothing


def test_a_resumed_run_remembers_its_first_losses(tmp_path):
    first = Run(tmp_path, PLAN, values=(0, 0, 0), stop_after=6)
    first.loop.stepper = first.stepper = first.loop.stop.stepper = Exploding(first.network, 99, 99)
    with pytest.raises(Stopped):
        first.run()
    second = exploding(Run(tmp_path, PLAN, values=(0, 0)), first=1)
    second.loop.restore(read_checkpoint(second.folder.last_file))
    assert second.run(FakeBatches(6)).learnt_nothing
    # And so it is where only its last evaluation is done again.
    third = Run(tmp_path, PLAN, values=(0,))
    third.loop.restore(read_checkpoint(third.folder.last_file))
    assert third.run(FakeBatches(12)).learnt_nothing


def test_an_unreadable_image_is_told_once(tmp_path):
    run = Run(tmp_path, PLAN)
    outcome = run.run()
    assert outcome.unreadable_images == (7,)
    assert [event["image_id"] for event in run.events("unreadable")] == [7]
    told = [line for line in run.said.lines if "cannot be read" in line]
    assert told == ["image id 7 cannot be read: left out of training (1 so far)"]

"""The training loop's promises, kept with a network of one number.

The network is `w`, and a step takes it towards the batch's mean: no framework is needed to see when
the loop evaluates, what it saves and how it goes on.
"""

import json
import signal
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import numpy as np
import pytest

from mindssd.engines.base import StepperState, StepResult
from mindssd.errors import TrainingError
from mindssd.training.checkpoint import Origin, read_checkpoint
from mindssd.training.loop import TrainingLoop
from mindssd.training.plan import Actions, Outcome, Plan
from mindssd.training.run_folder import RunFolder, RunLog
from mindssd.training.schedule import Schedule
from mindssd.training.signals import Stopped
from mindssd.types import Array, Batch

STEPS_PER_EPOCH = 4


@pytest.fixture(autouse=True)
def without_tensorboard(monkeypatch):
    """Its writer takes two seconds to close, and what it gets is tested in test_run_folder.py."""
    monkeypatch.setattr("tensorboardX.SummaryWriter", Mock())


class FakeNetwork:
    """One parameter, `w`."""

    spec: Any = None
    grids = ((1, 1),)

    def __init__(self) -> None:
        self.w = np.zeros(1, np.float32)

    def parameters(self) -> dict[str, Array]:
        return {"w": self.w.copy()}

    def load_parameters(self, parameters: Mapping[str, Array]) -> None:
        self.w = np.array(parameters["w"], np.float32)

    def trainable_names(self) -> list[str]:
        return ["w"]

    def forward(self, images: Array) -> tuple[Array, Array]:
        raise NotImplementedError


class FakeStepper:
    """Momentum towards the batch's mean, and an average; steps in `bad_steps` are not finite."""

    compiles = True

    def __init__(self, network: FakeNetwork, bad_steps: tuple[int, ...] = ()) -> None:
        self.network = network
        self.momentum = np.zeros(1, np.float32)
        self.average = np.zeros(1, np.float32)
        self.rates: list[float] = []
        self.decays: list[float] = []
        self.bad_steps = bad_steps

    def step(self, batch: Batch, learning_rate: float, ema_decay: float) -> StepResult:
        self.rates.append(learning_rate)
        self.decays.append(ema_decay)
        if len(self.rates) in self.bad_steps:
            return StepResult(float("inf"), float("inf"), 0.0, False, float("nan"), 1.0)
        gradient = self.network.w - batch.images.mean()
        self.momentum = np.float32(0.9) * self.momentum + gradient
        self.network.w = self.network.w - np.float32(learning_rate) * self.momentum
        self.average = self.network.w + np.float32(ema_decay) * (self.average - self.network.w)
        loss = float(gradient[0] ** 2)
        return StepResult(loss, loss, 0.0, True, abs(float(gradient[0])), 1.0)

    def state(self) -> StepperState:
        return StepperState({"momentum": self.momentum.copy(), "average": self.average.copy()})

    def load_state(self, state: StepperState) -> None:
        self.momentum, self.average = state.arrays["momentum"], state.arrays["average"]

    def ema_parameters(self) -> dict[str, Array]:
        return {"w": self.average.copy()}


class FakeBatches:
    """Batch k holds the number k; in each epoch's second batch image 7 cannot be read."""

    def __init__(self, first_step: int = 0) -> None:
        self.next_step = first_step

    def __next__(self) -> Batch:
        step = self.next_step
        self.next_step += 1
        return Batch(
            images=np.full((2, 3, 1, 1), step, np.float32),
            offsets=np.zeros((2, 1, 4), np.float32),
            labels=np.zeros((2, 1), np.int32),
            weights=np.ones(2, np.float32),
            image_ids=np.array([7, 8]),
            unreadable=np.array([step % STEPS_PER_EPOCH == 1, False]),
        )


@dataclass
class Evaluations:
    """Gives the AP values in turn, and remembers what it saw."""

    network: FakeNetwork
    values: list[float]
    seen: list[float] = field(default_factory=list)
    saved: list[tuple[float, float]] = field(default_factory=list)

    def evaluate(self) -> dict[str, float]:
        ap = self.values[len(self.seen)]
        self.seen.append(float(self.network.w[0]))
        return {"AP": ap, "AP50": ap}

    def save_model(self, parameters: Mapping[str, Array], metrics: Mapping[str, float]) -> None:
        self.saved.append((metrics["AP"], float(parameters["w"][0])))


@dataclass
class StopAfter:
    """A signal that comes while so many steps have been taken."""

    stepper: FakeStepper
    steps: int | None
    requested: bool = False

    def check(self) -> None:
        if len(self.stepper.rates) == self.steps:
            raise Stopped(signal.SIGTERM)


@dataclass
class Said:
    """A display that remembers."""

    lines: list[str] = field(default_factory=list)
    steps: list[tuple[int, str]] = field(default_factory=list)
    waited_for: list[str] = field(default_factory=list)

    def say(self, text: str) -> None:
        self.lines.append(text)

    def step(self, done: int, text: str) -> None:
        self.steps.append((done, text))

    @contextmanager
    def waiting(self, what: str) -> Iterator[None]:
        self.waited_for.append(what)
        yield


ORIGIN = Origin({"batch_size": 2}, ["cat"], 8, "fingerprint", 1)


class Run:
    """A loop with all its fakes, in a folder."""

    def __init__(
        self,
        folder: Path,
        plan: Plan,
        values: tuple[float, ...] = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6),
        bad_steps: tuple[int, ...] = (),
        stop_after: int | None = None,
    ) -> None:
        self.network = FakeNetwork()
        self.stepper = FakeStepper(self.network, bad_steps)
        self.evaluations = Evaluations(self.network, list(values))
        self.said = Said()
        self.folder = RunFolder(folder)
        self.folder.path.mkdir(exist_ok=True)
        self.log = RunLog(self.folder)
        self.schedule = Schedule(0.1, 0.01, 0.1, 4, plan.total_steps)
        self.loop = TrainingLoop(
            network=self.network,
            stepper=self.stepper,
            schedule=self.schedule,
            plan=plan,
            origin=ORIGIN,
            folder=self.folder,
            display=self.said,
            actions=Actions(
                evaluate=self.evaluations.evaluate,
                save_model=self.evaluations.save_model,
                sample_picture=lambda: None,
            ),
            stop=StopAfter(self.stepper, stop_after),
        )

    def run(self, batches: FakeBatches | None = None) -> Outcome:
        try:
            return self.loop.run(batches or FakeBatches(), self.log)
        finally:
            self.log.close()

    def events(self, kind: str) -> list[dict[str, Any]]:
        lines = map(json.loads, self.folder.log_file.read_text().splitlines())
        return [line for line in lines if line["event"] == kind]


PLAN = Plan(
    epochs=3, steps_per_epoch=STEPS_PER_EPOCH, evaluate_every=1, max_bad_steps=3, ema_decay=None
)


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


def test_what_takes_long_without_steps_shows_signs_of_life(tmp_path):
    run = Run(tmp_path, replace(PLAN, epochs=2))
    run.run()
    # the graph is compiled at the first step and never again
    assert run.said.waited_for == ["compiling the training step", "evaluating", "evaluating"]

"""A user's own functions in a run: when they are called, and what they may do to it."""

import signal
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mindssd.engines.base import SingleProcessGroup
from mindssd.errors import ConfigError
from mindssd.platform import ENDING_SIGNALS
from mindssd.training.callbacks import Callbacks, EpochDone, EvaluationDone, RunEnd, StepDone
from mindssd.training.checkpoint import read_newest
from mindssd.training.signals import Stopped, StoppedByCallback, StopSignals
from tests.training.one_number import PLAN, FakeBatches, Run, without_tensorboard

__all__ = ["without_tensorboard"]


class Told:
    """Functions that remember what they were given."""

    def __init__(self) -> None:
        self.facts: list[Any] = []
        self.callbacks = Callbacks(self.note, self.note, self.note)

    def note(self, facts: Any) -> None:
        self.facts.append(facts)


def resumed(folder: Path, step: int, callbacks: Callbacks | None = None) -> Run:
    """A run that stands where the one in the folder was saved."""
    run = Run(folder, PLAN, callbacks=callbacks or Callbacks())
    checkpoint, damage = read_newest(run.folder.last_file)
    assert damage is None and checkpoint.step == step
    run.loop.restore(checkpoint)
    return run


def test_each_step_epoch_and_evaluation_is_told_in_its_order(tmp_path: Path) -> None:
    told = Told()
    Run(tmp_path, PLAN, values=(0.1, 0.3, 0.2), callbacks=told.callbacks).run()
    epoch = [StepDone] * 4 + [EpochDone, EvaluationDone]
    assert [type(facts) for facts in told.facts] == epoch * 3
    steps = [facts for facts in told.facts if isinstance(facts, StepDone)]
    assert [facts.step for facts in steps] == list(range(1, 13))
    assert [facts.epoch for facts in steps] == [1] * 4 + [2] * 4 + [3] * 4
    assert {facts.total_steps for facts in steps} == {12} and all(f.finite for f in steps)
    assert steps[0].loss == 0 and steps[1].loss == 1 and steps[1].learning_rate > 0
    epochs = [facts for facts in told.facts if isinstance(facts, EpochDone)]
    assert epochs == [EpochDone(number, 3, 4 * number) for number in (1, 2, 3)]
    evaluations = [facts for facts in told.facts if isinstance(facts, EvaluationDone)]
    assert [facts.metrics["AP"] for facts in evaluations] == [0.1, 0.3, 0.2]
    assert [facts.is_best for facts in evaluations] == [True, True, False]
    assert [facts.best for facts in evaluations] == [0.1, 0.3, 0.3]


def test_a_step_that_was_not_finite_is_told_as_such(tmp_path: Path) -> None:
    told = Told()
    Run(tmp_path, PLAN, bad_steps=(2,), callbacks=told.callbacks).run()
    assert [f.finite for f in told.facts if isinstance(f, StepDone)][:3] == [True, False, True]


@pytest.mark.parametrize("step", [2, 4, 12])
@pytest.mark.parametrize("kind", [ZeroDivisionError, SystemExit, KeyboardInterrupt])
def test_what_a_function_raises_ends_the_run_saved_and_is_the_callers(
    step: int, kind: type[BaseException], tmp_path: Path
) -> None:
    """In an epoch, and at its end, where the evaluation is still due."""
    error = kind("the user's own")

    def fail(done: StepDone) -> None:
        if done.step == step:
            raise error

    with pytest.raises(kind) as raised:
        Run(tmp_path / "run", PLAN, callbacks=Callbacks(on_step=fail)).run()
    assert raised.value is error
    again = resumed(tmp_path / "run", step)
    again.run(FakeBatches(step))
    whole = Run(tmp_path / "whole", PLAN)
    whole.run()
    assert again.network.w == whole.network.w
    assert again.evaluations.seen == whole.evaluations.seen[(step - 1) // 4 :]


def test_an_evaluation_whose_function_fails_is_not_made_again(tmp_path: Path) -> None:
    def fail(done: EvaluationDone) -> None:
        raise ValueError(done.epoch)

    with pytest.raises(ValueError, match="1"):
        Run(tmp_path, PLAN, callbacks=Callbacks(on_evaluation=fail)).run()
    again = resumed(tmp_path, 4)
    assert again.loop.scores.aps == [0.1]
    again.run(FakeBatches(4))
    assert len(again.evaluations.seen) == 2


@pytest.mark.parametrize("step", [2, 4])
def test_a_function_that_returns_true_ends_the_run_saved(step: int, tmp_path: Path) -> None:
    callbacks = Callbacks(on_step=lambda done: done.step == step)
    with pytest.raises(Stopped) as stopped:
        Run(tmp_path, PLAN, callbacks=callbacks).run()
    assert isinstance(stopped.value, StoppedByCallback) and stopped.value.code == 0
    told = Told()
    resumed(tmp_path, step, told.callbacks).run(FakeBatches(step))
    assert told.facts[-1].step == 12


def test_an_evaluations_wish_ends_the_run_before_another_step(tmp_path: Path) -> None:
    steps: list[int] = []
    callbacks = Callbacks(
        on_step=lambda done: steps.append(done.step),
        on_evaluation=lambda done: done.best > 0.15,
    )
    with pytest.raises(StoppedByCallback):
        Run(tmp_path, PLAN, callbacks=callbacks).run()
    assert steps == list(range(1, 9))


def test_a_wish_at_the_last_evaluation_changes_nothing(tmp_path: Path) -> None:
    callbacks = Callbacks(on_evaluation=lambda done: done.epoch == 3)
    assert Run(tmp_path, PLAN, callbacks=callbacks).run().metrics["AP"] == 0.3


@pytest.mark.parametrize("value", [None, 1, "yes", [3]])
def test_only_true_is_a_wish(value: Any, tmp_path: Path) -> None:
    Run(tmp_path, PLAN, callbacks=Callbacks(on_step=lambda done: value)).run()


def test_numpys_true_is_a_wish_and_its_false_is_none(tmp_path: Path) -> None:
    def on_step(done: StepDone) -> Any:
        return np.float32(done.step) > 3

    with pytest.raises(StoppedByCallback):
        Run(tmp_path, PLAN, callbacks=Callbacks(on_step=on_step)).run()
    resumed(tmp_path, 4)


def test_one_processs_wish_is_all_of_theirs() -> None:
    class Other(SingleProcessGroup):
        """This process has no wish, another one has."""

        size = 2

        def __init__(self) -> None:
            self.asked = 0

        def any(self, mine: bool) -> bool:
            self.asked += 1
            return self.asked in (1, 2 + len(ENDING_SIGNALS))

    with pytest.raises(StoppedByCallback):
        StopSignals(lambda line: None, Other()).check()


def test_a_signal_goes_before_a_wish() -> None:
    stop = StopSignals(lambda line: None)
    with stop:
        stop.request()
        signal.raise_signal(signal.SIGINT)
        with pytest.raises(Stopped) as stopped:
            stop.check()
    assert stopped.value.code == 128 + signal.SIGINT


@pytest.mark.parametrize("name", ["on_step", "on_epoch", "on_evaluation", "on_end"])
def test_what_cannot_be_called_is_refused_before_any_training(name: str) -> None:
    with pytest.raises(ConfigError, match=f"{name} is 'print': expected a function"):
        Callbacks(**{name: "print"})  # type: ignore[arg-type]


def test_no_functions_are_nothing() -> None:
    assert not Callbacks() and Callbacks(on_end=print)
    assert RunEnd(Path("a"), "stopped", None, None).outcome is None

"""A network of one number, `w`, whose steps take it towards the batch's mean, and a loop on it."""

import json
import signal
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import numpy as np
import pytest

from mindssd.engines.base import StepperState, StepResult
from mindssd.training.callbacks import NO_CALLBACKS, Callbacks
from mindssd.training.checkpoint import Origin
from mindssd.training.loop import TrainingLoop
from mindssd.training.plan import Actions, Outcome, Plan
from mindssd.training.run_folder import RunFolder, RunLog
from mindssd.training.schedule import Schedule
from mindssd.training.signals import Stopped, StoppedByCallback
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
        raise AssertionError("training never asks for it")


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
    values: list[float | None]
    seen: list[float] = field(default_factory=list)
    saved: list[tuple[float, float]] = field(default_factory=list)

    def evaluate(self) -> dict[str, float | None]:
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

    def request(self) -> None:
        self.requested = True

    def check(self) -> None:
        if self.requested:
            raise StoppedByCallback
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
        values: tuple[float | None, ...] = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6),
        bad_steps: tuple[int, ...] = (),
        stop_after: int | None = None,
        callbacks: Callbacks = NO_CALLBACKS,
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
            callbacks=callbacks,
        )

    def run(self, batches: FakeBatches | None = None) -> Outcome:
        try:
            return self.loop.run(batches or FakeBatches(), self.log)
        finally:
            self.log.close("finished")

    def events(self, kind: str) -> list[dict[str, Any]]:
        lines = map(json.loads, self.folder.log_file.read_text().splitlines())
        return [line for line in lines if line["event"] == kind]


PLAN = Plan(
    epochs=3, steps_per_epoch=STEPS_PER_EPOCH, evaluate_every=1, max_bad_steps=3, ema_decay=None
)

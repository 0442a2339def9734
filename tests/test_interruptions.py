"""Runs that are cut off from outside, as real processes: `mindssd train`, signals, `--resume`."""

import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from mindssd.training.checkpoint import read_checkpoint

OVERRIDES = ["epochs=8", "optimizer.ema_decay=0.9", "num_workers=1", "evaluation.every_epochs=4"]
STEPS = 24
PATIENCE_S = 240


class Process:
    """A `mindssd train` whose output is read line by line."""

    def __init__(self, *arguments: str) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "mindssd", "train", *arguments],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        self.output = ""

    def wait_for(self, text: str) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.output += line
            if text in line:
                return
        pytest.fail(f"ended without {text!r}:\n{self.output}")

    def end(self) -> int:
        """The exit status."""
        rest, _ = self.process.communicate(timeout=PATIENCE_S)
        self.output += rest
        return self.process.returncode


@pytest.fixture
def train(tiny_config, shapes_dir, tmp_path) -> Iterator[Callable[..., Process]]:
    """Start a run of that name, or what else the arguments say; none outlives the test."""
    started: list[Process] = []

    def start(name: str, *arguments: str) -> Process:
        new = ["--config", str(tiny_config), f"data_dir={shapes_dir}", f"runs_dir={tmp_path}"]
        new += [*OVERRIDES, f"name={name}"]
        process = Process(*(arguments or new))
        started.append(process)
        return process

    yield start
    for process in started:
        process.process.kill()
        process.end()


def _last(folder: Path):
    return read_checkpoint(folder / "last" / "checkpoint.safetensors")


def _wait_for_steps(folder: Path, count: int) -> None:
    end = time.monotonic() + PATIENCE_S
    while len(_losses(folder)) < count:
        assert time.monotonic() < end, f"no step {count} in {folder}"
        time.sleep(0.01)


def _losses(folder: Path) -> list[float]:
    file = folder / "log.jsonl"
    lines = file.read_text().splitlines() if file.exists() else []
    events = [json.loads(line) for line in lines if line.endswith("}")]
    return [event["loss"] for event in events if event["event"] == "train"]


def _assert_same_end(folder: Path, whole: Path) -> None:
    ours, theirs = _last(folder), _last(whole)
    assert ours.step == theirs.step == STEPS
    for mine, other in (
        (ours.parameters, theirs.parameters),  # BatchNorm's statistics among them
        (ours.stepper.arrays, theirs.stepper.arrays),  # momentum and average
    ):
        assert mine.keys() == other.keys()
        for name in mine:
            np.testing.assert_array_equal(mine[name], other[name], err_msg=name)
    assert _losses(folder) == _losses(whole)


@pytest.mark.slow
def test_a_run_that_signals_cut_in_three_ends_bit_for_bit_as_a_whole_one(train, tmp_path):
    """SIGINT in mid-epoch, then SIGTERM while the step compiles, then to the end."""
    whole = train("whole")
    first = train("parts")
    _wait_for_steps(tmp_path / "parts", 4)
    first.process.send_signal(signal.SIGINT)
    assert first.end() == 130, first.output
    assert f"To go on:  mindssd train --resume {tmp_path / 'parts'}" in first.output
    reached = _last(tmp_path / "parts").step
    assert 4 <= reached < STEPS
    second = train("", "--resume", str(tmp_path / "parts"))
    second.wait_for("compiling the training step")
    time.sleep(2)
    second.process.send_signal(signal.SIGTERM)
    assert second.end() == 143, second.output
    assert _last(tmp_path / "parts").step == reached + 1
    third = train("", "--resume", str(tmp_path / "parts"))
    assert third.end() == 0, third.output
    assert whole.end() == 0, whole.output
    _assert_same_end(tmp_path / "parts", tmp_path / "whole")


@pytest.mark.slow
def test_a_second_signal_ends_a_compiling_run_at_once(train):
    run = train("impatient")
    run.wait_for("compiling the training step")
    time.sleep(1)
    run.process.send_signal(signal.SIGINT)
    run.process.send_signal(signal.SIGTERM)
    started = time.monotonic()
    assert run.end() in (130, 143), run.output
    assert time.monotonic() - started < 5

"""Runs that are cut off from outside, as real processes: `mindssd train`, signals, `--resume`."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from mindssd.training.checkpoint import read_checkpoint

OVERRIDES = ["epochs=20", "optimizer.ema_decay=0.9", "num_workers=1", "evaluation.every_epochs=20"]
STEPS = 60
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

    def wait_for_work(self, seconds: float) -> None:
        """Until it has computed for so long, which is amid the compilation here."""
        end = time.monotonic() + PATIENCE_S
        before = self._processor_seconds()
        while self._processor_seconds() < before + seconds:
            assert self.process.poll() is None and time.monotonic() < end
            time.sleep(0.01)

    def _processor_seconds(self) -> float:
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def end(self) -> int:
        """The exit status."""
        rest, _ = self.process.communicate(timeout=PATIENCE_S)
        self.output += rest
        return self.process.returncode


@pytest.fixture
def train(shapes_dir, tmp_path) -> Iterator[Callable[..., Process]]:
    """Start a run of that name, or go on with it if no configuration says how to begin it."""
    started: list[Process] = []

    def start(name: str, config: Path | None = None) -> Process:
        new = [f"data_dir={shapes_dir}", f"runs_dir={tmp_path}", *OVERRIDES, f"name={name}"]
        resume = ["--resume", str(tmp_path / name)]
        process = Process(*(resume if config is None else ["--config", str(config), *new]))
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
def test_a_run_that_signals_cut_in_three_ends_bit_for_bit_as_a_whole_one(
    train, quick_config, tmp_path
):
    """SIGTERM while the step compiles, SIGINT in mid-epoch, then to the end."""
    folder = tmp_path / "parts"
    whole = train("whole", quick_config)
    first = train("parts", quick_config)
    first.wait_for("compiling the training step")
    first.wait_for_work(0.2)
    first.process.send_signal(signal.SIGTERM)
    assert first.end() == 143, first.output
    assert _last(folder).step == 1
    second = train("parts")
    _wait_for_steps(folder, 5)
    second.process.send_signal(signal.SIGINT)
    assert second.end() == 130, second.output
    assert f"To go on:  mindssd train --resume {folder}" in second.output
    assert 5 <= _last(folder).step < STEPS
    third = train("parts")
    assert third.end() == 0, third.output
    assert whole.end() == 0, whole.output
    _assert_same_end(folder, tmp_path / "whole")


@pytest.mark.slow
def test_a_second_signal_ends_a_compiling_run_at_once(train, tiny_config, tmp_path):
    """Before the step that the first one would have waited for."""
    run = train("impatient", tiny_config)
    run.wait_for("compiling the training step")
    run.wait_for_work(0.5)
    run.process.send_signal(signal.SIGINT)
    run.process.send_signal(signal.SIGTERM)
    assert run.end() in (130, 143), run.output
    assert _losses(tmp_path / "impatient") == []

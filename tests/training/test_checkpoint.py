"""What a run needs to go on, in one file that is whole or not there."""

import errno
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from mindssd.engines.base import StepperState
from mindssd.errors import WeightsError
from mindssd.training.checkpoint import (
    Checkpoint,
    Origin,
    has_checkpoint,
    previous_file,
    read_checkpoint,
    read_newest,
    write_checkpoint,
)
from mindssd.weights.safetensors_file import ModelMetadata, write_model


def _checkpoint(**changes) -> Checkpoint:
    values = {
        "parameters": {
            "head.b": np.arange(6, dtype=np.float32).reshape(2, 3),
            "backbone.a": np.array([np.float32(0.1)]),
        },
        "stepper": StepperState(
            {"momentum.head.b": np.full((2, 3), -1e-30, np.float32)}, {"micro_step": 1.0}
        ),
        "step": 7,
        "origin": Origin({"batch_size": 4}, ["cat"], 12, "fingerprint", 2),
        "best": 0.25,
        "skipped_steps": 2,
        "elapsed_s": 12.5,
    }
    return Checkpoint(**(values | changes))


@pytest.mark.parametrize("best", [0.25, 0.0, None])
def test_a_checkpoint_comes_back_bit_for_bit(tmp_path, best):
    written = _checkpoint(best=best)
    write_checkpoint(tmp_path / "last" / "checkpoint.safetensors", written)
    read = read_checkpoint(tmp_path / "last" / "checkpoint.safetensors")
    for ours, theirs in (
        (read.parameters, written.parameters),
        (read.stepper.arrays, written.stepper.arrays),
    ):
        assert set(ours) == set(theirs)
        for name, array in theirs.items():
            assert ours[name].dtype == np.float32
            assert ours[name].tobytes() == array.tobytes()
    assert read.stepper.scalars == written.stepper.scalars
    assert (read.step, read.origin, read.best) == (7, written.origin, best)
    assert (read.skipped_steps, read.elapsed_s) == (2, 12.5)


def test_a_checkpoint_keeps_its_scores_and_one_without_them_has_none(tmp_path, monkeypatch):
    path = tmp_path / "a"
    write_checkpoint(path, _checkpoint(aps=[0.1, 1 / 3], since_best=2))
    read = read_checkpoint(path)
    assert (read.aps, read.since_best) == ([0.1, 1 / 3], 2)
    # As it was written before scores were smoothed.
    dumps = json.dumps
    older = {"aps", "since_best"}
    monkeypatch.setattr(
        "mindssd.training.checkpoint.json.dumps",
        lambda tree: dumps({key: value for key, value in tree.items() if key not in older}),
    )
    write_checkpoint(path, _checkpoint(aps=[0.1], since_best=2))
    assert (list(read_checkpoint(path).aps), read_checkpoint(path).since_best) == ([], 0)


def test_a_stepper_that_carries_nothing_is_a_checkpoint_too(tmp_path):
    write_checkpoint(tmp_path / "a", _checkpoint(stepper=StepperState()))
    assert read_checkpoint(tmp_path / "a").stepper == StepperState()


@pytest.mark.parametrize("kept", [0, 4, 100, -1])
def test_a_truncated_file_is_refused_by_name(tmp_path, kept):
    path = tmp_path / "checkpoint.safetensors"
    write_checkpoint(path, _checkpoint())
    path.write_bytes(path.read_bytes()[:kept])
    with pytest.raises(WeightsError, match=r"checkpoint\.safetensors: not a checkpoint"):
        read_checkpoint(path)


def test_a_flipped_bit_is_refused_wherever_it_is(tmp_path):
    path = tmp_path / "checkpoint.safetensors"
    write_checkpoint(path, _checkpoint())
    content = path.read_bytes()
    for position in range(len(content)):
        for bit in (0, 6):
            damaged = bytearray(content)
            damaged[position] ^= 1 << bit
            path.write_bytes(damaged)
            try:
                read = read_checkpoint(path)
            except WeightsError:
                continue
            # Only padding of the header may change without a change of what it says.
            assert read.parameters["head.b"].tobytes() == np.arange(6, dtype=np.float32).tobytes()
            assert bytes(damaged[position : position + 1]).isspace() or content[position] == 0x20


def test_behind_a_damaged_checkpoint_stands_the_one_before(tmp_path):
    path = tmp_path / "checkpoint.safetensors"
    write_checkpoint(path, _checkpoint(step=7))
    write_checkpoint(path, _checkpoint(step=14))
    assert read_newest(path)[0].step == 14 and read_newest(path)[1] is None
    path.write_bytes(path.read_bytes()[:-1])
    checkpoint, damage = read_newest(path)
    assert checkpoint.step == 7
    assert damage is not None and damage.startswith(f"{path}: not a checkpoint")


def test_two_damaged_checkpoints_are_an_error(tmp_path):
    path = tmp_path / "checkpoint.safetensors"
    for step in (7, 14):
        write_checkpoint(path, _checkpoint(step=step))
    for file in (path, previous_file(path)):
        file.write_bytes(b"")
    with pytest.raises(WeightsError, match="not a checkpoint"):
        read_newest(path)


WRITER = """
import os, signal, sys
from pathlib import Path
import numpy as np
from mindssd.engines.base import StepperState
from mindssd.training import checkpoint

def kill_at(owner, name, call, when):
    \"\"\"SIGKILL before or after that call of a function, counted from 1.\"\"\"
    original, calls = getattr(owner, name), []
    def counted(*args, **options):
        calls.append(name)
        if when == "before" and len(calls) == call:
            os.kill(os.getpid(), signal.SIGKILL)
        result = original(*args, **options)
        if when == "after" and len(calls) == call:
            os.kill(os.getpid(), signal.SIGKILL)
        return result
    setattr(owner, name, counted)

path, first, last, (when, point, call) = Path(sys.argv[1]), *map(int, sys.argv[2:4]), sys.argv[4:]
weights = {"w": np.zeros(1 << 16, np.float32)}
for step in range(first, last + 1):
    if step == last:
        owner = {"replace": Path, "fsync": os, "open": os, "read_bytes": checkpoint}[point]
        kill_at(owner, point, int(call), when)
    origin = checkpoint.Origin({}, [], 1, "", 1)
    state = checkpoint.Checkpoint(weights, StepperState(), step, origin, None, 0, 0.0)
    checkpoint.write_checkpoint(path, state)
"""

POINTS = [
    "before read_bytes 1",  # the newest is looked at
    "before open 1",  # the new one is begun
    "before fsync 1",  # and written
    "after fsync 1",
    "before replace 1",  # what was the newest becomes the previous one
    "after replace 1",
    "before replace 2",  # the new one becomes the newest
    "after replace 2",
    "before open 2",  # the folder is flushed
]


def _write_and_be_killed(path: Path, first: int, last: int, point: str) -> None:
    """Write checkpoints of these steps; the process is killed in the last one's write."""
    numbers = [str(first), str(last)]
    done = subprocess.run(
        [sys.executable, "-c", WRITER, str(path), *numbers, *point.split()], check=False, timeout=60
    )
    assert done.returncode in (0, -signal.SIGKILL)


@pytest.mark.parametrize("point", POINTS)
def test_a_kill_at_any_point_of_the_write_leaves_a_whole_checkpoint(tmp_path, point):
    """SIGKILL while the third is written: the second or the third is gone on with."""
    path = tmp_path / "last" / "checkpoint.safetensors"
    _write_and_be_killed(path, 1, 3, point)
    checkpoint, damage = read_newest(path)
    swapped = point in ("after replace 2", "before open 2")
    assert checkpoint.step == (3 if swapped else 2)
    between = point in ("after replace 1", "before replace 2")
    assert damage == (f"{path} is missing" if between else None)
    write_checkpoint(path, _checkpoint(step=9))  # and what it left is in nobody's way
    assert read_newest(path)[0].step == 9


@pytest.mark.parametrize("point", POINTS)
def test_behind_a_damaged_checkpoint_a_kill_leaves_the_one_before(tmp_path, point):
    """The newest is damaged, the run has gone on from the previous one, and is killed again."""
    path = tmp_path / "last" / "checkpoint.safetensors"
    for step in (1, 2):
        write_checkpoint(path, _checkpoint(step=step))
    path.write_bytes(path.read_bytes()[:-1])
    _write_and_be_killed(path, 3, 3, point)
    # There is one rename alone, of the new one: the damaged one is not kept.
    renamed = point in ("after replace 1", "before replace 2", "after replace 2", "before open 2")
    assert read_newest(path)[0].step == (3 if renamed else 1)
    assert read_checkpoint(previous_file(path)).step == 1
    write_checkpoint(path, _checkpoint(step=9))
    assert read_newest(path)[0].step == 9


def test_a_damaged_checkpoint_never_takes_the_place_of_the_one_before(tmp_path):
    path = tmp_path / "checkpoint.safetensors"
    for step in (7, 14):
        write_checkpoint(path, _checkpoint(step=step))
    path.write_bytes(path.read_bytes()[:-1])
    write_checkpoint(path, _checkpoint(step=21))
    assert (read_checkpoint(path).step, read_checkpoint(previous_file(path)).step) == (21, 7)


def test_the_one_before_is_kept_without_hard_links_too(tmp_path, monkeypatch):
    """As FAT and some network mounts are."""

    def refuse(*arguments, **options):
        raise OSError(errno.EPERM, os.strerror(errno.EPERM))

    monkeypatch.setattr(os, "link", refuse)
    path = tmp_path / "checkpoint.safetensors"
    for step in (7, 14):
        write_checkpoint(path, _checkpoint(step=step))
    assert (read_checkpoint(path).step, read_checkpoint(previous_file(path)).step) == (14, 7)


def test_where_the_newest_is_missing_the_one_before_is_gone_on_with(tmp_path):
    path = tmp_path / "checkpoint.safetensors"
    for step in (7, 14):
        write_checkpoint(path, _checkpoint(step=step))
    assert has_checkpoint(path)
    path.unlink()
    assert has_checkpoint(path)
    checkpoint, damage = read_newest(path)
    assert (checkpoint.step, damage) == (7, f"{path} is missing")
    previous_file(path).unlink()
    assert not has_checkpoint(path)
    with pytest.raises(WeightsError, match="no such file"):
        read_newest(path)


def test_a_model_is_no_checkpoint_to_resume_from(tmp_path):
    metadata = ModelMetadata({}, ("a",), (1,), (300, 300), (0, 0, 0), (1, 1, 1), ((1, 1),))
    write_model(tmp_path / "best.safetensors", {"a": np.zeros(1)}, metadata)
    with pytest.raises(WeightsError, match=r"best\.safetensors: not a checkpoint"):
        read_checkpoint(tmp_path / "best.safetensors")


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(WeightsError, match=r"nowhere: no such file"):
        read_checkpoint(tmp_path / "nowhere")


def test_a_write_that_fails_leaves_the_old_checkpoint(tmp_path, monkeypatch):
    path = tmp_path / "checkpoint.safetensors"
    write_checkpoint(path, _checkpoint(step=7))

    def full(descriptor):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(WeightsError, match="no room on the disk"):
        write_checkpoint(path, _checkpoint(step=14))
    assert read_checkpoint(path).step == 7
    assert list(tmp_path.iterdir()) == [path]

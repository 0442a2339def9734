"""What a run needs to go on, in one file that is whole or not there."""

import errno
import os

import numpy as np
import pytest

from mindssd.engines.base import StepperState
from mindssd.errors import WeightsError
from mindssd.training.checkpoint import Checkpoint, read_checkpoint, write_checkpoint
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
        "loader_state": b'{"next_step": 7}',
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
    assert (read.step, read.loader_state, read.best) == (7, written.loader_state, best)
    assert (read.skipped_steps, read.elapsed_s) == (2, 12.5)


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
    assert [file.name for file in tmp_path.iterdir()] == [path.name]

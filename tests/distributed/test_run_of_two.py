"""What a run of two processes leaves, how it is ended, and how it goes on."""

import json
import shutil
import signal
import subprocess
from pathlib import Path

import numpy as np
import pytest

from mindssd.config.load import load_config
from mindssd.data.sampling import epoch_order
from mindssd.training.checkpoint import previous_file
from tests.distributed.processes import (
    MINDSSD,
    MPIRUN,
    PATIENCE_S,
    SETTINGS,
    events,
    last,
    wait_for_end,
)

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def together(quick_config, data, tmp_path_factory) -> Path:
    """The folder of a run of two processes, by `--devices 2`."""
    return train_together("mindspore", quick_config, data, tmp_path_factory.mktemp("runs"))


@pytest.fixture(scope="module", params=["mindspore", "torch"])
def by_each_engine(request, quick_config, data, tmp_path_factory) -> Path:
    """The same by each of the engines."""
    if request.param == "mindspore":
        return request.getfixturevalue("together")
    return train_together(request.param, quick_config, data, tmp_path_factory.mktemp("runs"))


def train_together(engine: str, config: Path, data: Path, runs: Path) -> Path:
    command = [*MINDSSD, "train", "--config", str(config), f"data_dir={data}", f"engine={engine}"]
    command += [f"runs_dir={runs}", "name=two", *SETTINGS, "--devices", "2"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE_S, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.count("compiling the training step: takes") == (engine == "mindspore")
    assert done.stdout.count("epoch 3: AP") == 1  # one process speaks
    assert "2 processes" in done.stdout
    assert "6 training images could not be read" in done.stdout
    return runs / "two"


def test_one_process_writes_the_run(by_each_engine):
    assert [event["step"] for event in events(by_each_engine, "evaluation")] == [9]
    assert len(events(by_each_engine, "start")) == len(events(by_each_engine, "end")) == 1
    assert last(by_each_engine).step == 9  # 12 images, 2 processes of 2 images
    assert last(by_each_engine).origin.num_devices == 2
    assert previous_file(by_each_engine / "last" / "checkpoint.safetensors").exists()


def test_a_process_without_readable_images_takes_its_steps_and_they_are_told(by_each_engine):
    unreadable = epoch_order(12, 0, 0)[1::2] + 1  # ids count from 1
    told = [event["image_id"] for event in events(by_each_engine, "unreadable")]
    assert sorted(told) == sorted(unreadable.tolist())
    assert [event["step"] for event in events(by_each_engine, "train")] == list(range(1, 10))


def test_the_evaluation_of_two_is_that_of_one(by_each_engine, data, mindssd, tmp_path):
    """`mindssd eval` of the saved model, in one process, gives the twelve numbers of training."""
    file = tmp_path / "alone.json"
    engine = load_config(str(by_each_engine / "config.yaml")).engine
    model = by_each_engine / "best.safetensors"
    done = mindssd("eval", model, f"data_dir={data}", f"engine={engine}", "--json", file)
    assert (done.status, done.err) == (0, "")
    alone = json.loads(file.read_text())
    trained = json.loads((by_each_engine / "evaluation.json").read_text())
    timed = {"seconds", "images_per_second"}
    assert {k: v for k, v in alone.items() if k not in timed} == {
        k: v for k, v in trained.items() if k not in timed
    }
    assert alone["num_images"] == 11 and alone["AP50"] > 0


def test_signals_to_the_launchers_end_all_saved_and_the_end_is_bit_for_bit_the_same(
    together, new_run, mindssd, tmp_path, start
):
    """SIGTERM to mpirun while the step compiles, SIGINT to ours during the evaluation; to the end.

    A run may change its launcher: mpirun begins it, ours goes on, one process alone evaluates.
    """
    assert Path(MPIRUN[0]).exists(), "OpenMPI's mpirun comes with the extra `test`"
    folder = tmp_path / "run"
    job = start(*MPIRUN, *new_run)
    job.wait_until(lambda: "compiling the training step" in job.output)
    processes = list(job.processes())
    assert len(processes) > 6  # mpirun; three and a data worker of each rank; the scheduler
    job.launcher.terminate()
    assert job.wait() != 0
    wait_for_end(processes)
    assert "2 processes" in job.output
    (stopped,) = events(folder, "stopped")
    assert stopped["status"] == 143 and last(folder).step == stopped["step"] == 1

    resume = ["train", "--resume", str(folder)]
    job = start(*MINDSSD, *resume, "--devices", "2")
    job.wait_until(lambda: len(events(folder, "train")) == 9)
    processes = list(job.processes())
    job.launcher.send_signal(signal.SIGINT)
    assert job.wait() == 130, job.output
    assert f"To go on: mindssd train --resume {folder}" in job.output
    assert (last(folder).step, last(folder).evaluation_due) == (9, True)
    assert events(folder, "evaluation") == []
    wait_for_end(processes)

    ours, theirs = last(folder), last(together)
    for mine, other in (
        (ours.parameters, theirs.parameters),
        (ours.stepper.arrays, theirs.stepper.arrays),
    ):
        assert [name for name in other if not np.array_equal(mine[name], other[name])] == []
    assert [e["loss"] for e in events(folder, "train")] == [
        e["loss"] for e in events(together, "train")
    ]
    done = mindssd(*resume, "--adapt")
    assert (done.status, done.err) == (0, "")
    assert events(folder, "evaluation")[0]["AP"] == events(together, "evaluation")[0]["AP"]


def test_one_process_takes_a_run_of_two_over_only_if_asked_to_adapt(
    by_each_engine, mindssd, tmp_path
):
    folder = tmp_path / "two"
    shutil.copytree(by_each_engine, folder)
    command = ["train", "--resume", folder, "epochs=4", "num_workers=0"]
    fault = mindssd(*command).fault
    assert "number of devices 2 → 1; epochs 3 → 4" in fault and "--adapt" in fault
    assert last(folder).step == 9
    done = mindssd(*command, "--adapt")
    assert (done.status, done.err) == (0, "")
    assert "going on with another number of devices 2 → 1" in done.out
    # Three epochs of six steps each are done, and the fourth's are taken.
    assert events(folder, "start")[-1]["step"] == 18
    assert last(folder).step == 24
    assert [event["change"] for event in events(folder, "adapted")] == [
        "number of devices 2 → 1",
        "epochs 3 → 4",
    ]

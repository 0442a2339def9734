"""Whatever ends one process ends all, and the launcher begins again from the last checkpoint."""

import os
import shutil
import signal
import sys

import pytest

from mindssd.data.sampling import epoch_order
from tests.distributed.processes import LONG, MINDSSD, children, events, last, wait_for_end

pytestmark = pytest.mark.slow

# Stopped for so long a process counts as dead.
IMPATIENT = (
    "from mindssd.launch import job; job.FROZEN_S = 2.0; from mindssd.cli.main import main; main()"
)


def test_whatever_ends_one_process_ends_all_names_it_and_the_run_goes_on(
    new_run, data, tmp_path, start
):
    """Its data worker killed, then the process stopped; a restart sees to the first.

    Before that, an image can no longer be read in a later epoch. PyTorch's is killed, below.
    """
    folder = tmp_path / "run"
    shutil.copytree(data, tmp_path / "data")
    job = start(
        *(sys.executable, "-c", IMPATIENT, *new_run),
        *(f"data_dir={tmp_path}/data", LONG, "evaluation.every_epochs=0"),
        *("--devices", "2", "--restarts", "1"),
    )

    def steps_of_start(count: int) -> bool:
        return len(events(folder, "start")) == count and (
            events(folder, "train")[-1:]
            and events(folder, "train")[-1]["time"] > events(folder, "start")[-1]["time"]
        )

    job.wait_until(lambda: len(events(folder, "train")) > 3)
    readable = int(epoch_order(12, 0, 0)[0])
    (tmp_path / "data" / "train2017" / f"{readable}.png").write_bytes(b"no image")
    job.wait_until(lambda: readable + 1 in [e["image_id"] for e in events(folder, "unreadable")])
    os.kill(children(job.rank(1))[-1], signal.SIGKILL)
    job.wait_until(lambda: steps_of_start(2))
    os.kill(job.rank(1), signal.SIGSTOP)
    assert job.wait() == 1, job.output
    assert "rank 1 of 2 ended with status 1: Worker process was terminated unexpectedly" in (
        job.output
    )
    assert "restart 1 of 1" in job.output
    assert job.output.endswith("mindssd: rank 1 of 2 has been stopped for 2 s")
    starts = [event["step"] for event in events(folder, "start")]
    assert starts == sorted(starts) and starts[-1] <= last(folder).step


def test_pytorchs_processes_are_watched_and_saved_alike(new_run, tmp_path, start):
    """Killed, gone on with, and asked to end."""
    folder = tmp_path / "run"
    long = ["engine=torch", LONG, "evaluation.every_epochs=0", "num_workers=0"]
    job = start(*MINDSSD, *new_run, *long, "--devices", "2", "--restarts", "1")
    job.wait_until(lambda: len(events(folder, "train")) > 6)  # with the first epoch's checkpoint
    os.kill(job.rank(1), signal.SIGKILL)
    job.wait_until(lambda: len(events(folder, "start")) == 2)
    assert events(folder, "start")[1]["step"] > 0
    processes = list(job.processes())
    job.launcher.terminate()
    assert job.wait() == 143, job.output
    assert "rank 1 of 2 was killed by SIGKILL; restart 1 of 1" in job.output
    assert "Traceback" not in job.output
    wait_for_end(processes)
    (stopped,) = events(folder, "stopped")
    assert last(folder).step == stopped["step"] > 3

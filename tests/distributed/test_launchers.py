"""Runs of two by torchrun and msrun, and what one line says where they cannot start."""

import socket
import subprocess

import pytest

from mindssd.config.load import load_config
from tests.distributed.processes import (
    BIN,
    LONG,
    MINDSSD,
    MPIRUN,
    events,
    free_port,
    is_tail,
    last,
    msrun,
    wait_for_end,
)

pytestmark = pytest.mark.slow


def test_torchrun_starts_a_run_which_saves_when_it_is_ended(new_run, tmp_path, start):
    folder = tmp_path / "run"
    torchrun = [str(BIN / "torchrun"), "--nproc_per_node=2", "--master_port", str(free_port())]
    long = [LONG, "evaluation.every_epochs=0", "num_workers=0"]
    job = start(*torchrun, "-m", "mindssd", *new_run, *long)
    job.wait_until(lambda: len(events(folder, "train")) > 3)
    assert "2 processes" in job.output
    assert load_config(str(folder / "config.yaml")).engine == "torch"
    processes = list(job.processes())
    job.launcher.terminate()
    assert job.wait() != 0
    wait_for_end(processes)
    (stopped,) = events(folder, "stopped")
    assert stopped["status"] == 143 and last(folder).step == stopped["step"] > 3


def test_msrun_starts_a_run_which_saves_when_it_is_ended_and_goes_on(new_run, tmp_path, start):
    """On SIGTERM msrun itself ends at once; what it leaves behind is `tail` on its logs alone."""
    folder = tmp_path / "run"
    launcher = msrun(tmp_path / "logs", free_port())
    job = start(*launcher, *new_run, LONG, "evaluation.every_epochs=0")
    job.wait_until(lambda: len(events(folder, "train")) > 3)
    processes = list(job.processes())
    assert len(processes) > 7  # msrun, the scheduler; each worker, its data worker and `tail`
    job.launcher.terminate()
    assert job.wait() != 0
    wait_for_end([process for process in processes if not is_tail(process)])
    (stopped,) = events(folder, "stopped")
    assert stopped["status"] == 143 and last(folder).step == stopped["step"]
    # As MindSpore's documents have it, without `python`.
    *launcher, _, _, _ = msrun(tmp_path / "logs", free_port())
    epochs = stopped["step"] // 3 + 2
    resume = ["--resume", str(folder), f"epochs={epochs}", "--adapt"]
    job = start(*launcher, "--", "-m", "mindssd", "train", *resume)
    assert job.wait() == 0, job.output
    assert last(folder).step == 3 * epochs and len(events(folder, "evaluation")) == 1


def test_where_the_port_for_mpiruns_ranks_is_taken_one_line_says_so(new_run, start):
    """Between the moment when it was free and that when the scheduler takes it."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        program = (
            "from mindssd.engines.mindspore import mpi; from mindssd.cli.main import main; "
            f"mpi.free_port = lambda: {port}; main()"
        )
        job = start(*MPIRUN[:-2], "-c", program, *new_run)
        assert job.wait() != 0
    assert f"mindssd: the processes cannot meet at 127.0.0.1:{port}: another" in job.output


@pytest.mark.parametrize(
    ("size", "options"),
    [("64k", ["engine=torch", "--devices", "2"]), ("1m", ["engine=torch", "batch_size=8"])],
    ids=["no room at all", "no room for a batch"],
)
def test_too_small_a_dev_shm_is_an_error_and_not_a_hang(new_run, start, size, options):
    private = ["unshare", "--mount", "sh", "-c"]
    small = f"mount -t tmpfs -o size={size} tmpfs /dev/shm"
    if subprocess.run([*private, small], capture_output=True, check=False).returncode:
        pytest.skip("no right to a /dev/shm of its own")
    job = start(*private, f'{small} && exec "$@"', "sh", *MINDSSD, *new_run, *options)
    assert job.wait() == 1, job.output
    assert "/dev/shm is too small" in job.output and "num_workers=0" in job.output

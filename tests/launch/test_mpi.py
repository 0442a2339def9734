"""What OpenMPI's mpirun does to its ranks, and what they do then: small programs in its hands."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

MPIRUN = [str(Path(sys.executable).with_name("mpirun")), "-n", "2", "--oversubscribe"]
RANK = """
import os, signal, sys, time
from pathlib import Path
from mindssd.launch import mpi
mpi.MPI_GRACE_S = 2
folder, known = Path(sys.argv[1]), os.getpid()
mpi.outlive_mpirun()
rank = os.environ["OMPI_COMM_WORLD_RANK"]
ids = f"{known} {os.getppid()} {os.getpid()}"
asked = []
signal.signal(signal.SIGTERM, lambda number, frame: asked.append(number))
(folder / f"{rank}.partial").write_text(ids)
(folder / f"{rank}.partial").rename(folder / rank)
"""
SAVING = """
while not asked: time.sleep(0.05)
time.sleep(1)
(folder / f"saved{rank}").write_text(str(len(asked)))
sys.exit(143)
"""


def _start(program: str, folder: Path) -> subprocess.Popen[str]:
    command = [*MPIRUN, "--allow-run-as-root", sys.executable, "-c", RANK + program, str(folder)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def _ids(folder: Path) -> dict[str, list[int]]:
    """Of both ranks the process that mpirun knows, its guard and the one that works."""
    end = time.monotonic() + 120
    while not all((folder / rank).exists() for rank in "01"):
        assert time.monotonic() < end
        time.sleep(0.05)
    return {rank: [int(number) for number in (folder / rank).read_text().split()] for rank in "01"}


def _wait_for_end(ids: dict[str, list[int]]) -> None:
    end = time.monotonic() + 120
    for process in (number for rank in ids.values() for number in rank):
        while _is_running(process):
            assert time.monotonic() < end
            time.sleep(0.05)


def _is_running(process: int) -> bool:
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGKILL])
def test_ranks_have_time_to_save_however_mpirun_ends(tmp_path, number):
    with _start(SAVING, tmp_path) as mpirun:
        ids = _ids(tmp_path)
        mpirun.send_signal(number)
        mpirun.wait(10)
        _wait_for_end(ids)
    # Asked once: a second signal would end a training at once.
    assert [(tmp_path / f"saved{rank}").read_text() for rank in "01"] == ["1", "1"]


def test_a_rank_that_heeds_no_signal_ends_in_time(tmp_path):
    with _start("while True: time.sleep(1)", tmp_path) as mpirun:
        ids = _ids(tmp_path)
        mpirun.terminate()
        _wait_for_end(ids)


@pytest.mark.parametrize(
    ("end", "status"),
    [("sys.exit(3)", 3), ("os.kill(os.getpid(), signal.SIGKILL)", 128 + signal.SIGKILL)],
)
def test_a_rank_that_ends_badly_ends_the_job_and_is_named(tmp_path, end, status):
    with _start(f"if rank == '1': {end}\ntime.sleep(60)", tmp_path) as mpirun:
        output, _ = mpirun.communicate(timeout=120)
        assert mpirun.returncode == status, output
        assert "rank 1" in output or ",1]" in output
        _wait_for_end(_ids(tmp_path))


def test_a_rank_that_is_asked_to_end_by_itself_passes_it_on(tmp_path):
    """As a batch system does, which signals all processes of a job."""
    with _start(SAVING, tmp_path) as mpirun:
        ids = _ids(tmp_path)
        for known, _, _ in ids.values():
            os.kill(known, signal.SIGTERM)
        assert mpirun.wait(20) == 143
        _wait_for_end(ids)
    assert all((tmp_path / f"saved{rank}").exists() for rank in "01")


SIGNALLED_AMID_THE_START = """
import os, signal, sys, time
from mindssd.launch import mpi
fork, asked = os.fork, []

def signalled_fork():
    child = fork()
    if child and os.getpid() == known:
        os.kill(known, signal.SIGTERM)
    return child

known, os.fork = os.getpid(), signalled_fork
signal.signal(signal.SIGTERM, lambda number, frame: asked.append(number))
mpi.outlive_mpirun()
end = time.monotonic() + 20
while not asked and time.monotonic() < end: time.sleep(0.05)
sys.exit(143 if asked else 5)
"""


def test_a_signal_amid_the_start_of_a_ranks_own_process_is_passed_on_to_it():
    done = subprocess.run(
        [sys.executable, "-c", SIGNALLED_AMID_THE_START],
        env={**os.environ, "OMPI_COMM_WORLD_RANK": "0"},
        timeout=60,
        check=False,
    )
    assert done.returncode == 143


def test_a_process_whose_parent_has_ended_before_it_asked_ends_too():
    """As a launcher that is killed while it starts a process."""
    program = (
        "import os, signal, time\n"
        "from mindssd.platform import die_with_parent\n"
        "die_with_parent(signal.SIGKILL, os.getppid() + 1)\n"
        "time.sleep(60)"
    )
    done = subprocess.run([sys.executable, "-c", program], timeout=120, check=False)
    assert done.returncode == -signal.SIGKILL


def test_without_mpirun_the_process_stays_the_same():
    program = "import os; a = os.getpid(); from mindssd.launch.mpi import outlive_mpirun as o; o()"
    program += "; print(a == os.getpid())"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.stdout == "True\n"

"""What a process's variables say about the group it belongs to."""

import os
import socket
import subprocess
import sys

import pytest

from mindssd.engines.mindspore.cluster import (
    MindSporeCluster,
    adopt_mpi,
    free_port,
    rank_table_device,
)
from mindssd.errors import EngineError

VARIABLES = ("MS_ROLE", "RANK_TABLE_FILE", "RANK_ID", "DEVICE_ID", "OMPI_COMM_WORLD_SIZE")


@pytest.fixture(autouse=True)
def _no_variables(monkeypatch):
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)


def test_workers_differ_by_their_ranks_and_the_helper_is_none_of_them():
    processes = MindSporeCluster(2, 8118)
    first, second = processes.worker_environment(0), processes.worker_environment(1)
    assert {k for k in first if first[k] != second[k]} == {"MS_NODE_ID"}
    command, variables = processes.helper()
    assert command[0] == sys.executable and variables["MS_ROLE"] == "MS_SCHED"
    assert variables["MS_SCHED_PORT"] == first["MS_SCHED_PORT"] == "8118"


def test_a_rank_table_on_ascend_names_the_card(monkeypatch):
    assert rank_table_device("Ascend") is None
    monkeypatch.setenv("RANK_TABLE_FILE", "table.json")
    monkeypatch.setenv("RANK_ID", "11")
    monkeypatch.setenv("DEVICE_ID", "3")
    assert rank_table_device("Ascend") == 3
    assert rank_table_device("CPU") is None
    monkeypatch.setenv("MS_ROLE", "MS_WORKER")  # msrun, which takes a table for other ends
    assert rank_table_device("Ascend") is None


@pytest.mark.parametrize("name", ["RANK_ID", "DEVICE_ID"])
def test_a_rank_table_without_its_variables_names_what_is_missing(monkeypatch, name):
    for variable in ("RANK_TABLE_FILE", "RANK_ID", "DEVICE_ID"):
        monkeypatch.setenv(variable, "0")
    monkeypatch.delenv(name)
    with pytest.raises(EngineError, match=f"RANK_TABLE_FILE is set, but {name}= is no number"):
        rank_table_device("Ascend")


def test_mpirun_on_several_hosts_is_refused_with_the_way_out(monkeypatch):
    monkeypatch.setenv("OMPI_COMM_WORLD_SIZE", "4")
    monkeypatch.setenv("OMPI_COMM_WORLD_LOCAL_SIZE", "2")
    with pytest.raises(EngineError, match=r"several hosts.*docs/distributed\.md"):
        adopt_mpi()


def test_one_rank_of_mpirun_is_alone(monkeypatch):
    monkeypatch.setenv("OMPI_COMM_WORLD_SIZE", "1")
    adopt_mpi()
    assert "MS_ROLE" not in os.environ


def test_a_scheduler_whose_port_is_taken_says_so_at_once():

    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        command, variables = MindSporeCluster(2, port).helper()
        done = subprocess.run(
            command,
            env={**os.environ, **variables},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1] == (
        f"mindssd: the processes cannot meet at 127.0.0.1:{port}: another program has this port; "
        "start them again"
    )


def test_a_free_port_is_free_and_another_each_time():
    assert len({free_port() for _ in range(5)}) > 1


def test_logs_are_let_go_of_only_where_they_are_msruns(tmp_path, monkeypatch):
    """Processes that show the logs beside ours, in that process group, and no others."""
    logs, elsewhere = tmp_path / "logs", tmp_path / "elsewhere"
    tails = []
    for folder, program in ((logs, "/usr/bin/tail"), (elsewhere, "/usr/bin/tail"), (logs, "tail")):
        folder.mkdir(exist_ok=True)
        (folder / "worker_0.log").touch()
        command = [program, "-f", f"{folder.name}/worker_0.log"]
        tails.append(subprocess.Popen(command, cwd=tmp_path))
    code = "import os; from mindssd.engines.mindspore.cluster import _end_tails as end; end({})"
    with (logs / "worker_1.log").open("w") as log:
        for group in (os.getpgid(0) + 1, os.getpgid(0)):
            assert tails[0].poll() is None
            subprocess.run([sys.executable, "-c", code.format(group)], stdout=log, check=True)
    assert tails[0].wait(10) != 0
    assert [tail.poll() for tail in tails[1:]] == [None, None]
    for tail in tails[1:]:
        tail.kill()
        tail.wait()

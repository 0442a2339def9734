"""What a process's variables say about the group it belongs to."""

import os
import socket
import subprocess
import sys
import tempfile

import pytest

from mindssd.engines.mindspore import mpi
from mindssd.engines.mindspore.cluster import MindSporeCluster, rank_table_device
from mindssd.engines.mindspore.mpi import adopt_mpi
from mindssd.errors import EngineError
from mindssd.platform import free_port

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
    with pytest.raises(EngineError, match=f"RANK_TABLE_FILE is set, but {name}= is not a number"):
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


@pytest.fixture
def rank_of_mpirun(monkeypatch, tmp_path):
    """Rank 1 of two, whose rank 0 never comes."""
    variables = {
        "OMPI_COMM_WORLD_SIZE": "2",
        "OMPI_COMM_WORLD_LOCAL_SIZE": "2",
        "OMPI_COMM_WORLD_RANK": "1",
        "PMIX_NAMESPACE": "job",
    }
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setattr(mpi, "RENDEZVOUS_S", 0.1)


def test_a_port_that_another_user_could_have_written_is_not_believed(rank_of_mpirun, tmp_path):
    """Names in the temporary folder can be foreseen, and files of these names be put there."""
    for name in (f"mindssd-{os.getuid()}-job", "rendezvous-job"):
        (tmp_path / name).write_text("8118")
    with pytest.raises(EngineError, match="rank 0 did not say its port"):
        adopt_mpi()
    folder = tmp_path / f"mindssd-{os.getuid()}"
    assert folder.stat().st_mode & 0o077 == 0
    (folder / "rendezvous-job").write_text("8118")
    folder.chmod(0o777)
    with pytest.raises(EngineError, match=r"may be written to by others.*or set TMPDIR"):
        adopt_mpi()
    assert "MS_ROLE" not in os.environ


def test_a_rank_of_mpirun_meets_the_others_where_rank_0_says(rank_of_mpirun, tmp_path, monkeypatch):
    folder = tmp_path / f"mindssd-{os.getuid()}"
    folder.mkdir(mode=0o700)
    (folder / "rendezvous-job").write_text("8118")
    for name in MindSporeCluster(2, 0).worker_environment(1):
        monkeypatch.setenv(name, "")  # so that they are taken back
        monkeypatch.delenv(name)
    adopt_mpi()
    assert (os.environ["MS_SCHED_PORT"], os.environ["MS_NODE_ID"]) == ("8118", "1")


def test_a_scheduler_whose_port_is_taken_says_so_at_once():
    pytest.importorskip("mindspore")
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

"""What a process's variables say about the group it belongs to."""

import os
import socket
import subprocess
import sys

import pytest

from mindssd.engines.mindspore.cluster import MindSporeCluster, rank_table_device
from mindssd.errors import EngineError
from mindssd.platform import free_port

VARIABLES = ("MS_ROLE", "RANK_TABLE_FILE", "RANK_ID", "DEVICE_ID")


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

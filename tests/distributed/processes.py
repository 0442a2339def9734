"""A training on two processes, started, watched and looked at from outside."""

import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from mindssd.training.checkpoint import Checkpoint, read_checkpoint

PATIENCE_S = 400
"""For whatever must happen at last, on a machine however busy."""
BIN = Path(sys.executable).parent
ENVIRONMENT = {**os.environ, "PATH": f"{BIN}{os.pathsep}{os.environ['PATH']}"}
MINDSSD = [sys.executable, "-m", "mindssd"]
MPIRUN = [str(BIN / "mpirun"), "-n", "2", "--oversubscribe", "--allow-run-as-root", *MINDSSD]
LONG = "epochs=20000"  # no machine is quick enough to end it before a test does
SETTINGS = ["epochs=3", "batch_size=2", "num_workers=1", "evaluation.every_epochs=3"]


def msrun(folder: Path, port: int) -> list[str]:
    command = [str(BIN / "msrun"), "--worker_num=2", "--local_worker_num=2", "--join=True"]
    return [*command, f"--log_dir={folder}", f"--master_port={port}", "python", "-m", "mindssd"]


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Job:
    """A started `mindssd train` with all its processes, of which none may outlive it."""

    def __init__(self, command: Sequence[str], output: Path) -> None:
        self.output_file = output
        self.seen: set[int] = set()
        with output.open("w") as file:
            self.launcher = subprocess.Popen(
                command, stdout=file, stderr=subprocess.STDOUT, env=ENVIRONMENT
            )

    @property
    def output(self) -> str:
        """With the lines as they were before a terminal broke them."""
        return " ".join(self.output_file.read_text().split())

    def wait_until(self, condition: Callable[[], object]) -> None:
        end = time.monotonic() + PATIENCE_S
        while not condition():
            assert self.launcher.poll() is None and time.monotonic() < end, self.output
            time.sleep(0.03)

    def wait(self) -> int:
        return self.launcher.wait(PATIENCE_S)

    def processes(self) -> dict[int, dict[str, str]]:
        """The processes that the launcher's have started, and their variables, by their ids."""
        found = {}
        waiting = [self.launcher.pid]
        while waiting:
            process = waiting.pop(0)
            try:
                content = Path(f"/proc/{process}/environ").read_bytes().decode().split("\0")
            except OSError:  # it has ended meanwhile
                content = []
            found[process] = dict(item.split("=", 1) for item in content if "=" in item)
            waiting += children(process)
        self.seen |= set(found)
        return found

    def rank(self, rank: int) -> int:
        """Our launcher's process of that rank."""
        mindspores = {"MS_ROLE": "MS_WORKER", "MS_NODE_ID": str(rank)}.items()
        pytorchs = {"RANK": str(rank)}.items()
        fits = [
            n
            for n, variables in self.processes().items()
            if mindspores <= variables.items() or pytorchs <= variables.items()
        ]
        # Its own data workers have its variables; none of them is its parent.
        (process,) = set(fits).difference(*(children(n) for n in fits))
        return process


def children(process: int) -> list[int]:
    """Whichever of its threads has started them."""
    found = []
    for file in Path(f"/proc/{process}/task").glob("*/children"):
        with suppress(OSError):
            found += map(int, file.read_text().split())
    return sorted(found)


def is_running(process: int) -> bool:
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def is_tail(process: int) -> bool:
    try:
        return Path(f"/proc/{process}/comm").read_text() == "tail\n"
    except OSError:
        return False


def wait_for_end(processes: Sequence[int], seconds: float = PATIENCE_S) -> None:
    end = time.monotonic() + seconds
    while left := [process for process in processes if is_running(process)]:
        assert time.monotonic() < end, f"left behind: {left}"
        time.sleep(0.1)


def events(folder: Path, kind: str) -> list[dict[str, Any]]:
    file = folder / "log.jsonl"
    lines = file.read_text().splitlines() if file.exists() else []
    whole = [json.loads(line) for line in lines if line.endswith("}")]
    return [event for event in whole if event["event"] == kind]


def last(folder: Path) -> Checkpoint:
    return read_checkpoint(folder / "last" / "checkpoint.safetensors")

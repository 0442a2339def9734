"""How processes find each other: the variables of MindSpore's dynamic cluster.

A scheduler, a process of its own, waits for the workers and gives them ranks. This file imports no
MindSpore, so that a launcher can use it.
"""

import atexit
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from mindssd.errors import EngineError, MindSSDError
from mindssd.files import private_folder, write_file
from mindssd.processes import OWN_LAUNCHER, die_with_parent, free_port

RENDEZVOUS_S = 120
SCHEDULER_END_S = 10
PORT_FILE_AGE_S = 600
"""An older file is another job's, of the same name, that was killed."""


@dataclass(frozen=True)
class MindSporeCluster:
    """Implements `engines.base.Cluster`, on this machine."""

    size: int
    port: int

    def worker_environment(self, rank: int) -> dict[str, str]:
        return {
            "MS_ROLE": "MS_WORKER",
            "MS_NODE_ID": str(rank),
            "MS_WORKER_NUM": str(self.size),
            "MS_SCHED_HOST": "127.0.0.1",
            "MS_SCHED_PORT": str(self.port),
            OWN_LAUNCHER: "1",
        }

    def helper(self) -> tuple[list[str], dict[str, str]]:
        command = [sys.executable, "-m", "mindssd.engines.mindspore.scheduler"]
        return command, {**self.worker_environment(0), "MS_ROLE": "MS_SCHED"}


def adopt_mpi() -> None:
    """Under OpenMPI's mpirun on one host, set the variables that its ranks need.

    MindSpore has no collectives of MPI on a CPU. Rank 0 starts the scheduler, which ends with it,
    and tells the others its port by a file named after mpirun's job, in a folder that no other user
    can write to. EngineError where one has put his own in its place.
    """
    if not under_mpirun() or "MS_ROLE" in os.environ:
        return
    size = int(os.environ["OMPI_COMM_WORLD_SIZE"])
    if os.environ.get("OMPI_COMM_WORLD_LOCAL_SIZE") != str(size):
        raise EngineError(
            "mpirun on several hosts needs MindSpore's own variables, MS_SCHED_HOST and others "
            "(docs/distributed.md)"
        )
    rank = int(os.environ["OMPI_COMM_WORLD_RANK"])
    job = os.environ["PMIX_NAMESPACE"]  # OpenMPI 4's and 5's
    port_file = _private_temporary_folder() / f"rendezvous-{job.replace('/', '_')}"
    if rank == 0:
        port = free_port()
        command, environment = MindSporeCluster(size, port).helper()
        scheduler = subprocess.Popen(
            command,
            env={**os.environ, **environment},
            stdout=subprocess.DEVNULL,
            preexec_fn=partial(die_with_parent, parent=os.getpid()),
        )
        atexit.register(_end, scheduler, port_file)
        write_file(port_file, str(port).encode())
    else:
        port = int(_read_when_there(port_file))
    os.environ.update(MindSporeCluster(size, port).worker_environment(rank))
    del os.environ[OWN_LAUNCHER]  # mpirun's own rules for its ranks


def _private_temporary_folder() -> Path:
    try:
        return private_folder(Path(tempfile.gettempdir()) / f"mindssd-{os.getuid()}")
    except MindSSDError as error:
        raise EngineError(f"{error}, or set TMPDIR to a folder of yours") from error


def rank_table_device(target: str) -> int | None:
    """The card of this process, where a rank table starts it on Ascend; else None.

    MindSpore reads RANK_TABLE_FILE and RANK_ID by itself, but DEVICE_ID must be handed to it.
    """
    if target != "Ascend" or "MS_ROLE" in os.environ or "RANK_TABLE_FILE" not in os.environ:
        return None
    for name in ("RANK_ID", "DEVICE_ID"):
        if not os.environ.get(name, "").isdigit():
            raise EngineError(
                f"RANK_TABLE_FILE is set, but {name}={os.environ.get(name, '')} is no number; set "
                "it to this process's in the table (docs/distributed.md)"
            )
    return int(os.environ["DEVICE_ID"])


def under_mpirun() -> bool:
    """Whether OpenMPI's mpirun has started this process, and others that train with it."""
    return int(os.environ.get("OMPI_COMM_WORLD_SIZE", "1")) > 1


def _end(scheduler: subprocess.Popen[bytes], port_file: Path) -> None:
    port_file.unlink(missing_ok=True)
    try:  # it ends by itself once all workers have left
        scheduler.wait(SCHEDULER_END_S)
    except subprocess.TimeoutExpired:
        scheduler.kill()


def _read_when_there(port_file: Path) -> str:
    end = time.monotonic() + RENDEZVOUS_S
    while True:
        with suppress(FileNotFoundError):
            if time.time() - port_file.stat().st_mtime <= PORT_FILE_AGE_S:
                return port_file.read_text()
        if time.monotonic() > end:
            raise EngineError(
                f"mpirun's rank 0 did not say its port in {port_file} within 2 minutes"
            )
        time.sleep(0.05)


def rendezvous_address() -> str:
    """Where this process's variables tell it to meet the others."""
    return f"{os.environ.get('MS_SCHED_HOST')}:{os.environ.get('MS_SCHED_PORT')}"


@contextmanager
def rendezvous() -> Iterator[None]:
    """Meet the others in this block; under msrun, mend what MindSpore 2.10.0's leaves undone.

    Where its scheduler fails, because the port is taken, msrun waits without end for workers that
    wait for the scheduler, which alone knows: so it tells on msrun's terminal and ends it. When
    msrun is ended, it leaves behind the processes that show the workers' logs.
    """
    msrun = _msrun()
    if msrun is None and os.getppid() == 1 and "MS_TOPO_TIMEOUT" in os.environ:
        raise EngineError("msrun, which started this process, has ended")
    if msrun is not None:
        atexit.register(_end_tails_without_msrun, os.getpgid(msrun))
    try:
        yield
    except RuntimeError as error:
        message = (
            f"the processes cannot meet at {rendezvous_address()}: another program has this port, "
            "or not all of them came; choose another, for msrun by --master_port"
        )
        if msrun is not None and os.environ["MS_ROLE"] == "MS_SCHED":
            with suppress(OSError), Path(f"/proc/{msrun}/fd/2").open("a") as terminal:
                terminal.write(f"mindssd: {message}\n")
            _end_tails(os.getpgid(msrun))
            os.kill(msrun, signal.SIGTERM)
        raise EngineError(message) from error


def _msrun() -> int | None:
    """The parent process, if it is msrun."""
    parent = os.getppid()
    with suppress(OSError):
        words = Path(f"/proc/{parent}/cmdline").read_bytes().split(b"\0")
        if any(word.endswith((b"/msrun", b"mindspore.parallel.cluster.run")) for word in words):
            return parent
    return None


def _end_tails_without_msrun(group: int) -> None:
    if _msrun() is None:  # which else does so itself
        _end_tails(group)


def _end_tails(group: int) -> None:
    """End msrun's `tail -f` on logs beside this process's own, by their process group."""
    logs = Path("/proc/self/fd/1").resolve().parent
    for process in Path("/proc").glob("[0-9]*"):
        with suppress(OSError, ValueError):
            program, option, log, *_ = (process / "cmdline").read_bytes().decode().split("\0")
            folder = ((process / "cwd").resolve() / log).parent
            if (program, option, folder) == ("/usr/bin/tail", "-f", logs):
                number = int(process.name)
                if os.getpgid(number) == group:
                    os.kill(number, signal.SIGTERM)

"""A rank of OpenMPI's mpirun as a worker of MindSpore's dynamic cluster.

MindSpore has no collectives of MPI on a CPU. This file imports no MindSpore.
"""

import atexit
import os
import signal
import subprocess
import tempfile
import time
from contextlib import suppress
from functools import partial
from pathlib import Path

from mindssd.engines.mindspore.cluster import MindSporeCluster
from mindssd.errors import EngineError, MindSSDError
from mindssd.files import private_folder, write_file
from mindssd.platform import OWN_LAUNCHER, die_with_parent, free_port

RENDEZVOUS_S = 120
"""So long a rank waits for rank 0 to say its port."""
SCHEDULER_END_S = 10
"""So long rank 0 waits at its end for the scheduler's."""
PORT_FILE_AGE_S = 600
"""An older file is another job's, of the same name, that was killed."""


def adopt_mpi() -> None:
    """Under OpenMPI's mpirun on one host, set the variables that its ranks need.

    Rank 0 starts the scheduler, which ends with it, and tells the others its port by a file named
    after mpirun's job, in a folder that no other user can write to. EngineError where one has put
    his own in its place.
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
            preexec_fn=partial(die_with_parent, signal.SIGKILL, os.getpid()),
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

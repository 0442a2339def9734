"""What a process arranges with the one that started it: when it ends, and that it still works."""

import ctypes
import os
import signal
import struct
import sys
import tempfile
import time
from types import FrameType
from typing import NoReturn

_SET_PARENT_DEATH_SIGNAL = 1
MPI_GRACE_S = 60
"""Once mpirun has ended, its ranks have so long to save and end."""


def die_with_parent(number: int = signal.SIGKILL) -> None:
    """Get a signal when the parent process ends, however it ends, so that none is left behind."""
    ctypes.CDLL(None).prctl(_SET_PARENT_DEATH_SIGNAL, number)


def outlive_mpirun() -> None:
    """Under OpenMPI's mpirun, return in a new process to which it gives time to save.

    mpirun 5 passes SIGTERM and Ctrl-C on, but kills its ranks a quarter of a second later, with
    all processes of their groups. The rank that it knows stays behind: it passes signals on and
    ends as the new process does. A guard in a session of its own sees to it that the new process
    is asked to end where mpirun or the rank were killed, and that it does.
    """
    if "OMPI_COMM_WORLD_RANK" not in os.environ:
        return
    sys.stdout.flush()
    sys.stderr.flush()
    guard = os.fork()
    if guard:
        _follow(guard)
    os.setsid()
    worker = os.fork()
    if worker:
        _follow(worker)
    die_with_parent()


def _follow(child: int) -> NoReturn:
    """Pass signals on to a child, and end as it does; ask it to end where our parent has."""
    parent = os.getppid()
    asked: list[int] = []

    def pass_on(number: int, frame: FrameType | None) -> None:
        asked.append(number)
        os.kill(child, number)

    def parent_ended(number: int, frame: FrameType | None) -> None:
        if os.getppid() == parent:  # a thread of it has ended, which Linux tells too
            return
        signal.alarm(MPI_GRACE_S)
        if not asked:  # a second one would end it at once
            pass_on(signal.SIGTERM, frame)

    signal.signal(signal.SIGINT, pass_on)
    signal.signal(signal.SIGTERM, pass_on)
    signal.signal(signal.SIGALRM, lambda number, frame: os.kill(child, signal.SIGKILL))
    signal.signal(signal.SIGRTMIN, parent_ended)
    die_with_parent(signal.SIGRTMIN)
    _, status = os.waitpid(child, 0)
    ended_by = os.WTERMSIG(status) if os.WIFSIGNALED(status) else None
    if ended_by is not None:
        if ended_by != signal.SIGKILL:
            signal.signal(ended_by, signal.SIG_DFL)
        os.kill(os.getpid(), ended_by)
    os._exit(os.waitstatus_to_exitcode(status))


LIFE = "MINDSSD_LIFE"
"""Names the open file of a `LifeSign`, in the environment of the process that writes into it."""


class LifeSign:
    """A file that a process started with `environment` and `file` writes the time into as it works.

    The process does so by `show_life`; `last` tells when it last did. No sign yet counts from now.
    """

    def __init__(self) -> None:
        self._began = time.monotonic()
        self._file = tempfile.TemporaryFile()  # noqa: SIM115 - kept open for the process's life
        self.descriptor = self._file.fileno()
        self.environment = {LIFE: str(self.descriptor)}

    @property
    def shown(self) -> bool:
        """Whether the process has written at all."""
        return os.fstat(self.descriptor).st_size > 0

    def last(self) -> float:
        """On the clock of `time.monotonic`, which all processes of a machine share."""
        content = os.pread(self.descriptor, 8, 0)
        return struct.unpack("d", content)[0] if len(content) == 8 else self._began

    def close(self) -> None:
        self._file.close()


def show_life() -> None:
    """Tell the launcher, if it is one that listens, that this process goes on."""
    if LIFE in os.environ:
        os.pwrite(int(os.environ[LIFE]), struct.pack("d", time.monotonic()), 0)

"""What a process arranges with the one that started it: when it ends, and that it still works."""

import ctypes
import os
import signal
import socket
import stat
import struct
import sys
import time
from pathlib import Path
from types import FrameType
from typing import NoReturn

_SET_PARENT_DEATH_SIGNAL = 1
MPI_GRACE_S = 60
"""Once mpirun has ended, its ranks have so long to save and end."""
PASSED_ON = (signal.SIGINT, signal.SIGTERM)
"""The signals that a process passes on to the one that trains in its place."""

OWN_LAUNCHER = "MINDSSD_LAUNCHER"
"""Set where mindssd itself has started the processes, and sees to their end."""


def die_with_parent(number: int = signal.SIGKILL, parent: int | None = None) -> None:
    """Get a signal when the parent process ends, however it ends, so that none is left behind.

    With the id of that `parent`, also where it has ended before this was called.
    """
    ctypes.CDLL(None).prctl(_SET_PARENT_DEATH_SIGNAL, number)
    if parent is not None and os.getppid() != parent:
        os.kill(os.getpid(), number)


def free_port() -> int:
    """A TCP port that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


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
    # What comes before a process is ready to pass it on waits until it is.
    signal.pthread_sigmask(signal.SIG_BLOCK, PASSED_ON)
    known, above = os.getpid(), os.getppid()
    guard = os.fork()
    if guard:
        _follow(guard, above)
    os.setsid()
    guard = os.getpid()
    worker = os.fork()
    if worker:
        _follow(worker, known)
    die_with_parent(parent=guard)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, PASSED_ON)


def _follow(child: int, parent: int) -> NoReturn:
    """Pass signals on to a child, and end as it does; ask it to end where our `parent` has."""
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

    for number in PASSED_ON:
        signal.signal(number, pass_on)
    signal.signal(signal.SIGALRM, lambda number, frame: os.kill(child, signal.SIGKILL))
    signal.signal(signal.SIGRTMIN, parent_ended)
    die_with_parent(signal.SIGRTMIN, parent)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, PASSED_ON)
    _, status = os.waitpid(child, 0)
    ended_by = os.WTERMSIG(status) if os.WIFSIGNALED(status) else None
    if ended_by is not None:
        if ended_by != signal.SIGKILL:
            signal.signal(ended_by, signal.SIG_DFL)
        os.kill(os.getpid(), ended_by)
    os._exit(os.waitstatus_to_exitcode(status))


HEARTBEAT = "MINDSSD_HEARTBEAT"
"""Names the file of a `Heartbeat`, in the environment of the process that writes into it."""
_HEARTBEAT_START = b"mindssd heartbeat\n"
"""By this a heartbeat's file is known: into no other is ever written."""


class Heartbeat:
    """A file that a process started with `environment` writes the time into as it works.

    The process does so by `beat`; `last` tells when it last did. No beat yet counts from now. The
    file lies in `folder`, which is nobody else's to write to.
    """

    def __init__(self, folder: Path, name: str) -> None:
        self._began = time.monotonic()
        self._file = folder / name
        # As long as it will be, so that a full disk stops no heart.
        self._file.write_bytes(_HEARTBEAT_START + struct.pack("d", 0.0))
        self.environment = {HEARTBEAT: str(self._file)}

    @property
    def begun(self) -> bool:
        """Whether the process has written at all."""
        return self._time() > 0

    def last(self) -> float:
        """On the clock of `time.monotonic`, which all processes of a machine share."""
        return self._time() or self._began

    def _time(self) -> float:
        (seconds,) = struct.unpack("d", self._file.read_bytes()[len(_HEARTBEAT_START) :])
        return float(seconds)


def beat() -> None:
    """Tell the launcher, if one listens, that this process goes on.

    The variable may be stale, or somebody else's: what is not a heartbeat's file of this user is
    left alone. It is opened each time, for a descriptor that was kept may be another file by now.
    """
    path = os.environ.get(HEARTBEAT)
    if path is None:
        return
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:  # the launcher has gone, and its files with it
        return
    try:
        status = os.fstat(descriptor)
        ours = stat.S_ISREG(status.st_mode) and status.st_uid == os.geteuid()
        if ours and os.pread(descriptor, len(_HEARTBEAT_START), 0) == _HEARTBEAT_START:
            now = struct.pack("d", time.monotonic())
            os.pwrite(descriptor, now, len(_HEARTBEAT_START))
    finally:
        os.close(descriptor)

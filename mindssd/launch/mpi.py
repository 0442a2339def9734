"""A rank of OpenMPI's mpirun, which gets time to save when mpirun ends."""

import os
import signal
import sys
from types import FrameType
from typing import NoReturn

from mindssd.platform import die_with_parent

MPI_GRACE_S = 60
"""Once mpirun has ended, its ranks have so long to save and end."""

PASSED_ON = (signal.SIGINT, signal.SIGTERM)
"""The signals that a process passes on to the one that trains in its place."""


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
    die_with_parent(signal.SIGKILL, guard)
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

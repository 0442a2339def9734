"""What differs between systems: locks, memory, signals, usable cores, how a process forks and ends.

Everything works on Linux; each function says what is missing elsewhere.
"""

import ctypes
import errno
import os
import shlex
import signal
import socket
import stat
import subprocess
import sys
import threading

try:
    import fcntl
    import resource
except ImportError:  # Windows
    fcntl = resource = None  # type: ignore[assignment]

ENDING_SIGNALS = tuple(
    getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)
)
"""By Ctrl-C, by `kill` or a cluster's scheduler, by a terminal that closes (not on Windows)."""

HAS_LOCKS = fcntl is not None
"""Not on Windows, which instead lets nobody rename or remove a file that is open."""

BINARY = getattr(os, "O_BINARY", 0)
"""For `os.open`: Windows would end a text at the byte 26, and change the ends of its lines."""

OWN_LAUNCHER = "MINDSSD_LAUNCHER"
"""Set where mindssd itself has started the processes, and sees to their end."""

_SET_PARENT_DEATH_SIGNAL = 1


def as_typed(*words: object) -> str:
    """The words of a command as a shell takes them: in quotes where they hold spaces or marks."""
    texts = list(map(str, words))
    return subprocess.list2cmdline(texts) if os.name == "nt" else shlex.join(texts)


def is_hangup(number: int) -> bool:
    """Whether it is the signal of a terminal that closes."""
    return number == getattr(signal, "SIGHUP", None)


def available_cores() -> int:
    """The cores that this process may use, where the system tells; else all."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def peak_memory_mb() -> float | None:
    """The most memory that this process has had, in MB; None where the system does not tell."""
    if resource is None:
        return None
    # Linux counts in kB, macOS in bytes.
    unit = 1024 if sys.platform != "darwin" else 1
    return float(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 2**20)


def allow_open_files(count: int) -> int:
    """Raise this process's limit of open files to `count`, and give what it then is at least.

    Less than `count` where the system allows no more. Windows has no such limit.
    """
    if resource is None:
        return count
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY or soft >= count:
        return count
    allowed = count if hard == resource.RLIM_INFINITY else min(count, hard)
    resource.setrlimit(resource.RLIMIT_NOFILE, (allowed, hard))
    return int(allowed)


def lock(descriptor: int, wait: bool = True) -> None:
    """Keep a file from other processes that lock it, until it is closed or this process ends.

    BlockingIOError where another has it and we do not `wait`; another OSError on a system or file
    system without locks.
    """
    if fcntl is None:
        raise OSError(errno.ENOTSUP, os.strerror(errno.ENOTSUP))
    fcntl.flock(descriptor, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))


def reserve(descriptor: int, size: int) -> None:
    """Reserve room on the disk for a file's first `size` bytes.

    OSError where there is not so much, and on a system that knows no such thing, as Windows and
    macOS.
    """
    if not hasattr(os, "posix_fallocate"):
        raise OSError(errno.ENOTSUP, os.strerror(errno.ENOTSUP))
    os.posix_fallocate(descriptor, 0, size)


def why_not_private(status: os.stat_result) -> str | None:
    """Why others could have put something into this folder; None where they could not.

    The user's own folders and the system's are private unless others may write to them. On Windows,
    where a user's folders are his alone, each counts as private.
    """
    if not stat.S_ISDIR(status.st_mode):
        return "is no folder"
    if not hasattr(os, "geteuid"):
        return None
    if status.st_uid not in (os.geteuid(), 0):
        return f"belongs to another user (number {status.st_uid})"
    if status.st_mode & 0o022:
        return "may be written to by others"
    return None


def die_with_parent(number: int, parent: int | None = None) -> None:
    """Get a signal when the parent process ends, however it ends, so that none is left behind.

    With the id of that `parent`, also where it has ended before this was called. On Linux alone;
    elsewhere a killed launcher leaves its workers behind.
    """
    if sys.platform != "linux":
        return
    ctypes.CDLL(None).prctl(_SET_PARENT_DEATH_SIGNAL, number)
    if parent is not None and os.getppid() != parent:
        os.kill(os.getpid(), number)


def free_port() -> int:
    """A TCP port that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


_opencv_threads: list[int] = []
"""As many as OpenCV had, for each fork under way."""
_fork = threading.RLock()


def _stop_opencv_threads() -> None:
    """End OpenCV's threads before a fork, and wait until no other thread does so.

    Where one has the lock of their pool at that moment, as it has behind a call that has returned,
    the child's first call would wait for it for ever.
    """
    _fork.acquire()
    cv2 = sys.modules.get("cv2")
    threads = getattr(cv2, "getNumThreads", lambda: 0)()
    _opencv_threads.append(threads)
    if cv2 is not None and threads > 1:
        cv2.setNumThreads(1)


def _start_opencv_threads() -> None:
    """Let OpenCV start as many as before, in the parent."""
    threads = _opencv_threads.pop()
    if threads > 1:
        sys.modules["cv2"].setNumThreads(threads)
    _fork.release()


def _stay_in_one_opencv_thread() -> None:
    """Leave OpenCV in one thread, in the child: another thread may have been in the pool."""
    _opencv_threads.pop()
    _fork.release()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(
        before=_stop_opencv_threads,
        after_in_parent=_start_opencv_threads,
        after_in_child=_stay_in_one_opencv_thread,
    )

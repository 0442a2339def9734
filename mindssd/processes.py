"""What a process arranges with the one that started it: when it ends, and that it still works."""

import ctypes
import os
import signal
import struct
import tempfile
import time

_SET_PARENT_DEATH_SIGNAL = 1


def die_with_parent(number: int = signal.SIGKILL) -> None:
    """Get a signal when the parent process ends, however it ends, so that none is left behind."""
    ctypes.CDLL(None).prctl(_SET_PARENT_DEATH_SIGNAL, number)


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

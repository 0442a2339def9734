"""What a process asks of the system about itself."""

import ctypes
import signal

_SET_PARENT_DEATH_SIGNAL = 1


def die_with_parent() -> None:
    """Be killed when the parent process ends, however it ends: Linux's way to leave none behind."""
    ctypes.CDLL(None).prctl(_SET_PARENT_DEATH_SIGNAL, signal.SIGKILL)

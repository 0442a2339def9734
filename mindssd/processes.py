"""What a process asks of the system about itself."""

import ctypes
import signal

_SET_PARENT_DEATH_SIGNAL = 1


def die_with_parent(number: int = signal.SIGKILL) -> None:
    """Get a signal when the parent process ends, however it ends, so that none is left behind."""
    ctypes.CDLL(None).prctl(_SET_PARENT_DEATH_SIGNAL, number)

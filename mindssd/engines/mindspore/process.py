"""MindSpore inside another program: one thread at a time, no fork, and nothing is left changed.

This file imports no MindSpore.
"""

import ctypes
import os
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any

from mindssd.errors import EngineError

_RECURSION_LIMIT = 10_000
"""What its import sets for the process, for functions that call themselves to read a network."""

_lock = threading.RLock()

_process: int | None = None
"""The one that MindSpore was started in."""


@contextmanager
def calling() -> Iterator[None]:
    """Call MindSpore in this block, one thread after the other.

    MindSpore 2.10.0 ends the process where two threads call it at once. It has threads of its own,
    which a forked child lacks: there it would wait for ever, so it is an EngineError. Where nothing
    keeps it from that, it takes SIGINT with each graph that it runs, to end the process by SIGTERM;
    behind the block Ctrl-C is given back to whoever had it, and the rest is as it was too.
    """
    global _process
    if _process not in (None, os.getpid()):
        raise EngineError(
            "MindSpore was started in the parent of this forked process, and works in that alone: "
            "load detectors in the children only, or start these by multiprocessing's spawn"
        )
    with _lock:
        _process = os.getpid()
        handler = _interrupt_handler()
        paths, limit = list(sys.path), sys.getrecursionlimit()
        sys.setrecursionlimit(max(limit, _RECURSION_LIMIT))
        try:
            yield
        finally:
            sys.setrecursionlimit(limit)
            for path in sys.path[::-1]:
                if path not in paths and path.endswith("mindspore/graph"):
                    sys.path.remove(path)
            _set_interrupt_handler(handler)


_ACTION_BYTES = 256
"""At least as large as any system's `struct sigaction`."""


def _interrupt_handler() -> Any:
    """What the system does on SIGINT, of which Python knows only what it has set itself."""
    action = ctypes.create_string_buffer(_ACTION_BYTES)
    sigaction = _sigaction()
    return action if sigaction and sigaction(signal.SIGINT, None, action) == 0 else None


def _set_interrupt_handler(action: Any) -> None:
    sigaction = _sigaction()
    if sigaction and action is not None:
        sigaction(signal.SIGINT, action, None)


@cache
def _sigaction() -> Any:
    """The C library's function; None in a system without it."""
    try:
        return ctypes.CDLL(None).sigaction
    except (AttributeError, OSError, TypeError):
        return None

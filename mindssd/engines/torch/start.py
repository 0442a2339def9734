"""PyTorch's start in a process: how long its threads spin, which is read once, at its import.

This file imports no PyTorch, so that what that reads can be set before.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager

SPIN_COUNT = "3000"
"""So often a thread of libgomp looks whether the others are done before it sleeps.

Its own is 300,000, milliseconds at each of the hundreds of waits of a training step. Where other
work has the cores, a thread then spins for one that cannot run (`benchmarks/busy_cores.py`).
"""

_USERS_OWN = ("GOMP_SPINCOUNT", "OMP_WAIT_POLICY")
"""By either of these a user says how threads wait."""


@contextmanager
def short_spins() -> Iterator[None]:
    """For what is imported inside; afterwards the environment is what it was before."""
    if any(name in os.environ for name in _USERS_OWN):
        yield
        return
    os.environ["GOMP_SPINCOUNT"] = SPIN_COUNT
    try:
        yield
    finally:
        os.environ.pop("GOMP_SPINCOUNT", None)

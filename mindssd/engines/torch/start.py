"""PyTorch's import: how long its threads spin, which libgomp reads once, when it is loaded.

This file imports no PyTorch, so that what that reads can be set before.
"""

import os
import sys
import warnings
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
def importing() -> Iterator[None]:
    """Let PyTorch, imported inside, spin shortly, and silence no warnings of the whole process.

    Afterwards the environment is as before; children that another thread starts meanwhile have the
    setting too. Nothing is set where the user has said how threads wait, or PyTorch is imported.
    """
    with warnings.catch_warnings():
        if "torch" in sys.modules or any(name in os.environ for name in _USERS_OWN):
            yield
            return
        os.environ["GOMP_SPINCOUNT"] = SPIN_COUNT
        try:
            yield
        finally:
            if os.environ.get("GOMP_SPINCOUNT") == SPIN_COUNT:
                del os.environ["GOMP_SPINCOUNT"]

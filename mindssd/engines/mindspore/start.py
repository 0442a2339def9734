"""MindSpore's start in a process: its settings hold for the import alone; nothing is left changed.

This file imports no MindSpore at its top, so that what that reads at its import can be set before.
"""

import ctypes
import os
import sys
import warnings
from collections.abc import Collection
from pathlib import Path
from typing import TYPE_CHECKING

from mindssd.engines.mindspore.native import compiled
from mindssd.engines.mindspore.process import calling

if TYPE_CHECKING:
    from mindssd.engines.mindspore.engine import MindSporeEngine

SETTINGS = {
    # MindSpore 2.10.0's oneDNN takes a reference kernel for 3×3 convolutions on AVX-512 CPUs: a
    # training step takes 7 times longer. On other CPUs the setting changes nothing. It is read
    # once, when the first primitive is made.
    "ONEDNN_MAX_CPU_ISA": "AVX2",
    # Errors alone: its warnings are about its own internals. Read at the import.
    "GLOG_v": "3",
    # Its communication between processes says what it does in any case, but for this.
    "MS_SUBMODULE_LOG_v": "{DISTRIBUTED:3}",
}
"""What MindSpore is told by the environment, unless the user has told it otherwise."""


COMMUNICATION_S = "86400"
"""So long a process waits for the others, in seconds."""


def start_engine(device: str = "auto", training: bool = False) -> "MindSporeEngine":
    """Import and start MindSpore; afterwards the environment is what it was before.

    Its settings are for it alone: other libraries of the process read the same variables, and
    children inherit them. MindSpore sets some of its own too, as `LD_LIBRARY_PATH`, and
    `OMP_NUM_THREADS=1` behind Python's back. Where it computes on another device than the CPU its
    own stay, for the compilers that it starts.
    """
    _leave_interrupts_alone()
    if training:
        # Read at the first collective operation. MindSpore 2.10.0's on a CPU else fail after 30 s,
        # as where the others wait while rank 0 scores; who hangs is the launcher's to find out.
        os.environ.setdefault("MS_CPU_COMM_OP_TIMEOUT", COMMUNICATION_S)
    with calling(), warnings.catch_warnings():
        before = _environment()
        apply_settings()
        its_own_stay = False
        try:
            from mindssd.engines.mindspore.engine import MindSporeEngine

            engine = MindSporeEngine(device, training)
            its_own_stay = engine.device != "CPU"
            return engine
        finally:
            _restore(before, SETTINGS if its_own_stay else None)


def _restore(before: dict[str, str], names: Collection[str] | None) -> None:
    """Put the environment back as it was, or only `names` of it if given."""
    for name in dict(before.items() ^ _environment().items()):
        if names is not None and name not in names:
            continue
        if name in before:
            os.environ[name] = before[name]
        else:
            os.environ.pop(name, None)
            os.unsetenv(name)


def apply_settings() -> None:
    """Set the variables that MindSpore reads at its import and its first primitive."""
    for name, value in SETTINGS.items():
        os.environ.setdefault(name, value)


def _leave_interrupts_alone() -> None:
    """Load what keeps MindSpore from SIGINT before MindSpore itself, where it can be compiled."""
    if "mindspore" in sys.modules:  # too late: the program has imported it
        return
    library = compiled(Path(__file__).with_name("interrupts.c"))
    if library is not None:
        ctypes.CDLL(str(library), ctypes.RTLD_GLOBAL)


def _environment() -> dict[str, str]:
    """The variables that children inherit, also those that a library has set without Python."""
    try:
        variables = ctypes.POINTER(ctypes.c_char_p).in_dll(ctypes.CDLL(None), "environ")
    except (OSError, TypeError, ValueError):  # another C library
        return dict(os.environ)
    entries: list[tuple[str, str, str]] = []
    while entry := variables[len(entries)]:
        entries.append(os.fsdecode(entry).partition("="))
    return {name: value for name, _, value in entries}

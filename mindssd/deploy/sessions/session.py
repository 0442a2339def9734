"""An opened deployed file, and how its errors are reported, whatever runtime opens it."""

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from mindssd.deploy.manifest import INPUT, Manifest
from mindssd.errors import EngineError, WeightsError
from mindssd.types import Array

Forward = Callable[[Array], tuple[Array, ...]]
"""May be called from several threads at once."""


@dataclass(frozen=True)
class RuntimeSettings:
    """How to run a deployed file; the runtime decides what is None."""

    runtime: str | None = None
    """One of `opening.RUNTIMES`."""
    device: str | None = None
    """`CPU`, or a GPU's name as the runtime has it."""
    precision: str | None = None
    """What the arithmetic is done in, where the device can: OpenVINO alone offers a choice."""
    threads: int | None = None
    """By default as many as the cores that the process may use."""
    parallel: int = 1
    """Calls of `forward` that come at once, from so many threads, and share `threads`."""


@dataclass(frozen=True, eq=False)
class Session:
    """An opened file: `forward` takes images (B, 3, H, W) float32 and gives its outputs.

    EngineError, in one line, where the runtime fails.
    """

    manifest: Manifest
    forward: Forward
    description: str
    """Runtime, version, device and precision, for people."""
    is_shared: bool = False
    """Whether `parallel` calls run side by side, each on cores of its own."""


@contextmanager
def faults(path: Path, runtime: str) -> Iterator[None]:
    """Tell a fault of a runtime in one line: its errors have no base of their own."""
    try:
        yield
    except Exception as error:
        limit = os.environ.get("ONEDNN_MAX_CPU_ISA")
        hint = ""
        if limit and "OpenVINO" in runtime:
            hint = f"; ONEDNN_MAX_CPU_ISA={limit} is set: try without it"
        raise EngineError(f"{path}: {runtime} fails ({_in_a_line(error)}){hint}") from error


class Calls:
    """The calls of a runtime that threads of this process, or of the one before a fork, are in.

    A forked process can run it, but not if another thread of the parent ran it at that moment: what
    that had in hand is never let go of.
    """

    def __init__(self, runtime: str) -> None:
        self._runtime = runtime
        self._under_way: list[object] = []
        self._process = os.getpid()

    @contextmanager
    def one(self, path: Path, name: str = "") -> Iterator[None]:
        """What the runtime does in this block, with `name` in its errors.

        EngineError, in one line, where it fails or would hang.
        """
        if os.getpid() != self._process:
            if self._under_way:
                raise EngineError(
                    f"{path}: this process was forked while another thread ran {self._runtime}, "
                    "and it would wait for that for ever; start children by multiprocessing's spawn"
                )
            self._process = os.getpid()
        call = object()
        self._under_way.append(call)
        try:
            with faults(path, name or self._runtime):
                yield
        finally:
            self._under_way.remove(call)


def refused(path: Path, runtime: str, error: Exception) -> WeightsError:
    """What to raise where a runtime does not take a file."""
    return WeightsError(f"{path}: {runtime} cannot open it ({_in_a_line(error)}); export it again")


def _in_a_line(error: Exception) -> str:
    """The last line of what a runtime says, which names the cause, if that is not too long."""
    lines = [line for line in map(str.strip, str(error).splitlines()) if line]
    return lines[-1][:200] if lines else repr(error)


def require_interface(
    path: Path, manifest: Manifest, inputs: Sequence[str], outputs: Sequence[str]
) -> None:
    """Check a graph's inputs and outputs against what the file says of itself."""
    expected = list(manifest.postprocess().output_shapes(len(manifest.metadata.class_names)))
    if list(inputs) != [INPUT] or list(outputs) != expected:
        raise WeightsError(
            f"{path}: takes {', '.join(inputs)} and gives {', '.join(outputs)}; expected {INPUT} "
            f"and {', '.join(expected)}: its graph was changed, export it again"
        )

"""C sources of the engine, compiled on the machine that they run on, once."""

import ctypes
import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
from functools import cache
from pathlib import Path

from mindssd.errors import EngineError, MindSSDError
from mindssd.files import CACHE_VARIABLE, cache_dir, private_folder

FLAGS = (
    *("-O3", "-march=native", "-std=gnu11", "-shared", "-fPIC", "-pthread"),
    # What of -ffast-math lets sums be taken in parallel. All of it would, by some linkers, change
    # how the whole process rounds.
    *("-fno-math-errno", "-fno-trapping-math", "-fno-signed-zeros", "-fassociative-math"),
)
COMPILE_S = 60


def compiler() -> list[str] | None:
    """The C compiler's command: `CC` with its options, or the first of cc, gcc, clang on PATH."""
    chosen = os.environ.get("CC", "")
    for words in ([chosen], chosen.split(), ["cc"], ["gcc"], ["clang"]):
        found = shutil.which(words[0]) if words else None
        if found:
            return [found, *words[1:]]
    return None


@cache
def compiled(source: Path, loss: str = "") -> Path | None:
    """The shared library of a C file, from the cache or made now; None where none can be made.

    What goes wrong is told with its `loss`, or not at all where it has none worth telling.
    The cache tells apart sources, compilers and processors, so that it may lie in a home folder
    that machines share. A library that this process cannot load is made again, once.
    """
    command = compiler()
    if command is None:
        return None
    try:
        name = f"{source.stem}-{_fingerprint(source, command)}.so"
        folder = cache_dir() / "kernels"
        if ":" in str(folder):  # MindSpore's `Custom` takes "PATH:FUNCTION"
            raise EngineError(f"{folder} has a colon in its path")
        library = private_folder(folder) / name  # for it is run
        if not _loads(library):
            _compile(source, command, library)
            ctypes.CDLL(str(library))
    except (MindSSDError, OSError, subprocess.SubprocessError) as error:
        if loss:
            print(
                f"mindssd: {source.name} was not compiled ({_reason(error)}), so {loss}; CC names "
                f"a C compiler, {CACHE_VARIABLE} a folder for its work",
                file=sys.stderr,
            )
        return None
    return library


def _loads(library: Path) -> bool:
    """Whether it is there and whole, and lies where programs may run from."""
    try:
        ctypes.CDLL(str(library))
    except OSError:
        return False
    return True


def _compile(source: Path, command: list[str], library: Path) -> None:
    """Put the library in its place whole, whatever other processes do there meanwhile."""
    with tempfile.TemporaryDirectory(dir=library.parent) as part:
        made = Path(part) / library.name
        subprocess.run(
            [*command, *FLAGS, str(source), "-o", str(made)],
            check=True,
            capture_output=True,
            timeout=COMPILE_S,
        )
        with made.open("rb") as file:
            os.fsync(file.fileno())  # half a library, after a power cut, would kill who loads it
        made.replace(library)


def _reason(error: Exception) -> str:
    """One line of what went wrong: a compiler's first complaint, not the caret under its last."""
    said = getattr(error, "stderr", None) or str(error).encode()
    lines = said.decode(errors="replace").strip().splitlines() or [repr(error)]
    return next((line for line in lines if "error" in line or "failed" in line), lines[-1]).strip()


def _fingerprint(source: Path, command: list[str]) -> str:
    """A digest of all that decides what the library is."""
    digest = hashlib.sha256(source.read_bytes())
    version = subprocess.run([*command, "--version"], check=True, capture_output=True, timeout=10)
    digest.update(version.stdout)
    digest.update(" ".join([*command[1:], *FLAGS]).encode())
    processor = Path("/proc/cpuinfo")
    if processor.exists():  # the first one's lines that name what it can do
        lines = processor.read_text().split("\n\n")[0].splitlines()
        digest.update(
            "".join(li for li in lines if li.startswith(("model name", "flags"))).encode()
        )
    return digest.hexdigest()[:16]

"""C sources of the engine, compiled on the machine that they run on, once."""

import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
from functools import cache
from pathlib import Path

from mindssd.files import cache_dir

FLAGS = (
    *("-O3", "-march=native", "-std=gnu11", "-shared", "-fPIC", "-pthread"),
    # What of -ffast-math lets sums be taken in parallel. All of it would, by some linkers, change
    # how the whole process rounds.
    *("-fno-math-errno", "-fno-trapping-math", "-fno-signed-zeros", "-fassociative-math"),
)
COMPILE_S = 60


def compiler() -> str | None:
    """The C compiler of this machine: `CC`, or the first of cc, gcc and clang on PATH."""
    for name in (os.environ.get("CC"), "cc", "gcc", "clang"):
        found = shutil.which(name) if name else None
        if found:
            return found
    return None


@cache
def compiled(source: Path) -> Path | None:
    """The shared library of a C file, from the cache or made now; None where none can be made.

    The cache tells apart sources, compilers and processors, so that it may lie in a home folder
    that machines share.
    """
    command = compiler()
    if command is None:
        return None
    try:
        name = f"{source.stem}-{_fingerprint(source, command)}.so"
        folder = cache_dir() / "native"
        library = folder / name
        if not library.exists():
            folder.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryDirectory(dir=folder) as part:
                made = Path(part) / name
                subprocess.run(
                    [command, *FLAGS, str(source), "-o", str(made)],
                    check=True,
                    capture_output=True,
                    timeout=COMPILE_S,
                )
                made.replace(library)
    except (OSError, subprocess.SubprocessError) as error:
        words = getattr(error, "stderr", None) or str(error).encode()
        last = words.decode(errors="replace").strip().splitlines()[-1:]
        print(f"mindssd: {source.name} was not compiled ({''.join(last)})", file=sys.stderr)
        return None
    return library


def _fingerprint(source: Path, command: str) -> str:
    """Of all that decides what the library is."""
    digest = hashlib.sha256(source.read_bytes())
    version = subprocess.run([command, "--version"], check=True, capture_output=True, timeout=10)
    digest.update(version.stdout)
    digest.update(" ".join(FLAGS).encode())
    processor = Path("/proc/cpuinfo")
    if processor.exists():  # the first one's lines that name what it can do
        lines = processor.read_text().split("\n\n")[0].splitlines()
        digest.update(
            "".join(li for li in lines if li.startswith(("model name", "flags"))).encode()
        )
    return digest.hexdigest()[:16]

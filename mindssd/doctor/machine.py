"""Checks of this machine: Python, cores, memory, instructions, disk."""

import os
import platform
import re
import shutil
from importlib import metadata
from pathlib import Path

from packaging.specifiers import SpecifierSet

from mindssd.doctor.finding import Finding, Level
from mindssd.platform import available_cores


def check_python(version: tuple[int, ...]) -> list[Finding]:
    """Whether this Python is one that mindssd is made for."""
    text = f"{'.'.join(map(str, version))} on {platform.platform()}"
    wanted = metadata.metadata("mindssd")["Requires-Python"] or ""
    if not SpecifierSet(wanted).contains(".".join(map(str, version))):
        way_out = f"make an environment with Python {wanted}"
        return [Finding("problem", "Python", f"{text}; expected {wanted}", way_out)]
    return [Finding("ok", "Python", text)]


def check_machine(root: Path = Path("/")) -> list[Finding]:
    """Cores, memory and instruction set, as far as Linux tells (`root` for tests)."""
    findings = []
    total = os.cpu_count() or 1
    usable = available_cores()
    text = f"{usable} of {total} usable"
    quota = _read(root / "sys/fs/cgroup/cpu.max").split()
    if len(quota) == 2 and quota[0] != "max":
        text += f", limited to {int(quota[0]) / int(quota[1]):.1f} by the container"
    findings.append(Finding("ok", "cores", text))
    findings += _check_memory(root)
    findings += _check_onednn(root)
    return findings


def _read(path: Path) -> str:
    try:
        return path.read_text()
    except OSError:
        return ""


def _check_memory(root: Path) -> list[Finding]:
    numbers = dict(re.findall(r"^(\w+):\s+(\d+) kB$", _read(root / "proc/meminfo"), re.MULTILINE))
    if "MemAvailable" not in numbers:
        return []
    total, free = (int(numbers[key]) / 1e6 for key in ("MemTotal", "MemAvailable"))
    text = f"{free:.1f} of {total:.1f} GB free"
    limit = _read(root / "sys/fs/cgroup/memory.max").strip()
    if limit.isdigit():
        free = min(free, int(limit) / 1e9)
        text += f", limited to {int(limit) / 1e9:.1f} GB by the container"
    if free < 4:
        way_out = "end other programs, or train with a smaller batch_size"
        return [Finding("warning", "memory", f"{text}; training takes about 4 GB", way_out)]
    return [Finding("ok", "memory", text)]


def _check_onednn(root: Path) -> list[Finding]:
    """MindSpore 2.10.0's oneDNN takes a reference kernel for 3 by 3 convolutions on AVX-512."""
    flags = re.search(r"^flags\s*:(.*)$", _read(root / "proc/cpuinfo"), re.MULTILINE)
    if flags is None or "avx512f" not in flags[1].split():
        return []
    variable = "ONEDNN_MAX_CPU_ISA"
    chosen = os.environ.get(variable, "")
    if "512" in chosen or chosen in ("DEFAULT", "ALL"):
        return [
            Finding(
                "warning",
                "AVX-512",
                f"{variable}={chosen}: a training step takes 7 times longer than with AVX2",
                f"unset {variable}; mindssd then sets it to AVX2",
            )
        ]
    set_by = f"as you set {variable}={chosen}" if chosen else f"mindssd sets {variable}=AVX2"
    return [Finding("ok", "AVX-512", f"not used for convolutions, {set_by}: 7 times faster")]


def check_disk(folder: Path, shared: Path = Path("/dev/shm")) -> list[Finding]:
    """Room for runs in `folder`, and for the loader's workers in shared memory."""
    free = shutil.disk_usage(folder).free / 1e9
    text = f"{free:.1f} GB free in {folder}"
    way_out = "free some, or run from a folder on another disk; a run takes about 0.3 GB"
    if free < 2:
        level: Level = "problem" if free < 0.3 else "warning"
        findings = [Finding(level, "disk", text, way_out)]
    else:
        findings = [Finding("ok", "disk", text)]
    if shared.is_dir():
        size = shutil.disk_usage(shared).total / 1e9
        text = f"{size:.1f} GB at {shared}"
        if size < 0.5:
            way_out = "in a container: docker run --shm-size=2g; else fewer loader workers"
            text += "; the loader's workers hand over batches there and may die for lack of it"
            findings.append(Finding("warning", "shared", text, way_out))
        else:
            findings.append(Finding("ok", "shared", text))
    return findings

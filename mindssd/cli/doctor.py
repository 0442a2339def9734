"""`mindssd doctor`: is this machine, installation and data set fit for work, and if not, why."""

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

Level = Literal["ok", "warning", "problem"]

ENGINES = ("mindspore", "torch")
"""The extras that bring an engine."""


@dataclass(frozen=True)
class Finding:
    """One line of the report."""

    level: Level
    subject: str
    text: str
    way_out: str = ""


def doctor(
    words: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="data_dir=PATH",
            help="A data set in COCO 2017's layout to look at as well.",
            show_default=False,
        ),
    ] = None,
    timeout: Annotated[
        float, typer.Option(help="Seconds that an engine may take to start and compute.")
    ] = 120.0,
) -> None:
    """Look at the machine, the installation and, if asked, a data set.

    Each line is ok, a warning (it works, but slowly or at a risk) or a problem,
    with the way out below it. The exit status is 1 if there is a problem. Run it
    first on a new machine, and put its output into a report of a fault.

    `mindssd doctor data_dir=PATH` looks at a data set in COCO 2017's layout too.
    """
    data_dir = _data_dir(words or [])
    num_problems = 0
    for finding in _all_findings(data_dir, timeout):
        _print(finding)
        num_problems += finding.level == "problem"
    if num_problems:
        raise typer.Exit(1)


def _data_dir(words: Sequence[str]) -> Path | None:
    from mindssd.errors import ConfigError

    if not words:
        return None
    key, separator, value = words[0].partition("=")
    if len(words) > 1 or (separator and key != "data_dir"):
        raise ConfigError(f"`mindssd doctor {' '.join(words)}`: expected data_dir=PATH and no more")
    return Path(value if separator else key).expanduser()


def _all_findings(data_dir: Path | None, timeout: float) -> Iterator[Finding]:
    """Yield line by line, so that the slow ones do not hold back the quick ones."""
    yield from _guarded("Python", lambda: check_python(sys.version_info[:3]))
    yield from _guarded("machine", check_machine)
    yield from _guarded("disk", lambda: check_disk(Path.cwd()))
    yield from _guarded("packages", check_packages)
    yield from _guarded("MindSpore", lambda: check_mindspore(timeout))
    yield from _guarded("PyTorch", lambda: check_torch(timeout))
    if data_dir is not None:
        yield from _guarded("data", lambda: check_data(data_dir))


def _guarded(subject: str, check: Callable[[], list[Finding]]) -> list[Finding]:
    """A machine odd enough to break a check is exactly the one whose other lines are needed."""
    try:
        return check()
    except Exception as error:
        return [Finding("problem", subject, f"cannot be checked: {error!r}")]


def _print(finding: Finding) -> None:
    from rich.console import Console
    from rich.text import Text

    colours = {"ok": "green", "warning": "yellow", "problem": "bold red"}
    line = Text.assemble(
        (f"{finding.level:<8}", colours[finding.level]), f"{finding.subject:<11}{finding.text}"
    )
    console = Console()
    console.print(line, soft_wrap=True)
    if finding.way_out:
        console.print(Text(f"{'':<19}→ {finding.way_out}"), soft_wrap=True)


def check_python(version: tuple[int, ...]) -> list[Finding]:
    """Whether this Python is one that mindssd and MindSpore are made for."""
    import platform

    text = f"{'.'.join(map(str, version))} on {platform.platform()}"
    wanted = metadata.metadata("mindssd")["Requires-Python"] or ""
    if not _satisfies(".".join(map(str, version)), wanted):
        way_out = f"make an environment with Python {wanted}"
        return [Finding("problem", "Python", f"{text}; expected {wanted}", way_out)]
    return [Finding("ok", "Python", text)]


def check_machine(root: Path = Path("/")) -> list[Finding]:
    """Cores, memory and instruction set, as far as Linux tells (`root` for tests)."""
    findings = []
    total = os.cpu_count() or 1
    usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else total
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


def check_packages(requirements: Sequence[str] | None = None) -> list[Finding]:
    """What mindssd and the engines that are here require against what is installed.

    An engine of which nothing is installed is not missed, unless there is no other.
    """
    if requirements is None:
        requirements = metadata.requires("mindssd") or []
    findings, fitting = [], []
    parsed = [wanted for wanted in map(_parse_requirement, requirements) if wanted is not None]
    engines = {extra for name, _, extra in parsed if extra in ENGINES and _is_installed(name)}
    for name, specifiers, extra in parsed:
        if extra in ENGINES and engines and extra not in engines:
            continue
        install = (
            f"pip install 'mindssd[{extra}]'" if extra else f"pip install '{name}{specifiers}'"
        )
        try:
            version = metadata.version(name)
        except metadata.PackageNotFoundError:
            findings.append(Finding("problem", "package", f"{name} is not installed", install))
            continue
        if _satisfies(version, specifiers):
            fitting.append(f"{name} {version}")
        else:
            install = f"pip install '{name}{specifiers}'"
            text = f"{name} {version}; expected {specifiers}"
            findings.append(Finding("problem", "package", text, install))
    if fitting:
        findings.insert(0, Finding("ok", "packages", ", ".join(fitting)))
    return findings


def _is_installed(name: str) -> bool:
    try:
        metadata.version(name)
    except metadata.PackageNotFoundError:
        return False
    return True


def _parse_requirement(requirement: str) -> tuple[str, str, str] | None:
    """`numpy<2,>=1.26` to (name, specifiers, extra); None for tests' and developers' extras."""
    text, _, marker = requirement.partition(";")
    found = re.search(r"extra == [\"'](\w+)[\"']", marker)
    extra = found[1] if found else ""
    if extra not in ("", "train", *ENGINES) or text.startswith("mindssd["):
        return None
    parts = re.fullmatch(r"\s*([\w.-]+)\s*\(?([^)]*)\)?\s*", text)
    return (parts[1], parts[2].replace(" ", ""), extra) if parts else None


def _satisfies(version: str, specifiers: str) -> bool:
    """Whether a version fits specifiers like `>=1.26,<2`, by its leading numbers."""
    ours = _numbers(version)
    for operator, text in re.findall(r"(==|!=|>=|<=|<|>|~=)\s*([\w.]+)", specifiers):
        theirs = _numbers(text)
        width = max(len(ours), len(theirs))
        a, b = (numbers + (0,) * (width - len(numbers)) for numbers in (ours, theirs))
        fits = {
            "==": a == b,
            "!=": a != b,
            ">=": a >= b,
            "<=": a <= b,
            "<": a < b,
            ">": a > b,
            "~=": a >= b and a[: len(theirs) - 1] == b[: len(theirs) - 1],
        }
        if not fits[operator]:
            return False
    return True


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(number) for number in re.findall(r"\d+", re.split(r"[a-z+]", version)[0]))


# In a process of its own: MindSpore may hang or end the process where its device is at fault.
MINDSPORE_PROBE = """
import json, os, sys, time
start = time.perf_counter()
from mindssd.engines.mindspore.process import start_engine
device = start_engine().device
import mindspore as ms
from mindssd.engines.mindspore import runtime
from mindssd.engines.mindspore.depthwise import SOURCE
from mindssd.engines.mindspore.native import compiled
imported = time.perf_counter() - start
x = ms.Tensor([[1.0, 2.0], [3.0, 4.0]])
right = ms.ops.matmul(x, x).asnumpy().tolist() == [[7.0, 10.0], [15.0, 22.0]]
print("\\nmindssd-doctor " + json.dumps({
    "version": ms.__version__, "devices": runtime.available_devices(), "device": device,
    "depthwise": compiled(SOURCE) is not None, "import_s": imported,
    "total_s": time.perf_counter() - start, "right": right}))
sys.stdout.flush()
os._exit(0)
"""


TORCH_PROBE = """
import json, os, sys, time
start = time.perf_counter()
from mindssd.engines.torch.runtime import Runtime, available_devices
import torch
imported = time.perf_counter() - start
runtime = Runtime()
x = torch.tensor([[1.0, 2.0], [3.0, 4.0]], device=runtime.device)
right = (x @ x).tolist() == [[7.0, 10.0], [15.0, 22.0]]
print("\\nmindssd-doctor " + json.dumps({
    "version": torch.__version__, "devices": available_devices(), "device": runtime.describe(),
    "import_s": imported, "total_s": time.perf_counter() - start, "right": right}))
"""


def check_mindspore(timeout: float, command: Sequence[str] | None = None) -> list[Finding]:
    """Import MindSpore in another process and multiply two matrices on the device it finds.

    `command` stands in for that process in tests.
    """
    findings, found = _probe("MindSpore", "mindspore", MINDSPORE_PROBE, timeout, command)
    if found.get("device") == "CPU" and not found["depthwise"] and found["right"]:
        text = "no C compiler works here: a MobileNet trains at about half the rate"
        findings.append(Finding("warning", "compiler", text, "apt install gcc, or set CC"))
    return findings


def check_torch(timeout: float, command: Sequence[str] | None = None) -> list[Finding]:
    """The same of PyTorch."""
    return _probe("PyTorch", "torch", TORCH_PROBE, timeout, command)[0]


def _probe(
    subject: str, package: str, program: str, timeout: float, command: Sequence[str] | None
) -> tuple[list[Finding], dict[str, Any]]:
    """Run a probe in a process of its own: the findings, and what it told of itself."""
    from importlib.util import find_spec

    if command is None:
        if find_spec(package) is None:
            return [], {}  # already told as a missing package, if it is missed
        command = [sys.executable, "-c", program]
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, errors="replace", timeout=timeout, check=False
        )
    except subprocess.TimeoutExpired:
        text = f"does not start and compute within {timeout:g} s"
        way_out = "a busy machine may need more: --timeout 600; else check the device's driver"
        return [Finding("problem", subject, text, way_out)], {}
    except OSError as error:
        return [Finding("problem", subject, f"cannot be started: {error}")], {}
    answer = re.search(r"^mindssd-doctor (\{.*\})$", done.stdout, re.MULTILINE)
    if answer is None:
        lines = [line.strip() for line in done.stderr.splitlines() if line.strip()]
        reason = lines[-1] if lines else f"exit status {done.returncode}"
        way_out = f"pip install 'mindssd[{package}]' in a fresh environment of Python 3.11"
        return [Finding("problem", subject, f"does not work: {reason}", way_out)], {}
    found: dict[str, Any] = json.loads(answer[1])
    text = (
        f"{found['version']} imported in {found['import_s']:.1f} s; devices: "
        f"{', '.join(found['devices'])}; computes on {found['device']}"
    )
    if not found["right"]:
        way_out = f"train with another device than {found['device']}, and check its driver"
        return [Finding("problem", subject, f"{text}, but wrongly", way_out)], found
    return [Finding("ok", subject, text)], found


def check_data(data_dir: Path) -> list[Finding]:
    """Both splits of a data set: layout, annotations, image files, their sizes and classes."""
    from mindssd.data.check import printable
    from mindssd.data.dataset import DetectionDataset
    from mindssd.data.formats.coco import load_coco_split
    from mindssd.data.splits import paired, require_boxes
    from mindssd.errors import MindSSDError

    findings: list[Finding] = []
    together: list[Finding] = []
    datasets: dict[str, DetectionDataset] = {}
    for split in ("train", "val"):
        try:
            datasets[split] = load_coco_split(data_dir, split)
        except MindSSDError as error:
            findings.append(Finding("problem", f"data {split}", str(error)))
    try:
        if "train" in datasets:
            require_boxes(datasets["train"])
        if len(datasets) > 1:
            datasets["val"] = paired(datasets["train"], datasets["val"])
    except MindSSDError as error:
        together.append(Finding("problem", "data", str(error)))
    for split, dataset in datasets.items():
        report = dataset.report
        shown = printable(", ".join(dataset.class_names[:5])) + (
            ", …" if len(dataset.class_names) > 5 else ""
        )
        text = (
            f"{report.num_images} images, {report.num_boxes} boxes, "
            f"{len(dataset.class_names)} classes ({shown})"
        )
        findings.append(Finding("ok" if report.num_boxes else "warning", f"data {split}", text))
        findings += [Finding("warning", f"data {split}", str(fault)) for fault in report.findings]
    return findings + together

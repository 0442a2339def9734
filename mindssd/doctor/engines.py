"""Checks that the installed engines start and compute."""

import json
import re
import subprocess
import sys
from collections.abc import Sequence
from importlib.util import find_spec
from typing import Any

from mindssd.doctor.finding import Finding

# In a process of its own: MindSpore may hang or end the process where its device is at fault.
MINDSPORE_PROBE = """
import json, os, sys, time
start = time.perf_counter()
from mindssd.engines.mindspore.start import start_engine
device = start_engine().device
import mindspore as ms
from mindssd.engines.mindspore import device as runtime
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
from mindssd.engines.torch.device import Runtime, available_devices
import torch
imported = time.perf_counter() - start
runtime = Runtime()
x = torch.tensor([[1.0, 2.0], [3.0, 4.0]], device=runtime.device)
right = (x @ x).tolist() == [[7.0, 10.0], [15.0, 22.0]]
print("\\nmindssd-doctor " + json.dumps({
    "version": torch.__version__, "devices": available_devices(), "device": runtime.describe(),
    "import_s": imported, "total_s": time.perf_counter() - start, "right": right}))
"""


PYTHONS = {"mindspore": "3.11 or 3.12", "torch": "3.11 to 3.13"}
"""For which there are wheels."""


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
        way_out = (
            f"pip install 'mindssd[{package}]' in a fresh environment of Python {PYTHONS[package]}"
        )
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

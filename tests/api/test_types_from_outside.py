"""The functions have types for whoever imports the package: by mypy, on programs of users."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("mypy")
pytestmark = pytest.mark.slow

HERE = Path(__file__).parent
BENEATH = ("torch", "mindspore", "openvino", "onnx", "onnxruntime", "fastapi", "starlette")
"""What the package stands on and no program sees; mypy would read it for most of its time."""


def test_a_users_program_passes_mypy_strict_and_a_wrong_one_does_not(tmp_path: Path) -> None:
    """By the package's annotations alone: with no settings of ours but where it lies."""
    settings = tmp_path / "mypy.ini"
    skipped = ",".join(f"{name}.*" for name in BENEATH)
    settings.write_text(
        f"[mypy]\nstrict = true\nmypy_path = {HERE.parents[1]}\n"
        f"[mypy-{skipped}]\nfollow_imports = skip\n",
        encoding="utf-8",
    )
    options = ["--config-file", settings, "--cache-dir", tmp_path / "cache"]
    words = [*options, "--follow-imports=silent", HERE / "user.py", HERE / "wrong.py"]
    done = subprocess.run(
        [sys.executable, "-m", "mypy", *map(str, words)],
        capture_output=True,
        text=True,
        check=False,
    )
    found = re.findall(r"^.*?(\w+)\.py:(\d+): error", done.stdout, re.MULTILINE)
    lines = (HERE / "wrong.py").read_text(encoding="utf-8").splitlines()
    wrong = [number for number, line in enumerate(lines, 1) if line.endswith("# wrong")]
    assert {(name, int(line)) for name, line in found} == {("wrong", line) for line in wrong}, (
        done.stdout + done.stderr
    )

"""`mindssd doctor` says what is in the way, and how out of it."""

import json
import subprocess
import sys
from collections import namedtuple
from importlib.util import find_spec

import numpy as np
import pytest
import typer
from typer.testing import CliRunner

from mindssd.cli.doctor import doctor
from mindssd.doctor import checks
from mindssd.doctor.data import check_data
from mindssd.doctor.engines import check_mindspore
from mindssd.doctor.finding import Finding
from mindssd.doctor.machine import check_disk, check_machine, check_python
from mindssd.doctor.packages import check_packages
from mindssd.errors import ConfigError

Usage = namedtuple("Usage", "total used free")


def _levels(findings):
    return [finding.level for finding in findings]


def _print_command(text, status=0):
    return [sys.executable, "-c", f"print({text!r}); raise SystemExit({status})"]


@pytest.fixture
def run(monkeypatch):
    """Run the command without MindSpore."""
    monkeypatch.setattr(checks, "check_mindspore", lambda timeout: [])
    app = typer.Typer()
    app.command()(doctor)
    return lambda *words: CliRunner().invoke(app, list(words))


def test_the_exit_status_tells_whether_there_is_a_problem(run, monkeypatch):
    for level, status in (("ok", 0), ("warning", 0), ("problem", 1)):
        finding = Finding(level, "disk", "almost full", "free some")
        monkeypatch.setattr(checks, "all_findings", lambda *_, finding=finding: iter([finding]))
        done = run()
        assert done.exit_code == status
        assert done.output.splitlines() == [
            f"{level:<8}disk       almost full",
            "                   → free some",
        ]


def test_a_check_that_fails_is_a_line_and_no_traceback(run, monkeypatch):
    def broken():
        raise RuntimeError("odd machine")

    monkeypatch.setattr(checks, "check_machine", broken)
    done = run()
    assert done.exit_code == 1
    assert "problem machine    cannot be checked: RuntimeError('odd machine')" in done.output
    assert "disk" in done.output


def test_one_data_set_and_nothing_else_can_be_asked_for(run):
    for words in (["data_dri=x"], ["a", "b"]):
        done = run(*words)
        assert isinstance(done.exception, ConfigError)
        assert "expected data_dir=PATH" in str(done.exception)


def test_another_python_is_a_problem_with_a_way_out():
    for version in ((3, 11, 7), (3, 12, 1), (3, 13, 0)):
        assert _levels(check_python(version)) == ["ok"]
    (finding,) = check_python((3, 14, 0))
    assert finding.level == "problem"
    assert finding.way_out == "make an environment with Python <3.14,>=3.11"


def test_a_pin_that_is_violated_names_both_versions_and_the_command():
    findings = check_packages(
        [
            "rich>=13",
            "numpy<1,>=0.1",
            'nothing-of-that-name>=1; extra == "mindspore"',
            'pytest<1; extra == "test"',  # of no concern to a user
        ]
    )
    assert _levels(findings) == ["ok", "problem", "problem"]
    assert findings[0].text.startswith("rich ")
    assert (
        findings[1].text.startswith(f"numpy {np.__version__}")
        and "expected <1,>=0.1" in findings[1].text
    )
    assert findings[1].way_out == "pip install 'numpy<1,>=0.1'"
    assert findings[2].text == "nothing-of-that-name is not installed"
    assert findings[2].way_out == "pip install 'mindssd[mindspore]'"


def test_what_an_engine_asks_of_numpy_is_no_sign_of_the_engine():
    asked = ["numpy>=1", "absent-engine>=1; extra == 'mindspore'", "numpy<1; extra == 'mindspore'"]
    findings = check_packages([*asked, "pytest; extra == 'torch'"])  # stands for PyTorch
    assert _levels(findings) == ["ok"]
    missed = {finding.text for finding in check_packages(asked) if finding.level != "ok"}
    assert missed == {"absent-engine is not installed"}


def test_this_environment_keeps_its_own_pins():
    engines = ("mindspore", "mindcv", "torch")
    missing = {f"{name} is not installed" for name in engines if find_spec(name) is None}
    problems = {finding.text for finding in check_packages() if finding.level != "ok"}
    assert problems <= missing  # told where there is no engine at all


def _machine(root, **files):
    for name, content in files.items():
        path = root / name.replace("__", "/")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)
    return {finding.subject: finding for finding in check_machine(root)}


def test_memory_is_what_the_container_leaves_of_it(tmp_path):
    meminfo = "MemTotal:       16000000 kB\nMemAvailable:    8000000 kB\n"
    assert _machine(tmp_path, proc__meminfo=meminfo)["memory"].text == "8.0 of 16.0 GB free"
    limit = tmp_path / "sys/fs/cgroup/memory.max"
    limit.parent.mkdir(parents=True)
    limit.write_text("2000000000\n")
    memory = _machine(tmp_path)["memory"]
    assert memory.level == "warning"
    assert "limited to 2.0 GB by the container" in memory.text
    limit.write_text("max\n")
    assert _machine(tmp_path)["memory"].level == "ok"


def test_a_machine_that_tells_nothing_still_has_cores(tmp_path):
    assert list(_machine(tmp_path)) == ["cores"]


def test_an_avx512_machine_is_told_what_is_done_about_it(tmp_path, monkeypatch):
    monkeypatch.delenv("ONEDNN_MAX_CPU_ISA", raising=False)
    (tmp_path / "proc").mkdir()
    (tmp_path / "proc/cpuinfo").write_text("flags\t\t: fpu avx2 avx512f sse\n")
    assert "mindssd sets ONEDNN_MAX_CPU_ISA=AVX2" in _machine(tmp_path)["AVX-512"].text
    monkeypatch.setenv("ONEDNN_MAX_CPU_ISA", "AVX512_CORE")
    assert _machine(tmp_path)["AVX-512"].level == "warning"
    (tmp_path / "proc/cpuinfo").write_text("flags\t\t: fpu avx2 sse\n")
    assert "AVX-512" not in _machine(tmp_path)


def test_little_room_is_a_warning_and_none_a_problem(tmp_path, monkeypatch):
    for free, level in ((10e9, "ok"), (1e9, "warning"), (1e8, "problem")):
        monkeypatch.setattr("shutil.disk_usage", lambda path, free=free: Usage(1e12, 0, free))
        assert _levels(check_disk(tmp_path, shared=tmp_path)) == [level, "ok"]


def test_a_containers_small_shared_memory_is_a_warning(tmp_path, monkeypatch):
    monkeypatch.setattr("shutil.disk_usage", lambda path: Usage(64e6, 0, 10e9))
    shared = check_disk(tmp_path, shared=tmp_path)[1]
    assert shared.level == "warning"
    assert "--shm-size" in shared.way_out
    assert len(check_disk(tmp_path, shared=tmp_path / "absent")) == 1


def test_a_mindspore_that_hangs_or_dies_is_a_problem_with_its_last_word():
    hang = [sys.executable, "-c", "import time; time.sleep(60)"]
    (finding,) = check_mindspore(0.2, hang)
    assert finding.level == "problem" and "within 0.2 s" in finding.text
    (finding,) = check_mindspore(30, [sys.executable, "-c", "import nothing_of_that_name"])
    assert (
        finding.text == "does not work: ModuleNotFoundError: No module named 'nothing_of_that_name'"
    )
    (finding,) = check_mindspore(30, _print_command("", status=9))
    assert finding.text == "does not work: exit status 9"
    (finding,) = check_mindspore(30, ["/nothing/of/that/name"])
    assert finding.text.startswith("cannot be started")


def test_a_device_that_computes_wrongly_is_a_problem():
    answer = {"version": "2.10.0", "devices": ["GPU", "CPU"], "device": "GPU", "import_s": 1.5}
    answer["depthwise"] = False  # a GPU does not need it
    for right, level in ((True, "ok"), (False, "problem")):
        text = "noise\nmindssd-doctor " + json.dumps(answer | {"right": right})
        (finding,) = check_mindspore(30, _print_command(text))
        assert finding.level == level
        assert "2.10.0 imported in 1.5 s; devices: GPU, CPU; computes on GPU" in finding.text


def test_a_data_set_is_told_by_split_and_class(bccd_dir):
    findings = {finding.subject: finding for finding in reversed(check_data(bccd_dir))}
    assert findings["data train"].text.startswith("292 images, ")
    assert findings["data val"].text.startswith("72 images, ")
    assert "3 classes (RBC, WBC, Platelets)" in findings["data val"].text


def test_a_folder_without_a_data_set_is_a_problem_for_each_split(tmp_path):
    assert _levels(check_data(tmp_path)) == ["problem", "problem"]


def test_splits_of_unlike_classes_are_a_problem(tmp_path):
    (tmp_path / "annotations").mkdir()
    for split, name in (("train", "cat"), ("val", "dog")):
        (tmp_path / f"{split}2017").mkdir()
        (tmp_path / f"{split}2017" / "a.png").write_bytes(b"")
        content = {
            "images": [{"id": 1, "file_name": "a.png", "width": 8, "height": 8}],
            "annotations": [{"id": 1, "image_id": 1, "category_id": 1, "bbox": [0, 0, 4, 4]}],
            "categories": [{"id": 1, "name": name}],
        }
        (tmp_path / f"annotations/instances_{split}2017.json").write_text(json.dumps(content))
    (finding,) = [f for f in check_data(tmp_path) if f.level == "problem"]
    assert "name different classes: ['cat'] and ['dog']; write one list" in finding.text


@pytest.mark.slow
def test_mindspore_computes_here():
    pytest.importorskip("mindspore", reason="the probe needs MindSpore itself")
    (finding,) = check_mindspore(300)
    assert finding.level == "ok", finding
    assert "2.10.0 imported in" in finding.text


def test_the_commands_module_imports_no_framework():
    code = "import sys, mindssd.cli.doctor; print('mindspore' in sys.modules, 'cv2' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False", "False"]

"""The command as a whole: help, and what an error looks like."""

import os
import subprocess
import sys
from importlib.metadata import version

import pytest

from mindssd.errors import MindSSDError

COMMANDS = ["train", "eval", "predict", "export", "bench", "demo", "weights", "doctor", "inspect"]


def test_help_lists_every_command(mindssd):
    done = mindssd("--help")
    assert done.status == 0
    assert all(f" {command} " in done.out for command in COMMANDS)


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize("flag", ["--help", "-h"])
def test_each_command_has_help(mindssd, command, flag):
    done = mindssd(command, flag)
    assert done.status == 0
    assert f"mindssd {command}" in done.out


def test_the_version_is_the_packages(mindssd):
    assert mindssd("--version").out.strip() == f"mindssd {version('mindssd')}"


def test_no_command_at_all_shows_the_help(mindssd):
    assert "Usage: " in mindssd().out


def test_a_fault_is_one_line_and_no_traceback(mindssd):
    fault = mindssd("train", "--config", "ssd_mobilenetv2").fault
    assert fault.startswith("data_dir is not set: give data_dir=PATH")


def test_debug_shows_where_it_comes_from(mindssd):
    done = mindssd("--debug", "train", "--config", "ssd_mobilenetv2")
    assert done.status == 1
    assert "Traceback" in done.err and "ConfigError" in done.err
    assert done.err.splitlines()[-1].startswith("mindssd: data_dir is not set")


def _raise(error):
    def command():
        raise error

    return command


def test_a_message_of_several_lines_is_put_on_one(mindssd, monkeypatch):
    monkeypatch.setattr("mindssd.cli.main.app", _raise(MindSSDError("one\ntwo")))
    assert mindssd().fault == "one two"


def test_a_full_disk_anywhere_is_one_line_that_names_the_file(mindssd, monkeypatch):
    error = OSError(28, "No space left on device", "/some/file")
    monkeypatch.setattr("mindssd.cli.main.app", _raise(error))
    assert mindssd().fault == "/some/file: No space left on device"


@pytest.mark.parametrize(
    "words",
    [
        ("serve", "model.onnx", "--max-megapixels", "nan"),
        ("serve", "model.onnx", "--timeout-s", "NaN"),
        ("export", "best.safetensors", "--int8", "--max-loss", "nan"),
        ("predict", "model.onnx", "photo.jpg", "--score", "-nan"),
    ],
)
def test_a_number_that_is_none_is_one_line_that_names_the_option(mindssd, words):
    assert mindssd(*words).fault == f"{words[-2]} is nan: expected a number"


@pytest.mark.parametrize("option", ["--max-megapixels", "--timeout-s", "--max-wait-ms"])
def test_what_is_bounded_takes_no_infinity(mindssd, option):
    done = mindssd("serve", "model.onnx", option, "inf")
    assert done.status == 2 and f"Invalid value for '{option}'" in done.err


def test_a_home_folder_of_nobody_is_one_line(mindssd):
    fault = mindssd("train", "--config", "~nobody-of-this-name/x.yaml").fault
    assert fault == "a path begins with ~ and no known user; write it in full"


@pytest.mark.parametrize(
    ("module", "extra"), [("faster_coco_eval", "train"), ("google.protobuf", "train")]
)
def test_a_package_that_only_training_brings_is_one_line_with_its_extra(
    mindssd, monkeypatch, module, extra
):
    error = ModuleNotFoundError(f"No module named {module!r}", name=module)
    monkeypatch.setattr("mindssd.cli.main.app", _raise(error))
    fault = mindssd("eval").fault
    assert module.split(".")[0] in fault and f"pip install 'mindssd[{extra}]'" in fault


def test_a_module_of_ours_that_is_missing_is_no_users_fault(mindssd, monkeypatch):
    monkeypatch.setattr("mindssd.cli.main.app", _raise(ModuleNotFoundError(name="mindssd.x")))
    with pytest.raises(ModuleNotFoundError):
        mindssd("eval")


def test_an_interruption_is_said_and_ends_as_the_shell_expects(mindssd, monkeypatch):
    monkeypatch.setattr("mindssd.cli.main.app", _raise(KeyboardInterrupt()))
    done = mindssd()
    assert (done.status, done.err) == (130, "mindssd: interrupted\n")


def test_a_fault_of_ours_is_not_hidden(mindssd, monkeypatch):
    """A bug shows its traceback: only what a user can mend is one line."""
    monkeypatch.setattr("mindssd.cli.main.app", _raise(ZeroDivisionError()))
    with pytest.raises(ZeroDivisionError):
        mindssd()


@pytest.mark.usefixtures("any_engine")
def test_a_name_that_is_no_utf_8_is_printed_escaped(shapes_dir, tmp_path):
    """As a terminal shows it: in a process of its own, for pytest's stdout is none."""
    data_dir = tmp_path / os.fsdecode(b"caf\xe9")
    data_dir.symlink_to(shapes_dir)
    command = ["train", "--config", "demo", f"data_dir={data_dir}", "backbone.name=none"]
    done = subprocess.run(
        [sys.executable, "-m", "mindssd", *command],
        capture_output=True,
        check=False,
        cwd=tmp_path,
        env={**os.environ, "PYTHONIOENCODING": "utf-8"},
    )
    assert done.returncode == 1 and b"Traceback" not in done.stderr
    assert b"caf\\udce9/annotations/instances_train2017.json: 12 images" in done.stdout
    assert b"backbone 'none' is no" in done.stderr


def test_the_module_starts_as_the_command_does():
    done = subprocess.run(
        [sys.executable, "-m", "mindssd", "train", "--config", "nothing"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1 and done.stdout == ""
    assert done.stderr.startswith("mindssd: nothing is neither a file nor a recipe")
    assert len(done.stderr.splitlines()) == 1

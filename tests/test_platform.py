"""What differs between systems."""

import os
import shlex
import subprocess
import sys

import pytest

from mindssd import platform


def test_a_command_is_shown_as_a_shell_takes_it(monkeypatch):
    words = ("data_dir=my set", "sizes=[1, 2]", "runs/a", "it's")
    monkeypatch.setattr("os.name", "posix")
    shown = platform.as_typed(*words)
    assert shown == """'data_dir=my set' 'sizes=[1, 2]' runs/a 'it'"'"'s'"""
    assert tuple(shlex.split(shown)) == words
    # Windows knows no single quotes.
    monkeypatch.setattr("os.name", "nt")
    assert platform.as_typed(*words) == subprocess.list2cmdline(words)
    assert platform.as_typed("data_dir=my set") == '"data_dir=my set"'


@pytest.mark.skipif(os.name == "nt", reason="Windows has no such limit")
def test_open_files_are_allowed_as_far_as_the_system_does():
    code = """
import resource
from mindssd.platform import allow_open_files
resource.setrlimit(resource.RLIMIT_NOFILE, (64, 256))
print(allow_open_files(32), resource.getrlimit(resource.RLIMIT_NOFILE))
print(allow_open_files(200), resource.getrlimit(resource.RLIMIT_NOFILE))
print(allow_open_files(9999), resource.getrlimit(resource.RLIMIT_NOFILE))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == ["32 (64, 256)", "200 (200, 256)", "256 (256, 256)"]

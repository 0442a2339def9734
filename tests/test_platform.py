"""What differs between systems."""

import shlex
import subprocess

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

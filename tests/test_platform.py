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


FORKS = """
import os
threads = []
# Hooks before a fork run in the reverse order, so this one behind mindssd's.
os.register_at_fork(before=lambda: threads.append(len(os.listdir("/proc/self/task"))))
import cv2, numpy as np
import mindssd.platform
image = np.zeros((900, 1200, 3), np.uint8)
threads.append(len(os.listdir("/proc/self/task")))  # NumPy's are among them
cv2.setNumThreads(4)
cv2.resize(image, (640, 640))
threads.append(len(os.listdir("/proc/self/task")))
child = os.fork()
if child == 0:
    cv2.resize(image, (640, 640))
    grandchild = os.fork()  # whose hooks find one thread, and the lock free
    os._exit(os.waitstatus_to_exitcode(os.waitpid(grandchild, 0)[1]) if grandchild else 0)
print(*threads, os.waitpid(child, 0)[1], cv2.getNumThreads())
"""


@pytest.mark.skipif(sys.platform != "linux", reason="threads are counted by Linux's /proc")
def test_opencvs_threads_are_ended_before_a_fork():
    """Beside other work one of twelve children waited for ever for the lock of their pool."""
    done = subprocess.run([sys.executable, "-c", FORKS], capture_output=True, text=True, check=True)
    others, before, at_fork, status, after = map(int, done.stdout.split())
    assert before > others
    assert (at_fork, status, after) == (others, 0, 4)

"""The first signal is noted, the second ends the process."""

import os
import signal
import subprocess
import sys

import pytest

from mindssd.training.signals import Stopped, StopSignals

WAITING = """
import signal, sys, time
from mindssd.training.signals import StopSignals
with StopSignals() as stop:
    print("ready", flush=True)
    for _ in range(6000):
        time.sleep(0.01)
        if len(sys.argv) > 1:
            stop.check()
"""


@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_the_first_is_raised_at_the_next_check(number, status):
    said = []
    before = signal.getsignal(number)
    with StopSignals(said.append) as stop:
        stop.check()
        os.kill(os.getpid(), number)
        with pytest.raises(Stopped) as stopped:
            stop.check()
    assert stopped.value.code == status
    assert said == [
        f"{signal.Signals(number).name}: ends after this step, saved; "
        "once more ends it now, unsaved"
    ]
    assert signal.getsignal(number) is before


def _start(*arguments: str) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-c", WAITING, *arguments]
    process = subprocess.Popen(command, stdout=subprocess.PIPE)
    assert process.stdout is not None and process.stdout.readline() == b"ready\n"
    return process


@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_the_programs_exit_status_is_the_shells(number, status):
    with _start("checks") as process:
        process.send_signal(number)
        assert process.wait(10) == status


def test_a_second_one_does_not_wait_for_a_check():
    with _start() as process:
        assert process.stdout is not None
        process.send_signal(signal.SIGTERM)
        assert b"SIGTERM" in process.stdout.readline()
        process.send_signal(signal.SIGINT)
        assert process.wait(10) == 130

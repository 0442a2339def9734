"""The first signal is noted, the second ends the process."""

import os
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from mindssd.training.signals import Stopped, StopSignals

STATUSES = [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)]
WAITING = """
import signal, sys, time
from functools import partial
from mindssd.training.signals import StopSignals
with StopSignals(partial(print, flush=True)) as stop:
    print("ready", flush=True)
    for _ in range(6000):
        time.sleep(0.01)
        if len(sys.argv) > 1:
            stop.check()
"""


@pytest.mark.parametrize(("number", "status"), STATUSES)
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


def test_what_is_said_waits_for_the_line_that_the_signal_broke_into():
    """The handler runs in the midst of whatever the main thread does, as writing to a terminal."""
    terminal, said = threading.Lock(), []

    def say(text: str) -> None:
        if not terminal.acquire(timeout=20):
            return  # the handler itself says it, and can wait for ever
        said.append(text)
        terminal.release()

    with StopSignals(say) as stop:
        with terminal:
            os.kill(os.getpid(), signal.SIGTERM)
            while not stop.requested:
                time.sleep(0.01)
            assert said == []
        with pytest.raises(Stopped):
            stop.check()
    assert len(said) == 1


def test_the_end_of_the_terminal_is_not_heeded_under_nohup():
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with StopSignals(lambda text: None) as stop:
            os.kill(os.getpid(), signal.SIGHUP)
            stop.check()
            assert not stop.requested
    finally:
        signal.signal(signal.SIGHUP, before)


def test_in_another_thread_it_does_nothing():
    before = signal.getsignal(signal.SIGTERM)

    def enter() -> None:
        with StopSignals() as stop:
            assert signal.getsignal(signal.SIGTERM) is before and not stop.requested

    with ThreadPoolExecutor(1) as pool:
        pool.submit(enter).result()


def _start(*arguments: str) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-c", WAITING, *arguments]
    process = subprocess.Popen(command, stdout=subprocess.PIPE)
    assert process.stdout is not None and process.stdout.readline() == b"ready\n"
    return process


@pytest.mark.parametrize(("number", "status"), STATUSES)
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

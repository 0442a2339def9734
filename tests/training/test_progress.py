"""A person sees how far a run is: a live bar on a terminal, plain lines elsewhere."""

import io
import subprocess
import sys

import pytest
from rich.console import Console

from mindssd.training import progress
from mindssd.training.progress import LiveDisplay, PlainDisplay, display


@pytest.fixture
def clock(monkeypatch):
    """A clock that a test sets: `clock.now`."""

    class Clock:
        now = 1000.0

        def monotonic(self):
            return self.now

    clock = Clock()
    monkeypatch.setattr(progress, "time", clock)
    return clock


def _console(is_terminal: bool) -> Console:
    return Console(file=io.StringIO(), force_terminal=is_terminal, width=200)


def _lines(console: Console) -> list[str]:
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue().splitlines()


def test_lines_come_early_then_every_half_minute_and_at_the_end(clock):
    console = _console(False)
    with display(console, total_steps=100) as shown:
        assert isinstance(shown, PlainDisplay)
        for done in range(1, 101):
            shown.step(done, f"loss {done}")
            clock.now += 1
    # The first at once, soon one with the time left, then half a minute apart, and the last.
    assert _lines(console) == [
        "step 1/100: loss 1",
        "step 11/100, 1:29 left: loss 11",
        "step 41/100, 0:59 left: loss 41",
        "step 71/100, 0:29 left: loss 71",
        "step 100/100, 0:00 left: loss 100",
    ]


def test_a_resumed_run_reckons_from_where_it_went_on(clock):
    console = _console(False)
    with display(console, total_steps=1000) as shown:
        shown.step(901, "")
        clock.now += 3600
        shown.step(902, "")
    # an hour a step, 98 to go
    assert _lines(console)[1].startswith("step 902/1000, 98:00:00 left")


def test_what_is_said_is_printed_as_it_is(clock):
    for is_terminal in (False, True):
        console = _console(is_terminal)
        with display(console, total_steps=1) as shown:
            shown.say("runs/[bold]a[/b]: epoch 1/2")
        assert "runs/[bold]a[/b]: epoch 1/2" in "\n".join(_lines(console))


def test_long_lines_are_not_broken_in_a_log():
    console = Console(file=io.StringIO(), width=20)
    with display(console, total_steps=1) as shown:
        shown.say("word " * 20)
    assert len(_lines(console)) == 1


def test_a_long_wait_shows_that_the_run_goes_on(monkeypatch):
    monkeypatch.setattr(progress, "WAITING_INTERVAL_S", 0.001)
    console = _console(False)
    with display(console, total_steps=1) as shown, shown.waiting("compiling"):
        while not _lines(console):
            pass
    assert _lines(console)[0] == "compiling: 0:00 so far"


def test_a_wait_on_a_terminal_is_noted_beside_the_bar():
    console = _console(True)
    with display(console, total_steps=1) as shown, shown.waiting("compiling"):
        assert isinstance(shown, LiveDisplay)
        shown._progress.refresh()
    assert "compiling …" in "\n".join(_lines(console))


def test_a_terminal_gets_a_bar_with_the_last_figures():
    console = _console(True)
    with display(console, total_steps=4) as shown:
        assert isinstance(shown, LiveDisplay)
        shown.step(3, "loss 0.5")
    text = "\n".join(_lines(console))
    assert "training" in text and "3/4" in text and "loss 0.5" in text


def test_a_console_that_is_lost_ends_no_run():
    """As under a launcher that has ended: what is printed then goes nowhere."""
    program = (
        "import sys\n"
        "from mindssd.training.progress import SteadyConsole\n"
        "console = SteadyConsole()\n"
        "sys.stdin.readline()\n"
        "for _ in range(3): console.print('a step')\n"
        "sys.stdout.write('and without it')\n"
        "print('went on', file=sys.stderr)\n"
    )
    command = [sys.executable, "-c", program]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=pipe, text=True) as process:
        assert process.stdout and process.stdin and process.stderr
        process.stdout.close()
        process.stdin.write("now\n")
        process.stdin.close()
        assert process.stderr.read() == "went on\n"
        assert process.wait(10) == 0


def test_who_watches_a_display_is_told_of_each_step_and_may_say_a_line():
    told, output = [], io.StringIO()

    def watch(done: int, total: int) -> str | None:
        told.append((done, total))
        return "half of it" if done == 2 else None

    with display(Console(file=output), 4, watch) as shown:
        for step in (1, 2, 3):
            shown.step(step, "loss 1")
    assert told == [(1, 4), (2, 4), (3, 4)]
    assert output.getvalue().splitlines().count("half of it") == 1

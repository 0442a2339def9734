"""The command line in this process: what it prints, and how it ends."""

import sys
from collections.abc import Callable
from dataclasses import dataclass

import pytest

from mindssd.cli.main import main
from tests.deploy.conftest import deploy

__all__ = ["deploy"]


@dataclass(frozen=True)
class Done:
    """How a command ended."""

    status: int
    out: str
    err: str

    @property
    def fault(self) -> str:
        """The one line that a user's error is, without the program's name; fails for any other."""
        assert self.status == 1, (self.status, self.err)
        (line,) = self.err.splitlines()
        assert line.startswith("mindssd: ")
        return line.removeprefix("mindssd: ")


Command = Callable[..., Done]


@pytest.fixture
def mindssd(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Command:
    """Run `mindssd WORDS…` as a shell would."""

    def run(*words: object) -> Done:
        monkeypatch.setattr(sys, "argv", ["mindssd", *map(str, words)])
        # Wide enough that no path is broken over lines.
        monkeypatch.setenv("COLUMNS", "400")
        capfd.readouterr()
        status: object = 0
        try:
            main()
        except SystemExit as end:
            status = end.code if end.code is not None else 0
        captured = capfd.readouterr()
        assert isinstance(status, int)
        return Done(status, captured.out, captured.err)

    return run

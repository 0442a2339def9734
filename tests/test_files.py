"""Where files go: pipes as well as plain files, and a cache for those who have a home."""

import os
from pathlib import Path

import pytest

from mindssd import files
from mindssd.errors import MindSSDError


def test_a_pipe_is_written_to_directly() -> None:
    """As /dev/stdout in front of another command, whose real path, `pipe:[1]`, is no file."""
    reader, writer = os.pipe()
    path = f"/dev/fd/{writer}"
    files.require_writable(path)
    files.write_file(path, b"whole")
    os.close(writer)
    with os.fdopen(reader, "rb") as pipe:
        assert pipe.read() == b"whole"


def test_a_user_without_a_home_is_told_how_to_name_a_cache(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (files.CACHE_VARIABLE, "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)

    def nobody() -> Path:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.setattr(Path, "home", nobody)
    with pytest.raises(MindSSDError, match="MINDSSD_CACHE=FOLDER"):
        files.cache_dir()

"""Where files go: pipes as well as plain files, and a cache for those who have a home."""

import os
import stat
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


def test_a_private_folder_is_made_for_this_user_alone(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        made = files.private_folder(tmp_path / "cache" / "kernels")
    finally:
        os.umask(before)
    assert stat.S_IMODE(made.stat().st_mode) == 0o700
    assert files.private_folder(made) == made


@pytest.mark.parametrize("mode", [0o770, 0o703, 0o1777])
def test_a_folder_that_others_may_write_to_is_not_trusted(tmp_path: Path, mode: int) -> None:
    tmp_path.joinpath("folder").mkdir()
    tmp_path.joinpath("folder").chmod(mode)
    with pytest.raises(MindSSDError, match=r"folder may be written to by others, .*; remove it"):
        files.private_folder(tmp_path / "folder")


def test_neither_is_a_file_a_link_or_another_users_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "own").mkdir(mode=0o700)
    (tmp_path / "link").symlink_to(tmp_path / "own")
    (tmp_path / "dangling").symlink_to(tmp_path / "absent")
    for name in ("file", "link", "dangling"):
        with pytest.raises(MindSSDError, match=f"{name} is no folder"):
            files.private_folder(tmp_path / name)
    with pytest.raises(MindSSDError, match=r"cannot be written"):
        files.private_folder(tmp_path / "file" / "below")
    if os.geteuid() == 0:  # who may give folders away, and is trusted by all
        os.chown(tmp_path / "own", 12345, -1)
    else:
        monkeypatch.setattr(os, "geteuid", lambda: 12345)
    with pytest.raises(MindSSDError, match=r"own belongs to another user \(number \d+\)"):
        files.private_folder(tmp_path / "own")

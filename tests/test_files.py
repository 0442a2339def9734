"""Where files go: pipes as well as plain files, and a cache for those who have a home."""

import os
import signal
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from mindssd import files
from mindssd.errors import MindSSDError, OutputError


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


def test_a_name_may_be_as_long_as_the_file_system_takes(tmp_path: Path) -> None:
    longest = "n" * os.pathconf(tmp_path, "PC_NAME_MAX")
    files.write_file(tmp_path / longest, b"whole")
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == {longest: b"whole"}
    with pytest.raises(OutputError, match=r"cannot be written \(File name too long\)"):
        files.write_file(tmp_path / f"{longest}n", b"whole")


def test_a_file_at_fault_is_told_from_a_folder_at_fault(tmp_path: Path) -> None:
    (tmp_path / "taken").mkdir()
    with pytest.raises(OutputError):
        files.write_file(tmp_path / "taken", b"whole")
    with pytest.raises(MindSSDError, match="name a file in a folder that exists") as caught:
        files.write_file(tmp_path / "gone" / "a.txt", b"whole")
    assert not isinstance(caught.value, OutputError)
    assert {path.name for path in tmp_path.iterdir()} == {"taken"}


def test_a_full_disk_is_everybodys_fault() -> None:
    with pytest.raises(MindSSDError, match="No space left on device") as caught:
        files.write_file("/dev/full", b"whole")
    assert not isinstance(caught.value, OutputError)


def test_what_is_not_kept_leaves_nothing_and_the_old_file_stays(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_bytes(b"old")
    with pytest.raises(KeyboardInterrupt), files.FileAside(path) as aside:
        aside.file.write(b"half")
        raise KeyboardInterrupt
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == {"a.txt": b"old"}


def test_what_a_killed_process_left_is_removed_and_a_living_ones_is_not(tmp_path: Path) -> None:
    write = (
        "import sys, time; from mindssd.files import FileAside; aside = FileAside(sys.argv[1]);"
        "aside.file.write(b'half'); aside.file.flush(); print('wrote', flush=True); time.sleep(600)"
    )
    for name in ("killed.json", "living.json"):
        process = subprocess.Popen(
            [sys.executable, "-c", write, str(tmp_path / name)], stdout=subprocess.PIPE
        )
        assert process.stdout is not None and process.stdout.readline() == b"wrote\n"
        if name == "killed.json":
            process.kill()
            process.communicate()
    try:
        (tmp_path / ".mindssd-notes").touch()
        assert len(list(tmp_path.iterdir())) == 3
        files.remove_left_behind(tmp_path)
        left = {path.name for path in tmp_path.iterdir()}
        assert len(left) == 2 and any(f"-{process.pid}-" in name for name in left)
    finally:
        process.send_signal(signal.SIGKILL)
        process.communicate()


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

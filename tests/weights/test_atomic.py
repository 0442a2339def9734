"""A reader sees the old file or the whole new one."""

import errno
import os
from pathlib import Path

import pytest

from mindssd.errors import WeightsError
from mindssd.weights.atomic import atomic_writer, read_bytes


def test_the_file_appears_only_when_all_is_written(tmp_path):
    path = tmp_path / "model"
    with atomic_writer(path) as file:
        file.write(b"new")
        assert not path.exists()
    assert path.read_bytes() == b"new"
    assert list(tmp_path.iterdir()) == [path]


def test_the_old_file_is_kept_where_asked(tmp_path):
    path, old = tmp_path / "model", tmp_path / "previous"
    path.write_bytes(b"old")
    with atomic_writer(path, keep_old_as=old) as file:
        file.write(b"new")
        assert path.read_bytes() == b"old" and not old.exists()
    assert (path.read_bytes(), old.read_bytes()) == (b"new", b"old")


def test_a_failure_leaves_the_old_file_and_nothing_beside_it(tmp_path):
    path = tmp_path / "model"
    path.write_bytes(b"old")
    with pytest.raises(KeyboardInterrupt), atomic_writer(path) as file:
        file.write(b"half of the n")
        raise KeyboardInterrupt
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_full_disk_is_one_line_and_keeps_the_old_file(tmp_path, monkeypatch):
    def full(descriptor):
        raise OSError(errno.ENOSPC, "No space left on device")

    path = tmp_path / "model"
    path.write_bytes(b"old")
    monkeypatch.setattr(os, "fsync", full)
    message = r"model: no room on the disk \(\d+ MB free\)"
    with pytest.raises(WeightsError, match=message), atomic_writer(path) as file:
        file.write(b"new")
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_folder_that_is_not_there_is_named(tmp_path):
    path = tmp_path / "absent" / "model"
    message = r"absent/model: cannot be written \(No such file"
    with pytest.raises(WeightsError, match=message), atomic_writer(path) as file:
        file.write(b"")


def test_an_address_in_a_files_place_is_named_without_its_secrets():
    with pytest.raises(WeightsError, match=r"^https:/host/m\.onnx\?…: no such file") as caught:
        read_bytes(Path("https://user:secret@host/m.onnx?token=secret"))
    assert "secret" not in str(caught.value)


def test_without_an_old_file_nothing_is_left_beside_the_new_one(tmp_path):
    path = tmp_path / "a"
    with atomic_writer(path, keep_old_as=tmp_path / "b") as file:
        file.write(b"new")
    assert path.read_bytes() == b"new"
    assert list(tmp_path.iterdir()) == [path]

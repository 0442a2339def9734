"""The sizes of many files: by threads, from the cache, within a time."""

import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mindssd.data import file_headers
from mindssd.data.file_headers import UNREAD, UNREADABLE, FileHeaders
from mindssd.decoders.headers import read_header


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache of this test's own, used for ten files and more."""
    monkeypatch.setenv("MINDSSD_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(file_headers, "WORTH_CACHING", 10)
    return tmp_path / "cache"


@pytest.fixture
def read_paths(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of the files whose headers were read, in order."""
    paths: list[str] = []

    def counted(path: str) -> object:
        paths.append(Path(path).name)
        return read_header(path)

    monkeypatch.setattr(file_headers, "read_header", counted)
    return paths


def pictures(folder: Path, count: int) -> list[str]:
    """Picture i is 10 + i wide and 5 high."""
    names = [f"{number}.png" for number in range(count)]
    for number, name in enumerate(names):
        Image.new("L", (10 + number, 5)).save(folder / name)
    return names


def read_all(folder: Path, names: list[str]) -> FileHeaders:
    headers = FileHeaders(folder, names)
    headers.read(np.arange(len(names)))
    headers.save()
    return headers


def test_each_file_has_its_size_or_is_unreadable(tmp_path: Path) -> None:
    names = pictures(tmp_path, 300)
    exif = Image.Exif()
    exif[0x0112] = 8
    Image.new("L", (7, 8)).save(tmp_path / "turned.jpg", exif=exif)
    (tmp_path / "odd.png").write_bytes(b"odd")
    columns = read_all(tmp_path, [*names, "turned.jpg", "odd.png", "missing.png"]).columns
    assert columns[:300].tolist() == [[5, 10 + number, 0] for number in range(300)]
    assert columns[300].tolist() == [8, 7, 1]
    assert columns[301:, 0].tolist() == [UNREADABLE] * 2


def test_a_header_is_read_once_and_then_known(tmp_path: Path, read_paths: list[str]) -> None:
    names = pictures(tmp_path, 20)
    headers = FileHeaders(tmp_path, names)
    headers.read(np.array([3, 7]))
    assert headers.columns[:, 0].tolist() == [5 if i in (3, 7) else UNREAD for i in range(20)]
    headers.read(np.arange(20))
    headers.save()
    assert sorted(read_paths) == sorted(names)
    assert (read_all(tmp_path, names).columns == headers.columns).all()
    assert len(read_paths) == 20


def test_a_file_that_changes_is_read_again_and_others_are_not(
    tmp_path: Path, read_paths: list[str]
) -> None:
    names = pictures(tmp_path, 20)
    read_all(tmp_path, names)
    read_paths.clear()
    Image.new("L", (99, 5)).save(tmp_path / "4.png")
    os.utime(tmp_path / "5.png", ns=(1, 1))
    columns = read_all(tmp_path, names).columns
    assert sorted(read_paths) == ["4.png", "5.png"]
    assert columns[4].tolist() == [5, 99, 0] and columns[5].tolist() == [5, 15, 0]


def test_what_one_reading_leaves_out_stays_in_the_cache(
    tmp_path: Path, read_paths: list[str]
) -> None:
    names = pictures(tmp_path, 40)
    read_all(tmp_path, names[:20])
    read_all(tmp_path, names[20:])
    read_paths.clear()
    read_all(tmp_path, names)
    assert read_paths == []


@pytest.mark.parametrize("content", [b"", b"no cache", b"\x93NUMPY\x01\x00"])
def test_a_damaged_cache_is_none(tmp_path: Path, cache: Path, content: bytes) -> None:
    names = pictures(tmp_path, 20)
    expected = read_all(tmp_path, names).columns
    (file,) = (cache / "image_sizes").iterdir()
    file.write_bytes(content)
    assert (read_all(tmp_path, names).columns == expected).all()
    assert file.stat().st_size > 200


def test_a_cache_of_other_numbers_or_none_at_all_does_no_harm(tmp_path: Path, cache: Path) -> None:
    names = pictures(tmp_path, 20)
    expected = read_all(tmp_path, names).columns
    (file,) = (cache / "image_sizes").iterdir()
    np.save(file, np.arange(5))
    assert (read_all(tmp_path, names).columns == expected).all()
    file.unlink()
    file.parent.rmdir()
    file.parent.touch()  # a file where the folder should be
    assert (read_all(tmp_path, names).columns == expected).all()


def test_few_files_are_not_cached(tmp_path: Path, cache: Path) -> None:
    read_all(tmp_path, pictures(tmp_path, 9))
    assert not cache.exists()


def test_no_files_are_nothing_to_read(tmp_path: Path) -> None:
    assert read_all(tmp_path, []).columns.shape == (0, 3)

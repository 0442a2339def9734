"""A zipped data set is read like its folder, unpacked once, and never outside the cache."""

import shutil
import stat
import zipfile
from pathlib import Path

import pytest

from mindssd.errors import DatasetError
from mindssd.files import CACHE_VARIABLE
from tests.data.formats.folders import boxes, load, write

LINE = "0 0.5 0.5 0.2 0.4\n"
FILES = {"train/a.png": None, "train/a.txt": LINE, "val/b.png": None, "val/b.txt": LINE}


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv(CACHE_VARIABLE, str(tmp_path / "cache"))
    return tmp_path / "cache"


def test_it_is_read_like_its_folder_and_unpacked_once(cache: Path, tmp_path: Path) -> None:
    folder = write(tmp_path / "in/my set", {**FILES, "classes.txt": "cat\n"})
    path = Path(shutil.make_archive(str(tmp_path / "set"), "zip", tmp_path / "in"))
    assert boxes(load(path)) == boxes(load(folder))
    inside = next((cache / "archives").iterdir())
    (inside / "mark").write_text("")
    moved = path.rename(tmp_path / "other.ZIP")
    assert boxes(load(moved, "val")) == boxes(load(folder, "val"))
    assert [path.name for path in (cache / "archives").iterdir()] == [inside.name]
    assert (inside / "mark").exists()


def entry(name: str, mode: int = 0) -> zipfile.ZipInfo:
    info = zipfile.ZipInfo(name)
    info.external_attr = mode << 16
    info.compress_type = zipfile.ZIP_DEFLATED
    return info


@pytest.mark.parametrize(
    ("info", "content", "message"),
    [
        (entry("../outside.txt"), b"x", r"'\.\./outside\.txt' would lie outside its folder"),
        (entry("/etc/outside.txt"), b"x", "would lie outside its folder"),
        (entry("a/../../outside.txt"), b"x", "would lie outside its folder"),
        (entry("..\\outside.txt"), b"x", "would lie outside its folder"),
        (entry("C:\\outside.txt"), b"x", "would lie outside its folder"),
        (entry("."), b"x", r"'\.' would lie outside its folder"),
        (entry("link", stat.S_IFLNK | 0o777), b"/etc", "'link' is a link"),
        (entry("bomb.bmp"), bytes(150_000_000), r"would grow to 2 files of 150 MB"),
    ],
)
def test_one_that_would_do_harm_is_refused_and_nothing_unpacked(
    info: zipfile.ZipInfo, content: bytes, message: str, cache: Path, tmp_path: Path
) -> None:
    path = tmp_path / "set.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr("classes.txt", "cat\n")
        file.writestr(info, content)
    with pytest.raises(DatasetError, match=message):
        load(path)
    assert list((cache / "archives").iterdir()) == []
    assert not list(tmp_path.rglob("outside.txt"))


def test_one_that_is_damaged_is_said(cache: Path, tmp_path: Path) -> None:
    path = tmp_path / "set.zip"
    with zipfile.ZipFile(path, "w") as file:
        file.writestr("classes.txt", "cat\n" * 100)
    whole = path.read_bytes()
    for damaged in (whole[:50], b"no zip", whole.replace(b"cat\n" * 9, b"dog\n" * 9)):
        path.write_bytes(damaged)
        with pytest.raises(DatasetError, match=r"set\.zip: no zip archive, or damaged"):
            load(path)
    assert list((cache / "archives").iterdir()) == []


def test_one_of_windows_has_folders_with_backslashes(cache: Path, tmp_path: Path) -> None:
    folder = write(tmp_path / "set", {**FILES, "classes.txt": "cat\n"})
    path = tmp_path / "set.zip"
    with zipfile.ZipFile(path, "w") as file:
        for inner in ("set\\", "set\\train\\", "set\\val\\"):
            file.writestr(inner, b"")
        for name in (*FILES, "classes.txt"):
            file.writestr("set\\" + name.replace("/", "\\"), (folder / name).read_bytes())
    assert boxes(load(path)) == boxes(load(folder))


def test_one_of_macos_has_names_of_utf8_without_saying_so(cache: Path, tmp_path: Path) -> None:
    text = "file,x1,y1,x2,y2,class\ntrain/ä.png,10,20,30,40,cat\n"
    folder = write(tmp_path / "set", {"train.csv": text, "val.csv": text, "train/ä.png": None})
    path = tmp_path / "set.zip"
    with zipfile.ZipFile(path, "w") as file:
        file.write(folder / "train.csv", "train.csv")
        file.write(folder / "val.csv", "val.csv")
        file.write(folder / "train/ä.png", "train/__.png")
    # An ASCII name does not say that it is of UTF-8: what is put in its place does not either.
    path.write_bytes(path.read_bytes().replace(b"train/__.png", "train/ä.png".encode()))
    assert list(boxes(load(path))) == ["ä.png"]

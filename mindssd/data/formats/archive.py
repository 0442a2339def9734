"""A zipped data set, unpacked once into the user's cache and found there by its content."""

import hashlib
import shutil
import stat
import zipfile
import zlib
from pathlib import Path, PurePosixPath
from tempfile import mkdtemp

from mindssd.errors import DatasetError
from mindssd.files import cache_dir

_GROWTH, _ALWAYS_ALLOWED = 100, 100_000_000
"""An archive may grow so many times, or to so many bytes: images hardly do, texts tenfold."""
_MOST_FILES = 3_000_000
_BLOCK = 1 << 20


def unpacked(archive: Path) -> Path:
    """The folder that holds what an archive does; it is unpacked only where it was not yet.

    DatasetError where it is no archive, damaged, would grow beyond reason, or has files that would
    lie outside the folder.
    """
    try:
        folder = cache_dir() / "archives" / _digest(archive)
        if not folder.is_dir():
            folder.parent.mkdir(parents=True, exist_ok=True)
            _unpack(archive, folder)
    except OSError as error:
        raise DatasetError(
            f"{archive}: cannot be unpacked: {error.strerror or error}; make room in "
            f"{cache_dir()}, or unpack it yourself and name the folder"
        ) from error
    return folder


def _digest(archive: Path) -> str:
    digest = hashlib.blake2b(digest_size=16)
    with archive.open("rb") as file:
        while block := file.read(_BLOCK):
            digest.update(block)
    return digest.hexdigest()


def _unpack(archive: Path, folder: Path) -> None:
    """Unpack beside `folder` and give it that name, so that no half of it is met there."""
    new = Path(mkdtemp(prefix=".", dir=folder.parent))
    try:
        with zipfile.ZipFile(archive) as file:
            # Windows' own end the names of folders with a backslash.
            entries = [one for one in file.infolist() if not one.filename.endswith(("/", "\\"))]
            names = [_safe_name(archive, entry) for entry in entries]
            _require_sane(archive, entries)
            for entry, name in zip(entries, names, strict=True):
                target = new / name
                target.parent.mkdir(parents=True, exist_ok=True)
                # It reads no more than the entry's stated size, and checks its sum.
                with file.open(entry) as source, target.open("wb") as copy:
                    shutil.copyfileobj(source, copy, _BLOCK)
        new.rename(folder)
    except (zipfile.BadZipFile, zlib.error, NotImplementedError, EOFError, ValueError) as error:
        raise DatasetError(f"{archive}: no zip archive, or damaged: {error}") from error
    except RuntimeError as error:  # zipfile's, for a password
        raise DatasetError(f"{archive}: {error}; unpack it yourself and name the folder") from error
    except OSError:
        if not folder.is_dir():  # another process was faster
            raise
    finally:
        shutil.rmtree(new, ignore_errors=True)


def _safe_name(archive: Path, entry: zipfile.ZipInfo) -> str:
    """An entry's name below the folder; DatasetError for one that leads out of it, or a link."""
    name = _decoded(entry).replace("\\", "/")
    path = PurePosixPath(name)
    outside = path.is_absolute() or ".." in path.parts or ":" in name.split("/")[0] or not path.name
    is_link = stat.S_ISLNK(entry.external_attr >> 16)
    if outside or is_link or "\0" in name:
        what = "is a link" if is_link else "would lie outside its folder"
        raise DatasetError(
            f"{archive}: its file {entry.filename!r} {what}, as in no data set; nothing is unpacked"
        )
    return name


def _decoded(entry: zipfile.ZipInfo) -> str:
    """The name, of UTF-8 also where the archive does not say so, as macOS' do not."""
    says_so = entry.flag_bits & 0x800
    try:
        return entry.filename if says_so else entry.filename.encode("cp437").decode("utf-8")
    except UnicodeError:
        return entry.filename


def _require_sane(archive: Path, entries: list[zipfile.ZipInfo]) -> None:
    total = sum(entry.file_size for entry in entries)
    if total > max(_ALWAYS_ALLOWED, _GROWTH * archive.stat().st_size) or len(entries) > _MOST_FILES:
        raise DatasetError(
            f"{archive}: its {archive.stat().st_size / 1e6:.1f} MB would grow to {len(entries)} "
            f"files of {total / 1e6:.0f} MB, as no images do; unpack it yourself if you trust it"
        )

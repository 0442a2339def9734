"""Write a file so that a reader sees the old one or the whole new one, never a part."""

import difflib
import errno
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from mindssd.errors import WeightsError
from mindssd.files import CACHE_VARIABLE, FileAside, cache_dir, shown
from mindssd.weights.published import PUBLISHED

_NO_ROOM = (errno.ENOSPC, errno.EDQUOT)


def describe_write_error(path: Path, error: OSError) -> WeightsError:
    """Say in one line why `path` could not be written, and the way out."""
    if error.errno in _NO_ROOM:
        free = shutil.disk_usage(path.parent).free / 1e6
        return WeightsError(
            f"{path}: no room on the disk ({free:.0f} MB free); free some or choose another folder"
        )
    reason = error.strerror or str(error)
    way_out = "choose a folder you may write to"
    if path.parent == cache_dir():
        way_out += f": {CACHE_VARIABLE}=FOLDER"
    return WeightsError(f"{path}: cannot be written ({reason}); {way_out}")


@contextmanager
def atomic_writer(path: Path, keep_old_as: Path | None = None) -> Iterator[IO[bytes]]:
    """Yield a file that takes the place of `path`, flushed to the disk, when the block ends well.

    If the block or the disk fails, what was at `path` is untouched and nothing is left beside it; a
    disk's failure is a WeightsError. `keep_old_as` is that of `FileAside.keep`.
    """
    try:
        with FileAside(path) as aside:
            yield aside.file
            aside.keep(durable=True, keep_old_as=keep_old_as)
    except OSError as error:
        raise describe_write_error(path, error) from error


def read_bytes(path: Path) -> bytes:
    """The file's content; WeightsError that names the file where that fails."""
    try:
        return path.read_bytes()
    except OSError as error:
        raise describe_read_error(path, error) from error


def describe_read_error(path: Path, error: OSError) -> WeightsError:
    """Say in one line why `path` could not be read, and the way out."""
    if isinstance(error, FileNotFoundError):
        return WeightsError(f"{shown(path)}: no such file; check the path{_perhaps_a_name(path)}")
    if isinstance(error, IsADirectoryError):
        return WeightsError(f"{path}: is a folder; give the checkpoint file inside it")
    return WeightsError(f"{path}: cannot be read ({error.strerror or error})")


def _perhaps_a_name(path: Path) -> str:
    """What a plain word may have been meant as: one of the published names."""
    if len(path.parts) != 1 or path.suffix:
        return ""
    near = difflib.get_close_matches(path.name, PUBLISHED, n=1)
    if near:
        return f"; or did you mean {near[0]}?"
    return f", or name what is published: {', '.join(PUBLISHED)}"

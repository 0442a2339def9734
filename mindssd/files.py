"""Where files go: results written whole or not at all, and the user's cache."""

import errno
import fcntl
import itertools
import os
import shutil
import stat
from contextlib import suppress
from pathlib import Path
from typing import Self

from mindssd.errors import MindSSDError, OutputError

CACHE_VARIABLE = "MINDSSD_CACHE"

_COUNTER = itertools.count()
_HIDDEN: set[Path] = set()


def cache_dir() -> Path:
    """Where fetched and compiled files are kept: `MINDSSD_CACHE`, or in the user's cache folder.

    MindSSDError where the user has none.
    """
    chosen = os.environ.get(CACHE_VARIABLE)
    if chosen:
        return Path(chosen).expanduser()
    base = os.environ.get("XDG_CACHE_HOME")
    try:
        return (Path(base) if base else Path.home() / ".cache") / "mindssd"
    except RuntimeError as error:  # a user whom the system does not know, as in a container
        raise MindSSDError(
            f"no home folder for the cache; {CACHE_VARIABLE}=FOLDER names one"
        ) from error


class FileAside:
    """A file that is written under a hidden name beside its own, which it gets by `keep`.

    A context: what is not kept by its end is removed. It is locked meanwhile, so that
    `remove_left_behind` tells it from what a killed process has left. What is no plain file, such
    as /dev/stdout, is written to directly. OSError where that fails.
    """

    def __init__(self, path: str | Path) -> None:
        named = Path(path).expanduser()
        self._target = Path(os.path.realpath(named))
        self._hidden: Path | None = None
        if named.exists() and not named.is_file():
            self._lock = os.open(named, os.O_WRONLY)  # by its own name: a pipe's real path is none
        else:
            self._hidden, self._lock = _open_hidden(self._target.parent)
        self.file = os.fdopen(os.dup(self._lock), "wb")
        self._is_closed = False

    def keep(self) -> None:
        """Give the file its name, in the place of what has it.

        Where its folder was removed meanwhile, it is made again, for a copy.
        """
        self.file.close()  # some file systems tell only now that there is no room
        if self._hidden is None:
            return
        try:
            self._hidden.replace(self._target)
        except FileNotFoundError:
            self._target.parent.mkdir(parents=True, exist_ok=True)
            with FileAside(self._target) as again, os.fdopen(os.dup(self._lock), "rb") as content:
                content.seek(0)
                shutil.copyfileobj(content, again.file)
                again.keep()
        _HIDDEN.discard(self._hidden)
        self._hidden = None

    def check(self) -> None:
        """FileNotFoundError where the file was removed meanwhile, as with its folder."""
        if self._hidden is not None and os.fstat(self._lock).st_nlink == 0:
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), str(self._target))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def close(self) -> None:
        """End; more than once is as good as once."""
        if self._is_closed:
            return
        self._is_closed = True
        try:
            with suppress(OSError):  # of what `keep` could not write, and has told
                self.file.close()
        finally:
            if self._hidden is not None:
                self._hidden.unlink(missing_ok=True)
                _HIDDEN.discard(self._hidden)
            os.close(self._lock)


def _open_hidden(folder: Path) -> tuple[Path, int]:
    """Open a new file of a name that no other has, and lock it."""
    while True:
        # Not after its target: that name may be as long as the file system takes.
        path = folder / f".mindssd-{os.getpid()}-{next(_COUNTER)}.tmp"
        try:
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666)
        except FileExistsError:
            continue
        with suppress(OSError):  # a file system without locks: then nothing left behind is removed
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        if os.fstat(descriptor).st_nlink:
            _HIDDEN.add(path)
            return path, descriptor
        os.close(descriptor)  # taken for one left behind, before it was locked


def remove_hidden() -> None:
    """Remove the files that are being written, for a process that ends at once."""
    for path in list(_HIDDEN):
        with suppress(OSError):
            path.unlink(missing_ok=True)


def remove_left_behind(folder: Path) -> None:
    """Remove the hidden files that killed processes have left in a folder, as far as it can."""
    for path in folder.glob(".mindssd-*.tmp"):
        with suppress(OSError):
            descriptor = os.open(path, os.O_WRONLY)
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                path.unlink()
            finally:
                os.close(descriptor)


def private_folder(path: Path) -> Path:
    """Make a folder that nobody else may write to, or find that it is there and so; `path`.

    What lies in it is this user's work, or the system's: programs and agreements between processes
    are kept nowhere else. MindSSDError where somebody else owns it or may write to it.
    """
    try:
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
    except FileExistsError:
        pass  # no folder, as is told below
    except OSError as error:
        raise not_written(path, error) from error
    status = path.lstat()
    if not stat.S_ISDIR(status.st_mode):
        fault = "is no folder"
    elif status.st_uid not in (os.geteuid(), 0):
        fault = f"belongs to another user (number {status.st_uid})"
    elif status.st_mode & 0o022:
        fault = "may be written to by others"
    else:
        return path
    raise MindSSDError(f"{path} {fault}, so that what it holds cannot be trusted; remove it")


def write_file(path: str | Path, data: bytes) -> None:
    """Write a file so that a reader meets the old one or the whole new one.

    Where that fails, nothing is left beside it: OutputError where that file alone is at fault, as
    by its name, and MindSSDError where others would fail too, as on a full disk. What is no plain
    file, such as /dev/stdout, is written to directly.
    """
    try:
        with FileAside(path) as aside:
            aside.file.write(data)
            aside.keep()
    except OSError as error:
        raise not_written(path, error) from error


_OF_ALL = frozenset(
    {errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.ESTALE}
)


def not_written(path: str | Path, error: OSError) -> MindSSDError:
    """What `write_file` raises where writing ended with `error`."""
    reason = error.strerror or str(error)
    folder = Path(path).expanduser().parent
    if error.errno in _OF_ALL or not os.access(folder, os.W_OK | os.X_OK):
        return _cannot_be_written(path, reason)
    return OutputError(f"{path}: cannot be written ({reason})")


def require_writable(path: str | Path) -> None:
    """Check that `write_file` has a chance, before the work whose result it is to hold."""
    named = Path(path).expanduser()
    target = Path(os.path.realpath(named))
    if target.is_dir():
        raise _cannot_be_written(path, "it is a folder")
    if named.exists() and not named.is_file():
        target = named
    if not target.parent.is_dir():
        raise _cannot_be_written(path, f"there is no folder {target.parent}")
    if not os.access(target.parent if target.is_file() or not target.exists() else target, os.W_OK):
        raise _cannot_be_written(path, "no permission")


def _cannot_be_written(path: str | Path, reason: str) -> MindSSDError:
    return MindSSDError(
        f"{path}: cannot be written ({reason}); name a file in a folder that exists, has room and "
        "is yours to write to"
    )

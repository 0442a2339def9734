"""Files and addresses: results written whole or not at all, the user's cache, and how an address of
a stream is shown without its passwords and tokens.
"""

import errno
import itertools
import os
import re
import shutil
from contextlib import suppress
from pathlib import Path
from typing import Self
from urllib.parse import unquote

from mindssd.errors import MindSSDError, OutputError, printable
from mindssd.platform import BINARY, HAS_LOCKS, lock, why_not_private

CACHE_VARIABLE = "MINDSSD_CACHE"

_NEW = os.O_RDWR | os.O_CREAT | os.O_EXCL | BINARY
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

    def keep(self, durable: bool = False, keep_old_as: Path | None = None) -> None:
        """Give the file its name, replacing what has it.

        A `durable` one survives a power cut from then on. What had the name lives on at
        `keep_old_as`, in the same folder: it goes there by a rename, which every file system has,
        once the new one is written. Where the folder was removed meanwhile, it is made again, for a
        copy.
        """
        if durable and self._hidden is not None:
            self.file.flush()
            os.fsync(self._lock)
        self.file.close()  # some file systems tell only now that there is no room
        if self._hidden is None:
            return
        if not HAS_LOCKS:
            self._release()
        try:
            if keep_old_as is not None:
                with suppress(FileNotFoundError):  # nothing has the name, or the folder is gone
                    self._target.replace(keep_old_as)
            self._hidden.replace(self._target)
        except FileNotFoundError:
            if self._lock < 0:
                raise
            self._target.parent.mkdir(parents=True, exist_ok=True)
            with FileAside(self._target) as again, os.fdopen(os.dup(self._lock), "rb") as content:
                content.seek(0)
                shutil.copyfileobj(content, again.file)
                again.keep(durable)
        _HIDDEN.discard(self._hidden)
        self._hidden = None
        if durable:
            _flush_folder(self._target.parent)

    def check(self) -> None:
        """FileNotFoundError where the file was removed meanwhile, as with its folder."""
        if self._hidden is not None and os.fstat(self._lock).st_nlink == 0:
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), str(self._target))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def close(self) -> None:
        """End; may be called more than once."""
        if self._is_closed:
            return
        self._is_closed = True
        try:
            with suppress(OSError):  # of what `keep` could not write, and has told
                self.file.close()
        finally:
            if not HAS_LOCKS:
                self._release()
            if self._hidden is not None:
                self._hidden.unlink(missing_ok=True)
                _HIDDEN.discard(self._hidden)
            self._release()

    def _release(self) -> None:
        """Close the file; may be called more than once."""
        if self._lock >= 0:
            os.close(self._lock)
            self._lock = -1


def _open_hidden(folder: Path) -> tuple[Path, int]:
    """Open a new file of a name that no other has, and lock it."""
    while True:
        # Not after its target: that name may be as long as the file system takes.
        path = folder / f".mindssd-{os.getpid()}-{next(_COUNTER)}.tmp"
        try:
            descriptor = os.open(path, _NEW, 0o666)
        except FileExistsError:
            continue
        with suppress(OSError):  # a file system without locks: then nothing left behind is removed
            lock(descriptor)
        if os.fstat(descriptor).st_nlink:
            _HIDDEN.add(path)
            return path, descriptor
        os.close(descriptor)  # taken for one left behind, before it was locked


def _flush_folder(folder: Path) -> None:
    """Make the renames in it survive a power cut, where the file system can."""
    with suppress(OSError):  # some network file systems, and Windows, refuse this for folders
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


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
                lock(descriptor, wait=False)
                path.unlink()
            finally:
                os.close(descriptor)


def private_folder(path: Path) -> Path:
    """Make a folder that nobody else may write to, or check that it is one; return `path`.

    What lies in it is this user's work, or the system's: programs and agreements between processes
    are kept nowhere else. MindSSDError where somebody else owns it or may write to it.
    """
    try:
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
    except FileExistsError:
        pass  # no folder, as is told below
    except OSError as error:
        raise not_written(path, error) from error
    fault = why_not_private(path.lstat())
    if fault is None:
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


SCHEMES = ("rtsp", "rtsps", "rtmp", "rtmps", "http", "https", "udp", "tcp", "rtp")

_ADDRESS = re.compile(rf"(?:{'|'.join(SCHEMES)})://\S+", re.IGNORECASE)
_BEGINNING = re.compile(r"[a-z][a-z0-9+.-]+:/", re.IGNORECASE)  # C:/ begins a path
_PLAIN_HOST = re.compile(
    r"(?:\[[0-9a-fA-F:.%]+\]|[^:@/?#\[\]]+)(?::\d*(?=/|$|[?#][^@]*$)|(?=[/?#]|$))"
)
_VALUE = re.compile(r"(=|%3D)[^/]*", re.IGNORECASE)


def is_address(word: str) -> bool:
    return _ADDRESS.fullmatch(word) is not None


def looks_like_address(word: str) -> bool:
    """Whether it seems meant as an address, even one that is mistyped or cannot be read.

    Also as a path, which has one slash of the two.
    """
    return "://" in word or _BEGINNING.match(word) is not None


def is_http(address: str) -> bool:
    return re.match(r"https?://", address, re.IGNORECASE) is not None


def redacted(address: str) -> str:
    """An address as it may be shown and written: without user, password, query and fragment.

    rtsp://user:password@host:554/street?token=… becomes rtsp://host:554/street?… . What follows a
    "=" in the path goes too: some cameras take a password there. Where one holds / ? # or @ as they
    are, rather too much is left out.
    """
    scheme, mark, rest = address.partition("://" if "://" in address else ":/")
    if not mark:
        return address
    place, marks = _place_and_marks(rest)
    return f"{scheme}{mark}{place}{marks}"


def shown(path: str | Path) -> str:
    """A path or address as messages show it: in one line, and an address `redacted`."""
    return printable(redacted(str(path)) if looks_like_address(str(path)) else str(path))


def file_name(address: str, suffixes: frozenset[str]) -> str:
    """What a file made of an address may be called: the last part of its path, if that is a file's.

    http://host/garden/photo.jpg?key=… gives photo.jpg, rtsp://host:554/street host_554_street.
    """
    place, _ = _place_and_marks(address.partition("://")[2])
    _, slash, last = unquote(place).rstrip("/").rpartition("/")
    stem, dot, suffix = last.rpartition(".")
    if slash and _plain(stem) and f".{suffix.lower()}" in suffixes:
        return f"{_plain(stem)}{dot}{suffix}"
    return _plain(unquote(place)) or "stream"


def _place_and_marks(rest: str) -> tuple[str, str]:
    """Host and path, and which of `?…` and `#…` follow."""
    if _PLAIN_HOST.match(rest) is None or "@" in re.split(r"[?#]", rest)[0].partition(":")[2]:
        rest = rest.rpartition("@")[2]
    place, query, _ = re.match(r"([^?#]*)(\?[^#]*)?(#.*)?", rest).groups()  # type: ignore[union-attr]
    return _VALUE.sub(r"\1…", place), "?…" if query else ""


def _plain(text: str) -> str:
    return re.sub(r"[^\w.-]+", "_", text).strip("_.")

"""Where files go: results written whole or not at all, and the user's cache."""

import os
import stat
from pathlib import Path

from mindssd.errors import MindSSDError

CACHE_VARIABLE = "MINDSSD_CACHE"


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
        raise _cannot_be_written(path, error.strerror or str(error)) from error
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

    MindSSDError where that fails, such as on a full disk; then nothing is left beside it. What is
    no plain file, such as /dev/stdout, is written to directly.
    """
    named = Path(path).expanduser()
    target = Path(os.path.realpath(named))
    try:
        if named.exists() and not named.is_file():
            named.write_bytes(data)  # by its own name: a pipe's real path is no path
            return
        temporary = target.with_name(f".{target.name}.{os.getpid()}.tmp")
        try:
            temporary.write_bytes(data)
            temporary.replace(target)
        finally:
            temporary.unlink(missing_ok=True)
    except OSError as error:
        raise _cannot_be_written(path, error.strerror or str(error)) from error


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

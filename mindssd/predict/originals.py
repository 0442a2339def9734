"""What must not be written over: the sources themselves."""

from collections.abc import Collection, Sequence
from pathlib import Path

from mindssd.errors import MindSSDError
from mindssd.predict.naming import CROPS_FOLDER, LABELS_FOLDER, RESERVED, Names
from mindssd.predict.sources import ImageFile, Source, Video


def require_other_files(sources: Sequence[Source], out: Path, names: Collection[Names]) -> None:
    """Refuse to write over a source, whatever name it is given by."""
    paths = [s.path for s in sources if isinstance(s, ImageFile | Video) and _identity(s.path)]
    originals = {_identity(path) for path in paths}
    for written in (*(name.picture for name in names), *(name.video for name in names), *RESERVED):
        if _identity(out / written) in originals:
            raise _would_overwrite(out / written)
    folders = [(out / name).resolve() for name in (LABELS_FOLDER, CROPS_FOLDER)]
    for path in paths:
        if any(path.resolve().is_relative_to(folder) for folder in folders):
            raise _would_overwrite(path)


def _would_overwrite(path: Path) -> MindSSDError:
    return MindSSDError(
        f"{path} is one of the sources and would be overwritten; choose another folder with --out"
    )


def _identity(path: Path) -> tuple[int, int] | None:
    """What identifies a file whatever its name; None where there is no file."""
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_dev, status.st_ino

"""Videos opened with PyAV: from a file, a stream of bytes or an address."""

import os
from collections.abc import Mapping
from pathlib import Path
from types import ModuleType
from typing import IO, Any

from mindssd.errors import ImageError, MindSSDError
from mindssd.http import TIMEOUT_S
from mindssd.predict.byte_streams import ByteStream
from mindssd.predict.kinds import HEAD_BYTES, is_quicktime, looks_like_text

_OPEN_TIMEOUT_S = 15.0
_HEAD_BYTES = 1 << 16

_NO_VIDEOS = frozenset({"bin", "xbin", "adf", "idf", "image2", "image2pipe"})
"""Formats of FFmpeg that are drawn letters or still pictures: no videos, whatever the name."""


def import_pyav() -> ModuleType:
    """PyAV, imported only where there is a video; MindSSDError where it is not installed."""
    try:
        import av
    except ImportError as error:
        why = "is not installed" if error.name == "av" else f"cannot be imported ({error})"
        raise MindSSDError(f"PyAV {why}: pip install 'mindssd[video]'") from error
    return av  # type: ignore[no-any-return]


def open_container(
    file: Path | str | IO[bytes] | ByteStream,
    name: str,
    format_name: str | None,
    options: Mapping[str, str],
) -> Any:
    """A container of PyAV; ImageError, without the address, where it cannot be opened."""
    try:
        av = import_pyav()
    except MindSSDError as error:
        raise ImageError(f"{name}: is a video or stream, which needs {error}") from error
    is_address = isinstance(file, str)
    if isinstance(file, str):
        scheme, mark, rest = file.partition("://")
        file = f"{scheme.lower()}{mark}{rest}"  # FFmpeg knows no other
    if not isinstance(file, str) and format_name is None and looks_like_text(head_of(file)):
        raise ImageError(f"{name}: is text, not a video")
    # A file never makes FFmpeg open another place.
    limits = (
        {} if is_address else {"protocol_whitelist": "file" if isinstance(file, Path) else "data"}
    )
    try:
        container = av.open(
            f"file:{file}" if isinstance(file, Path) else file,
            format=format_name,
            container_options={**limits, **options},
            metadata_errors="replace",
            timeout=(_OPEN_TIMEOUT_S, TIMEOUT_S) if is_address else None,
        )
    except av.FFmpegError as error:
        if isinstance(file, ByteStream):
            file.check()
        fault = in_words(error)
        why = f"cannot be opened: {fault}" if isinstance(file, str) else _no_video(file, fault)
        # Not `from error`: it shows the address as it is.
        raise ImageError(f"{name}: {why}") from None
    kinds = container.format.name.split(",")
    if (
        not is_address
        and format_name is None
        and any(kind in _NO_VIDEOS or kind.endswith("_pipe") for kind in kinds)
    ):
        container.close()
        raise ImageError(f"{name}: cannot be read as a video: it is {container.format.long_name}")
    return container


def _no_video(file: Path | IO[bytes] | ByteStream, fault: str) -> str:
    if is_quicktime(head_of(file)):
        fault += "; an MP4 or MOV that is cut off, or still being recorded, lacks its index"
    return f"cannot be read as a video: {fault}"


def head_of(file: Path | IO[bytes] | ByteStream) -> bytes:
    """The first bytes, none where they cannot be read."""
    if isinstance(file, ByteStream):
        file.peek(HEAD_BYTES)
        return file.head
    try:
        if isinstance(file, Path):
            with file.open("rb") as opened:
                return opened.read(_HEAD_BYTES)
        file.seek(0)
        head = file.read(_HEAD_BYTES)
        file.seek(0)
        return head
    except OSError:
        return b""


def size_of(file: Path | IO[bytes] | ByteStream) -> int:
    if isinstance(file, ByteStream):
        return file.num_bytes
    return file.stat().st_size if isinstance(file, Path) else file.seek(0, os.SEEK_END)


def in_words(error: Any) -> str:
    """What FFmpeg says of a fault; its errors' text has the address too, with its passwords."""
    if type(error).__name__ == "ExitError":  # how it calls a timeout of ours
        return f"nothing came for {TIMEOUT_S:.0f} s"
    return str(error.strerror)

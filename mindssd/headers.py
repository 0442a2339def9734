"""A picture's size by its file's header alone: thousands of files in a moment.

`header_size(path)` is the shape of what `mindssd.images.read_image(path)` gives.
"""

import os
import struct
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from mindssd.errors import ImageError
from mindssd.types import ImageSize

_START_BYTES = 4096
"""Most headers end within these; one read of so many costs as much as one of a few."""
_PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_JPEG_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
"""The markers of the segments that tell a JPEG's size."""
_JPEG_WITHOUT_LENGTH = frozenset(range(0xD0, 0xD8)) | {0x01}
_EXIF = b"Exif\0\0"
_ORIENTATION_TAG = 0x0112
_warning_filters = threading.Lock()
# What Pillow raises for a header that it cannot make out, beside its UnidentifiedImageError.
_FAULTS = (OSError, ValueError, SyntaxError, KeyError, IndexError, struct.error, OverflowError)


@dataclass(frozen=True)
class Header:
    """The size of a picture as stored, in pixels, and whether EXIF turns it by a quarter."""

    height: int
    width: int
    turned: bool

    def shown(self, expected_size: ImageSize | None = None) -> ImageSize:
        """The (height, width) that `read_image` gives, `expected_size` as there."""
        stored = self.height, self.width
        return stored[::-1] if self.turned and expected_size != stored else stored


def header_size(path: str | Path, expected_size: ImageSize | None = None) -> ImageSize:
    """Tell the (height, width) that `read_image` gives; ImageError as in `read_header`."""
    return read_header(path).shown(expected_size)


def read_header(path: str | Path) -> Header:
    """Read a file's header: a few microseconds for JPEG and PNG, some fifty by Pillow for others.

    ImageError where the file is missing, or is no image that tells its size.
    """
    try:
        file = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except (OSError, ValueError) as error:
        raise ImageError(f"{path}: cannot be read: {error}") from error
    try:
        header = _header(_Bytes(file), path)
    except _FAULTS as error:
        raise ImageError(f"{path}: not an image, or its header is damaged ({error})") from error
    finally:
        os.close(file)
    if min(header.height, header.width) < 1:
        raise ImageError(f"{path}: its header tells no size")
    return header


class _Bytes:
    """An open file's bytes by their place; what lies beyond its end is not there."""

    def __init__(self, file: int) -> None:
        self.file = file
        self.start = os.read(file, _START_BYTES)

    def at(self, position: int, count: int) -> bytes:
        if position + count <= len(self.start):
            return self.start[position : position + count]
        return os.pread(self.file, count, position)


def _header(data: _Bytes, path: str | Path) -> Header:
    if data.start.startswith(b"\xff\xd8"):
        return _jpeg_header(data)
    if data.start.startswith(_PNG_SIGNATURE):
        return _png_header(data)
    if not data.start:
        raise ValueError("the file is empty")
    return _pillow_header(path)


def _jpeg_header(data: _Bytes) -> Header:
    """Go from segment to segment, up to the first scan."""
    size: ImageSize | None = None
    exif = b""
    position = 2
    while len(head := data.at(position, 9)) == 9 and head[0] == 0xFF and head[1] != 0xDA:
        marker = head[1]
        if marker == 0xFF:  # padding
            position += 1
            continue
        if marker in _JPEG_WITHOUT_LENGTH:
            position += 2
            continue
        length = head[2] << 8 | head[3]
        if marker in _JPEG_FRAMES:
            size = size or (head[5] << 8 | head[6], head[7] << 8 | head[8])
        elif marker == 0xE1 and not exif:
            segment = data.at(position + 4, max(length - 2, 0))
            exif = segment if segment.startswith(_EXIF) else b""
        position += 2 + length
    if size is None:
        raise ValueError("a JPEG without a frame")
    return Header(*size, turned=_is_turned(exif))


def _png_header(data: _Bytes) -> Header:
    """Its size comes first; the chunk with EXIF may stand anywhere."""
    width, height = struct.unpack(">II", data.at(16, 8))
    position = len(_PNG_SIGNATURE)
    while len(head := data.at(position, 8)) == 8:
        (length,) = struct.unpack(">I", head[:4])
        if head[4:] == b"eXIf":
            return Header(height, width, _is_turned(_EXIF + data.at(position + 8, length)))
        if head[4:] == b"IEND":
            break
        position += 12 + length
    return Header(height, width, turned=False)


def _is_turned(exif: bytes) -> bool:
    """Whether an EXIF segment's orientation exchanges rows and columns."""
    if not exif:
        return False
    from PIL.Image import Exif

    parsed = Exif()
    try:
        with _without_warnings():
            parsed.load(exif)
            return parsed.get(_ORIENTATION_TAG) in (5, 6, 7, 8)
    except _FAULTS:
        return False  # not EXIF after all


def _pillow_header(path: str | Path) -> Header:
    from PIL import Image

    try:
        with _without_warnings(), Image.open(path) as image:
            width, height = image.size
            turned = image.getexif().get(_ORIENTATION_TAG) in (5, 6, 7, 8)
            if turned and image.format == "TIFF":  # whose size Pillow gives upright
                width, height = height, width
    except Image.DecompressionBombError as error:
        raise ValueError(str(error)) from error
    return Header(height, width, turned)


@contextmanager
def _without_warnings() -> Iterator[None]:
    """Leave Pillow's warnings to the reading of the picture; their filters are the process's."""
    with _warning_filters, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield

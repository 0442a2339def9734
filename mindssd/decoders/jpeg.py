"""JPEG by libjpeg-turbo, whose warnings are errors: no picture is half grey."""

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
import simplejpeg

from mindssd.decoders import pillow
from mindssd.decoders.decoded import UNCHECKED, Decoded, require_size
from mindssd.decoders.exif import orientation_of
from mindssd.errors import ImageError
from mindssd.types import Array

SIGNATURE = b"\xff\xd8\xff"

_START_OF_IMAGE, _END_OF_IMAGE, _START_OF_SCAN = 0xD8, 0xD9, 0xDA
_FRAMES = {*range(0xC0, 0xD0)} - {0xC4, 0xC8, 0xCC}  # tables have the other three
_PROGRESSIVE_FRAMES = {0xC2, 0xC6, 0xCA, 0xCE}
_ARITHMETIC_FRAMES = {*range(0xC9, 0xD0)} - {0xCC}  # where zeros go on behind the end, unsaid
_APP0, _APP1, _APP2, _APP14 = 0xE0, 0xE1, 0xE2, 0xEE

# No restart marker and no escaped 0xFF, which stand inside a scan.
_MARKER = re.compile(rb"\xff+([\x01-\xcf\xd8-\xfe])")


@dataclass(frozen=True)
class _Segment:
    """A marker, which begins at `data[place]`, and what it holds, `data[start:end]`."""

    marker: int
    place: int
    start: int
    end: int


@dataclass(frozen=True)
class _Frame:
    """A picture's header: how it is coded, bits of a sample, size, the ids of its components."""

    marker: int

    precision: int
    height: int
    width: int
    components: frozenset[int]

    @property
    def is_progressive(self) -> bool:
        return self.marker in _PROGRESSIVE_FRAMES


def decode_jpeg(data: bytes) -> Decoded:
    """Decode a JPEG file's first picture; ImageError where libjpeg warns or a scan is missing."""
    frame, exif, is_whole = _header(data)
    if frame.precision != 8:
        raise ImageError(
            f"is a JPEG of {frame.precision} bits a sample; expected 8: convert it, such as to PNG"
        )
    require_size(frame.width, frame.height)
    if not is_whole:
        _require_all_scans(data, frame)
    try:
        unchecked = (UNCHECKED,) if frame.marker in _ARITHMETIC_FRAMES else ()
        return Decoded(_strictly(data, frame), orientation_of(exif), remarks=unchecked)
    except ValueError as error:
        if "subsampling" in str(error):  # TurboJPEG knows the common ones alone
            decoded = pillow.decode("JPEG", data)
            return replace(decoded, remarks=(*decoded.remarks, UNCHECKED))
        reason = error
    plain = _plain(data, frame)
    try:
        if plain != data:
            return Decoded(_strictly(plain, frame), orientation_of(exif))
    except ValueError as error:
        reason = error
    raise ImageError(f"truncated or damaged: {reason}") from reason


def _strictly(data: bytes, frame: _Frame) -> Array:
    """(H, W, 3) uint8; ValueError where libjpeg warns."""
    if len(frame.components) != 4:
        pixels: Array = simplejpeg.decode_jpeg(data, "RGB", strict=True)
        return pixels
    from PIL import Image  # 40 ms, and for four inks alone

    # Taken for inverted, as Adobe writes them, and brought to RGB, as Pillow does.
    ink = Image.fromarray(255 - simplejpeg.decode_jpeg(data, "CMYK", strict=True), "CMYK")
    return np.asarray(ink.convert("RGB"))


def _segments(data: bytes) -> Iterator[_Segment]:
    """The segments of the first picture, in order; at damage they end."""
    position = 2
    while found := _MARKER.search(data, position):
        marker, start = found[1][0], found.end()
        if marker == _END_OF_IMAGE:
            return
        if marker in (0x01, _START_OF_IMAGE):  # these stand alone
            position = start
            continue
        position = start + max(2, int.from_bytes(data[start : start + 2], "big"))
        yield _Segment(marker, found.start(), start + 2, position)


def _header(data: bytes) -> tuple[_Frame, bytes, bool]:
    """The frame, the EXIF block, and whether one sequential scan holds all components."""
    frame, exif = None, b""
    for segment in _segments(data):
        if segment.marker in _FRAMES:
            frame = _read_frame(data, segment)
        elif segment.marker == _APP1 and data.startswith(b"Exif\0\0", segment.start):
            exif = exif or data[segment.start : segment.end]
        elif segment.marker == _START_OF_SCAN:
            if frame is None:
                break
            is_whole = not frame.is_progressive and data[
                segment.start : segment.start + 1
            ] == bytes([len(frame.components)])
            return frame, exif, is_whole
    raise ImageError("truncated or damaged: the JPEG file has no picture")


def _read_frame(data: bytes, segment: _Segment) -> _Frame:
    content = data[segment.start : segment.end]
    if len(content) < 9:
        raise ImageError("truncated or damaged: the JPEG file ends in its header")
    return _Frame(
        marker=segment.marker,
        precision=content[0],
        height=int.from_bytes(content[1:3], "big"),
        width=int.from_bytes(content[3:5], "big"),
        components=frozenset(content[6 : 6 + 3 * content[5] : 3]),
    )


def _require_all_scans(data: bytes, frame: _Frame) -> None:
    """Refuse a file that ends between two scans: libjpeg makes a coarse picture of it, silently.

    Every coefficient of every component must have come to its last bit.
    """
    left = {component: np.full(64, 99) for component in frame.components}
    for segment in _segments(data):
        if segment.marker != _START_OF_SCAN:
            continue
        content = data[segment.start : segment.end]
        num_components = content[0] if content else 0
        if len(content) < 4 + 2 * num_components:
            break
        first, last, bits = content[1 + 2 * num_components : 4 + 2 * num_components]
        if not frame.is_progressive:
            first, last, bits = 0, 63, 0
        for component in content[1 : 1 + 2 * num_components : 2]:
            if component in left:
                left[component][first : last + 1] = bits & 15
    if any(coefficients.any() for coefficients in left.values()):
        raise ImageError("truncated: scans of the JPEG file are missing")


def _plain(data: bytes, frame: _Frame) -> bytes:
    """A file without what some writers get wrong, of which libjpeg warns though no pixel needs it.

    A colour profile whose pieces do not fit, a JFIF version of the future, and the progression of
    a scan that has none (Samsung's cameras leave it 0). The rest stays as it is.
    """
    pieces, position = [], 0
    for segment in _segments(data):
        content = data[segment.start : segment.end]
        if segment.marker == _APP2:
            pieces.append(data[position : segment.place])
            position = segment.end
        elif segment.marker == _APP0 and content.startswith(b"JFIF\0"):
            pieces += [data[position : segment.start], b"JFIF\0\1\1"]
            position = segment.start + 7
        elif segment.marker == _START_OF_SCAN and not frame.is_progressive and len(content) > 3:
            pieces += [data[position : segment.end - 3], b"\0\x3f\0"]
            position = segment.end
    return b"".join([*pieces, data[position:]])

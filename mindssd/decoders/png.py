"""PNG: its chunks checked, then those that hold the picture decoded, and no others.

Pillow does not look at the checksums of pixels, and gives up at odd texts and colour profiles,
which common tools write and no pixel needs. OpenCV decodes the common kinds, to the same pixels in
four fifths of the time.
"""

import struct
import zlib
from collections.abc import Iterator
from dataclasses import replace

import cv2
import numpy as np

from mindssd.decoders import pillow
from mindssd.decoders.decoded import SEVERAL, Decoded, require_size
from mindssd.decoders.exif import orientation_of
from mindssd.errors import ImageError
from mindssd.types import Array

SIGNATURE = b"\x89PNG\r\n\x1a\n"

_HEADER = struct.pack(">I4s", 13, b"IHDR")

_CONVERSIONS = {0: None, 2: cv2.COLOR_BGR2RGB, 6: cv2.COLOR_BGRA2RGBA}
"""From what OpenCV makes of a colour type: grey, RGB, RGBA."""

_NEEDED = {b"IHDR", b"PLTE", b"tRNS", b"IDAT", b"IEND"}


def decode_png(data: bytes) -> Decoded:
    """Decode a PNG file; ImageError where it is incomplete or a checksum is wrong."""
    chunks = list(_chunks(data))
    if not data.startswith(_HEADER, len(SIGNATURE)):
        raise ImageError("damaged: the PNG file does not start with its header")
    needed = [data[start:end] for name, start, end in chunks if name in _NEEDED]
    names = {name for name, _, _ in chunks}
    file = SIGNATURE + b"".join(needed)
    pixels = None if b"tRNS" in names else _by_opencv(file)
    decoded = pillow.decode("PNG", file) if pixels is None else Decoded(pixels)
    exif = b"".join(data[start + 8 : end - 4] for name, start, end in chunks if name == b"eXIf")
    remarks = (*decoded.remarks, SEVERAL) if b"acTL" in names else decoded.remarks
    return replace(decoded, orientation=orientation_of(exif), remarks=remarks)


def _by_opencv(data: bytes) -> Array | None:
    """Grey, RGB or RGBA of 8 bits; None of another kind, or where OpenCV fails."""
    width, height, depth, kind = struct.unpack_from(">IIBB", data, len(SIGNATURE) + 8)
    if depth != 8 or kind not in _CONVERSIONS:
        return None
    require_size(width, height)
    try:
        image = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
    except cv2.error:  # such as a side longer than it allows
        return None
    conversion = _CONVERSIONS[kind]
    return image if image is None or conversion is None else cv2.cvtColor(image, conversion, image)


def _chunks(data: bytes) -> Iterator[tuple[bytes, int, int]]:
    """Check each chunk and give (name, start, end), up to the file's end mark."""
    view, position = memoryview(data), len(SIGNATURE)
    while position + 12 <= len(data):
        end = position + 12 + int.from_bytes(data[position : position + 4], "big")
        name = data[position + 4 : position + 8]
        if end > len(data) or not name.isalpha():
            break
        checksum = int.from_bytes(data[end - 4 : end], "big")
        if zlib.crc32(view[position + 4 : end - 4]) != checksum:
            raise ImageError(f"damaged: chunk {name!r} of the PNG file has a wrong checksum")
        yield name, position, end
        if name == b"IEND":
            return
        position = end
    raise ImageError(f"truncated or damaged: the PNG file has {len(data)} bytes and no end")

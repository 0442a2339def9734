"""PNG: its chunks checked, then those that hold the picture decoded by Pillow.

Pillow does not look at the checksums of pixels, and gives up at odd texts and colour profiles,
which common tools write and no pixel needs.
"""

import zlib
from collections.abc import Iterator
from dataclasses import replace

from mindssd.decoders import pillow
from mindssd.decoders.decoded import SEVERAL, Decoded
from mindssd.decoders.exif import orientation_of
from mindssd.errors import ImageError

SIGNATURE = b"\x89PNG\r\n\x1a\n"

_NEEDED = {b"IHDR", b"PLTE", b"tRNS", b"IDAT", b"IEND"}


def decode_png(data: bytes) -> Decoded:
    """Decode a PNG file; ImageError where it is incomplete or a checksum is wrong."""
    chunks = list(_chunks(data))
    needed = [data[start:end] for name, start, end in chunks if name in _NEEDED]
    decoded = pillow.decode("PNG", SIGNATURE + b"".join(needed))
    exif = b"".join(data[start + 8 : end - 4] for name, start, end in chunks if name == b"eXIf")
    is_animated = any(name == b"acTL" for name, _, _ in chunks)
    remarks = (*decoded.remarks, SEVERAL) if is_animated else decoded.remarks
    return replace(decoded, orientation=orientation_of(exif), remarks=remarks)


def _chunks(data: bytes) -> Iterator[tuple[bytes, int, int]]:
    """Check each chunk and give (name, start, end), up to the file's end mark."""
    view, position = memoryview(data), len(SIGNATURE)
    while position + 12 <= len(data):
        end = position + 12 + int.from_bytes(data[position : position + 4], "big")
        name = data[position + 4 : position + 8]
        if end > len(data):
            break
        checksum = int.from_bytes(data[end - 4 : end], "big")
        if zlib.crc32(view[position + 4 : end - 4]) != checksum:
            raise ImageError(f"damaged: chunk {name!r} of the PNG file has a wrong checksum")
        yield name, position, end
        if name == b"IEND":
            return
        position = end
    raise ImageError(f"truncated: the PNG file has {len(data)} bytes and no end")

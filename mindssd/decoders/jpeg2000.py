"""JPEG 2000: its parts checked for being there, for OpenJPEG fills in what is missing."""

from mindssd.decoders import pillow
from mindssd.decoders.decoded import Decoded
from mindssd.errors import ImageError

_CODESTREAM = b"\xff\x4f\xff\x51"
SIGNATURES = (b"\x00\x00\x00\x0cjP  \x0d\x0a\x87\x0a", _CODESTREAM)

_START_OF_TILE_PART, _END = b"\xff\x90", b"\xff\xd9"


def decode_jpeg2000(data: bytes) -> Decoded:
    """Decode a JPEG 2000 file or bare codestream; ImageError where a part of it is missing."""
    _require_whole(data)
    return pillow.decode("JPEG 2000", data)


def _require_whole(data: bytes) -> None:
    """Go from marker to marker, and tile part to tile part, up to the end mark."""
    position = max(0, data.find(_CODESTREAM)) + 2
    while 0 < position < len(data) and not data.startswith(_END, position):
        if data.startswith(_START_OF_TILE_PART, position):
            size = int.from_bytes(data[position + 6 : position + 10], "big")
            # 0 is the last one's, up to the end mark, which cannot stand inside.
            position = position + size if size else data.find(_END, position)
        else:
            position += 2 + int.from_bytes(data[position + 2 : position + 4], "big")
    if not 0 < position < len(data):
        raise ImageError("truncated: the JPEG 2000 file ends before its picture")

"""Where a container of a video ends by its own words, and whether it can be read from a pipe."""

_SEGMENT = b"\x18\x53\x80\x67"
_EBML = b"\x1aE\xdf\xa3"
_ASF = b"\x30\x26\xb2\x75\x8e\x66\xcf\x11"


def declared_size(head: bytes) -> int | None:
    """How many bytes at least a container says to have, by its first ones; None: it does not say.

    Of AVI, Matroska and WebM, and ASF. What is shorter has been cut off. AVI of more than a
    gigabyte has more parts than it tells here.
    """
    if head[:4] == b"RIFF" and head[8:11] == b"AVI":
        size = int.from_bytes(head[4:8], "little")
        # Without the first 8 bytes, which some cameras count in. 0 and -1 mean: not known yet.
        return size if 0 < size < 0xFFFFFF00 else None
    if head.startswith(_EBML):
        return _matroska_size(head)
    if head.startswith(_ASF):
        start = int.from_bytes(head[16:24], "little")
        size = int.from_bytes(head[start + 16 : start + 24], "little")
        return start + size if size > 0 and len(head) >= start + 24 else None
    return None


def needs_seeking(head: bytes) -> bool | None:
    """Whether an MP4 or MOV has its index behind its frames; None where `head` does not reach."""
    position = 0
    while position + 16 <= len(head):
        size, kind = int.from_bytes(head[position : position + 4], "big"), head[position + 4 :][:4]
        if kind in (b"moov", b"moof"):
            return False
        if kind == b"mdat" or size == 0:
            return kind == b"mdat"
        if size == 1:
            size = int.from_bytes(head[position + 8 : position + 16], "big")
        if size < 8:
            return False
        position += size
    return None


def _matroska_size(head: bytes) -> int | None:
    header_size, position = _ebml_number(head, 4)
    if header_size is None:
        return None
    position += header_size
    if head[position : position + 4] != _SEGMENT:
        return None
    size, position = _ebml_number(head, position + 4)
    return None if size is None else position + size


def _ebml_number(data: bytes, position: int) -> tuple[int | None, int]:
    """A number of Matroska and where it ends; None where it is unknown or cut off."""
    first = data[position : position + 1]
    length = 9 - first[0].bit_length() if first and first[0] else 0
    digits = data[position : position + length]
    if length == 0 or len(digits) < length:
        return None, position
    number = int.from_bytes(digits, "big") & ((1 << 7 * length) - 1)
    return (None if number == (1 << 7 * length) - 1 else number), position + length

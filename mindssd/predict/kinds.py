"""Pictures and videos told apart by their first bytes, and videos by their suffix."""

VIDEO_SUFFIXES = frozenset(
    {".mp4", ".m4v", ".mov", ".qt", ".3gp", ".3g2", ".mkv", ".webm", ".avi", ".divx", ".flv"}
    | {".f4v", ".ts", ".mts", ".m2ts", ".mpg", ".mpeg", ".mpe", ".m2v", ".vob", ".wmv", ".asf"}
    | {".ogv", ".ogm", ".mjpg", ".mjpeg", ".dv", ".mxf", ".y4m", ".gif"}
)
"""What counts as a video in a folder; a file given by name may be called anything."""

GIF_SIGNATURE = b"GIF8"

HEAD_BYTES = 256
"""So many first bytes tell the kind: a transport stream's packets repeat after 188."""

_PICTURES = (
    b"\xff\xd8\xff",  # JPEG
    b"\x89PNG\r\n\x1a\n",
    b"BM",
    b"II*\0",  # TIFF, and in the next line the byte order of others
    b"MM\0*",
    b"\0\0\0\x0cjP  \r\n\x87\n",  # JPEG 2000, and its code stream without a container
    b"\xff\x4f\xff\x51",
    *(f"P{kind}{space}".encode() for kind in range(1, 8) for space in " \t\r\n"),  # Netpbm
)
_PICTURE_BRANDS = frozenset(
    {b"avif", b"avis", b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1"}
)
_VIDEOS = (
    GIF_SIGNATURE,
    b"\x1aE\xdf\xa3",  # Matroska and WebM
    b"OggS",
    b"FLV\x01",
    b"\x30\x26\xb2\x75\x8e\x66\xcf\x11",  # ASF: .wmv
    b"\0\0\x01\xba",  # MPEG's program stream, and its video without a container
    b"\0\0\x01\xb3",
    b"YUV4MPEG2 ",
    b"\x06\x0e\x2b\x34",  # MXF
)
_OF_TEXT = b"\t\n\r\f\x1b"  # the last begins a colour of a terminal
_QUICKTIME_ATOMS = frozenset({b"ftyp", b"moov", b"mdat", b"wide", b"free", b"skip", b"pnot"})


def looks_like_picture(head: bytes) -> bool:
    """Whether these bytes begin a still picture. A GIF may be one, but counts as a video here."""
    if head[:4] == b"RIFF":
        return head[8:12] == b"WEBP"
    if head[4:8] == b"ftyp":
        return head[8:12] in _PICTURE_BRANDS
    return head.startswith(_PICTURES)


def looks_like_video(head: bytes) -> bool:
    """Whether these bytes begin a container of videos; it may hold only sound."""
    if head[:4] == b"RIFF":
        return head[8:11] == b"AVI"
    return is_quicktime(head) or head.startswith(_VIDEOS) or is_transport_stream(head)


def looks_like_text(head: bytes) -> bool:
    """Whether it is text, such as a list of other videos, which FFmpeg would follow or draw."""
    return not looks_like_video(head) and not any(b < 32 and b not in _OF_TEXT for b in head)


def is_quicktime(head: bytes) -> bool:
    """Whether it is MP4, MOV, 3GP or a relative."""
    return head[4:8] in _QUICKTIME_ATOMS and not looks_like_picture(head)


def is_transport_stream(head: bytes) -> bool:
    """Whether it is an MPEG transport stream, whose packets begin with 0x47.

    They have 188 bytes, or 192 (M2TS). TypeScript has the suffix .ts too, and no such pattern.
    """
    return any(
        head[first : first + 1] == b"\x47" == head[first + size : first + size + 1]
        for first, size in ((0, 188), (4, 192), (0, 204))
    )

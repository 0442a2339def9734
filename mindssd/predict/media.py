"""What a video file, stream or pipe holds: a still picture, or a video."""

import io
import sys
from contextlib import ExitStack
from pathlib import Path
from typing import IO

from PIL import Image

from mindssd.errors import ImageError
from mindssd.files import is_http
from mindssd.images import decode_image, read_image
from mindssd.predict.byte_streams import ByteStream, open_http
from mindssd.predict.camera import Camera
from mindssd.predict.containers import needs_seeking
from mindssd.predict.kinds import (
    GIF_SIGNATURE,
    HEAD_BYTES,
    VIDEO_SUFFIXES,
    is_quicktime,
    looks_like_picture,
    looks_like_video,
)
from mindssd.predict.sources import StandardInput, Video
from mindssd.predict.video import VideoReader
from mindssd.types import Array

# Where one JPEG or PNG follows another: a film of pictures, as `ffmpeg -f image2pipe` writes it.
_SEAMS = (b"\xff\xd9\xff\xd8\xff", b"IEND\xaeB`\x82\x89PNG")
_MULTI_PICTURE = b"MPF\0"  # a phone's photograph, behind which lie others of the same scene

_FARTHEST_INDEX = 1 << 20
_PLAYLISTS = ("mpegurl", "dash+xml")


def open_media(source: Video | StandardInput) -> Array | VideoReader:
    """A still picture as (H, W, 3) uint8 RGB, upright, or else a video.

    ImageError, without passwords and tokens, where it is neither or cannot be opened.
    """
    if isinstance(source, StandardInput):
        return _from_standard_input(source.name)
    if source.is_camera:
        return Camera(int(source.address), source.name)
    if not source.is_live:
        return _from_file(source.path)
    if is_http(source.address):
        return _from_server(source.address, source.name)
    # OpenCV's way, and a camera's pictures then come whole.
    options = {"rtsp_flags": "prefer_tcp"} if source.address.lower().startswith("rtsp") else {}
    return VideoReader(source.address, source.name, is_live=True, options=options)


def _from_file(path: Path) -> Array | VideoReader:
    try:
        if not path.is_file():  # a pipe with a name
            file = path.open("rb", buffering=0)
            return _from_stream(ByteStream(file, close=file.close), str(path))
        with path.open("rb") as opened:
            head = opened.read(HEAD_BYTES)
    except OSError as error:
        raise ImageError(f"{path}: cannot be read: {error.strerror}") from error
    if not head:
        raise ImageError(f"{path}: the file is empty")
    if head.startswith(GIF_SIGNATURE) and _is_still(path):
        return read_image(path)
    if looks_like_picture(head):
        with path.open("rb") as opened:
            data = _picture(ByteStream(opened))
        if data is None:
            return VideoReader(path, format_name=_film_format(head))
        return decode_image(data, str(path))
    try:
        return VideoReader(path)
    except ImageError:
        if looks_like_video(head) or path.suffix.lower() in VIDEO_SUFFIXES:
            raise
        raise ImageError(f"{path}: is neither an image nor a video that can be read") from None


def _from_standard_input(name: str) -> Array | VideoReader:
    if sys.stdin is None or sys.stdin.closed or sys.stdin.isatty():
        raise ImageError(f"{name}: is not a pipe; pipe an image or video in")
    return _from_stream(ByteStream(sys.stdin.buffer), name)


def _from_server(address: str, name: str) -> Array | VideoReader:
    stream, kind = open_http(address, name)
    if kind.endswith(_PLAYLISTS) or stream.peek(HEAD_BYTES).startswith((b"#EXTM3U", b"<MPD")):
        stream.close()
        return VideoReader(address, name, is_live=True)  # FFmpeg fetches what the list names
    if kind == "multipart/x-mixed-replace":  # Motion JPEG, whose frames have no time stamps
        options = {"use_wallclock_as_timestamps": "1"}
        return _from_stream(stream, name, format_name="mpjpeg", options=options)
    return _from_stream(stream, name)


def _from_stream(
    stream: ByteStream,
    name: str,
    format_name: str | None = None,
    options: dict[str, str] | None = None,
) -> Array | VideoReader:
    """What comes out of a pipe or from a server; the stream is closed unless a video needs it."""
    try:
        head = stream.peek(HEAD_BYTES)
        stream.check()
        if not head:
            raise ImageError(f"{name}: {stream.fault or 'is empty; pipe an image or video in'}")
        if looks_like_picture(head) or head.startswith(GIF_SIGNATURE):
            data = _picture(stream)
            if data is not None:
                return _from_bytes(data, stream, name)
            format_name = _film_format(head)
        if _needs_seeking(stream):
            return VideoReader(_spooled(stream, name), name)
        return VideoReader(stream, name, is_live=True, format_name=format_name, options=options)
    except BaseException:
        stream.close()
        raise


def _spooled(stream: ByteStream, name: str) -> IO[bytes]:
    """The whole stream in a temporary file, and the stream closed."""
    try:
        file = stream.spooled()
    except OSError as error:
        raise ImageError(f"{name}: cannot be kept in a temporary file: {error.strerror}") from error
    with ExitStack() as stack:
        stack.callback(file.close)
        stream.check()
        if stream.fault:
            raise ImageError(f"{name}: breaks off: {stream.fault}")
        stream.close()
        stack.pop_all()
    return file


def _picture(stream: ByteStream) -> bytes | None:
    """All of a stream that begins as a picture; None, with nothing read, where others follow."""
    stream.peek(HEAD_BYTES)
    data = stream.until(() if _MULTI_PICTURE in stream.head else _SEAMS)
    stream.check()
    return data


def _film_format(head: bytes) -> str:
    """How FFmpeg calls pictures that follow each other; it would not be sure for a megabyte."""
    return "png_pipe" if head.startswith(b"\x89PNG") else "mjpeg"


def _from_bytes(data: bytes, stream: ByteStream, name: str) -> Array | VideoReader:
    """A picture or GIF that came whole."""
    stream.close()
    if stream.fault:
        raise ImageError(f"{name}: breaks off: {stream.fault}")
    if data.startswith(GIF_SIGNATURE) and not _is_still(io.BytesIO(data)):
        return VideoReader(io.BytesIO(data), name)
    return decode_image(data, name)


def _is_still(file: Path | io.BytesIO) -> bool:
    """Whether a GIF has one picture alone; not where it is damaged."""
    try:
        with Image.open(file) as image:
            return getattr(image, "n_frames", 1) == 1
    except Exception:  # Pillow has no one error for what is damaged
        return False


def _needs_seeking(stream: ByteStream) -> bool:
    """Whether the stream is an MP4 or MOV whose index comes behind its frames."""
    count = HEAD_BYTES
    while True:
        head = stream.peek(count)
        if not is_quicktime(head):
            return False
        needs = needs_seeking(head)
        if needs is not None or len(head) < count or count > _FARTHEST_INDEX:
            return needs is not False
        count *= 2

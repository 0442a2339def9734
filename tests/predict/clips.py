"""Small videos and a picture for the tests, and a server that gives them as it is told."""

import io
import struct
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from fractions import Fraction
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import av
import numpy as np
from PIL import Image

from mindssd.errors import ImageError
from mindssd.predict.video import VideoReader
from mindssd.types import Array

SIZE = (48, 64)

SECRETS = ("secret", "user", "t0ken")
"""What no message may repeat of an address."""


def picture(index: int, size: tuple[int, int] = SIZE) -> Array:
    """A frame that tells its number by its brightness, 8 a step, with something to compress."""
    noise = np.random.default_rng(7).integers(0, 8, (*size, 1), dtype=np.uint8)
    return np.repeat(noise + np.uint8(8 * (index % 31)), 3, axis=2)


def number_of(image: Array) -> int:
    """Which `picture` an image was."""
    return round((float(image.mean()) - 3.5) / 8)


def write_clip(
    path: Path,
    count: int = 20,
    *,
    rate: int = 10,
    times: Sequence[float] | None = None,
    size: tuple[int, int] = SIZE,
    codec: str = "libx264",
    pixels: str = "yuv420p",
    format_name: str | None = None,
    container: dict[str, str] | None = None,
    options: dict[str, str] | None = None,
) -> Path:
    """Write `picture` 0, 1, … at a rate, or at `times` in seconds."""
    with av.open(str(path), "w", format=format_name, container_options=container or {}) as file:
        stream = file.add_stream(codec, rate=rate, options=options or {})
        stream.height, stream.width = size
        stream.pix_fmt = pixels
        if times is not None:
            stream.codec_context.time_base = Fraction(1, 1000)
        for index in range(count if times is None else len(times)):
            frame = av.VideoFrame.from_ndarray(picture(index, size), format="rgb24")
            if times is not None:
                frame.pts, frame.time_base = round(times[index] * 1000), Fraction(1, 1000)
            file.mux(stream.encode(frame))
        file.mux(stream.encode(None))
    return path


def faststart(path: Path, **settings: Any) -> Path:
    """An MP4 that has its index before its frames."""
    return write_clip(path, container={"movflags": "faststart"}, **settings)


def rotated(path: Path, matrix: Sequence[int]) -> Path:
    """Write a display matrix (a, b, c, d) of -1, 0, 1 into an MP4, as a phone does."""
    data = path.read_bytes()
    unit = struct.pack(">9i", 1 << 16, 0, 0, 0, 1 << 16, 0, 0, 0, 1 << 30)
    a, b, c, d = (value << 16 for value in matrix)
    track = data.index(b"tkhd")
    place = data.index(unit, track)
    path.write_bytes(
        data[:place]
        + struct.pack(">9i", a, b, 0, c, d, 0, 0, 0, 1 << 30)
        + data[place + len(unit) :]
    )
    return path


def read(reader: VideoReader) -> tuple[list[int], list[float]]:
    """The numbers of all frames, and their seconds to the millisecond."""
    frames = list(reader.frames())
    return [number_of(f.image) for f in frames], [round(f.seconds, 3) for f in frames]


Answer = Callable[[BaseHTTPRequestHandler], None]


@contextmanager
def serving(answer: Answer, protocol: str = "HTTP/1.1") -> Iterator[str]:
    """A server of this machine that answers each request so; gives its address."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = protocol

        def do_GET(self) -> None:
            answer(self)

        def log_message(self, *arguments: object) -> None: ...

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def body(data: bytes, kind: str = "video/mp4", announced: int | None = None) -> Answer:
    """Send these bytes, and announce so many, by default as many."""

    def answer(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(200)
        handler.send_header("Content-Type", kind)
        handler.send_header("Content-Length", str(len(data) if announced is None else announced))
        handler.send_header("Connection", "close")
        handler.end_headers()
        handler.wfile.write(data)
        handler.close_connection = True

    return answer


def photo(kind: str = "JPEG", orientation: int = 1, size: tuple[int, int] = (40, 20)) -> bytes:
    """A picture of (width, height) `size`, white in its left half."""
    image = Image.new("RGB", size, "black")
    image.paste("white", (0, 0, size[0] // 2, size[1]))
    exif = Image.Exif()
    exif[0x0112] = orientation
    data = io.BytesIO()
    image.save(data, kind, exif=exif)
    return data.getvalue()


def said_at_end(reader: object) -> tuple[int, str]:
    """How many frames a video gives, and what is said at its end."""
    assert isinstance(reader, VideoReader)
    count = 0
    try:
        for _ in reader.frames():
            count += 1
    except ImageError as error:
        assert not any(secret in str(error) for secret in SECRETS)
        return count, str(error).partition(": ")[2]
    return count, ""

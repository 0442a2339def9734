"""What comes from a server: pictures, videos, and both broken off or refused."""

import io
import socket
import struct
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from mindssd.errors import ImageError
from mindssd.predict import media
from mindssd.predict.byte_streams import ByteStream
from mindssd.predict.media import open_media
from mindssd.predict.sources import Video
from mindssd.predict.video import VideoReader
from tests.predict.clips import (
    SECRETS,
    body,
    faststart,
    photo,
    said_at_end,
    serving,
    write_clip,
)


def of_server(address: str, place: str) -> Video:
    """A video of a server that is asked for with a password and a token."""
    return Video(
        address.replace("//", "//user:secret@") + f"/{place}?token=t0ken#t0ken", is_live=True
    )


def test_a_picture_of_a_server_is_upright_and_called_as_there() -> None:
    with serving(body(photo(orientation=6), "image/jpeg")) as address:
        source = of_server(address, "garden/photo.jpg")
        image = open_media(source)
    assert isinstance(image, np.ndarray) and image.shape == (40, 20, 3)
    assert image[5, 10].min() > 240 and image[35, 10].max() < 15
    assert (source.path, source.stem) == (Path("photo.jpg"), "photo")
    assert not any(secret in source.name for secret in SECRETS)


@pytest.mark.parametrize("protocol", ["HTTP/1.0", "HTTP/1.1"])
@pytest.mark.parametrize("name", ["a.mp4", "a.ts", "a.flv", "moov_last.mp4", "a.mkv"])
def test_a_video_of_a_server_is_read(tmp_path: Path, protocol: str, name: str) -> None:
    make = faststart if name == "a.mp4" else write_clip
    data = make(tmp_path / name, size=(96, 128), options={"g": "1"}).read_bytes()
    with serving(body(data), protocol) as address:
        assert said_at_end(open_media(of_server(address, name))) == (20, "")
    with serving(body(data[: len(data) * 7 // 10], announced=len(data)), protocol) as address:
        source = of_server(address, name)
        if name == "moov_last.mp4":  # of which nothing can be read
            with pytest.raises(ImageError, match=r"breaks off: its last .* bytes are missing"):
                open_media(source)
            return
        count, said = said_at_end(open_media(source))
    missing = len(data) - len(data) * 7 // 10
    assert 5 < count < 20 and said.endswith(
        f"breaks off after {count} frames: its last {missing} bytes are missing"
    )


def chunked(data: bytes, is_whole: bool, reset: bool = False) -> Callable[..., None]:
    """Send in chunks, as a live stream; without the last one where it breaks off."""

    def answer(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(200)
        handler.send_header("Transfer-Encoding", "chunked")
        handler.end_headers()
        for start in range(0, len(data), 10_000):
            part = data[start : start + 10_000]
            handler.wfile.write(b"%x\r\n%b\r\n" % (len(part), part))
        if is_whole:
            handler.wfile.write(b"0\r\n\r\n")
        if reset:
            linger = struct.pack("ii", 1, 0)
            handler.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
            handler.connection.close()
        handler.close_connection = True

    return answer


def test_a_live_stream_ends_well_or_breaks_off(tmp_path: Path) -> None:
    data = write_clip(tmp_path / "a.ts", options={"g": "1"}).read_bytes()
    with serving(chunked(data, is_whole=True)) as address:
        assert said_at_end(open_media(of_server(address, "live"))) == (20, "")
    with serving(chunked(data, is_whole=False)) as address:
        count, said = said_at_end(open_media(of_server(address, "live")))
    assert count == 20 and "breaks off after 20 frames: the connection ended within it" in said


def test_a_connection_that_is_reset_is_a_fault(tmp_path: Path) -> None:
    data = write_clip(tmp_path / "a.ts", 400, options={"g": "1"}).read_bytes()
    with serving(chunked(data, is_whole=False, reset=True)) as address:
        try:
            _, said = said_at_end(open_media(of_server(address, "live")))
        except ImageError as error:  # where the reset overtakes the data
            said = str(error)
    assert "reset" in said or "ended within it" in said


def test_a_server_that_falls_silent_is_a_fault(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = write_clip(tmp_path / "a.ts", options={"g": "1"}).read_bytes()
    done = threading.Event()

    def answer(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(200)
        handler.end_headers()
        handler.wfile.write(data)
        handler.wfile.flush()
        done.wait(60)
        handler.close_connection = True

    monkeypatch.setattr("mindssd.http.TIMEOUT_S", 0.5)
    with serving(answer) as address:
        count, said = said_at_end(open_media(of_server(address, "live")))
        done.set()
    assert count == 20 and "nothing came for" in said


def test_motion_jpeg_of_a_camera_is_a_video() -> None:
    pictures = [
        b"--frame\r\nContent-Type: image/jpeg\r\nContent-Length: %d\r\n\r\n%b\r\n" % (len(d), d)
        for d in (photo(),) * 12
    ]

    def answer(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(200)
        handler.send_header("Content-Type", "multipart/x-mixed-replace; boundary=frame")
        handler.end_headers()
        for part in pictures:
            handler.wfile.write(part)
        handler.wfile.write(b"--frame--\r\n")
        handler.close_connection = True

    with serving(answer, "HTTP/1.0") as address:
        video = open_media(of_server(address, "video.cgi"))
        assert isinstance(video, VideoReader)
        frames = list(video.frames())
    assert len(frames) == 12 and frames[0].seconds == 0 and video.num_lost == 0
    assert all(a.seconds <= b.seconds for a, b in pairwise(frames))


def test_a_password_is_used_where_it_is_asked_for() -> None:
    seen = []

    def answer(handler: BaseHTTPRequestHandler) -> None:
        seen.append((handler.path, handler.headers["Authorization"], handler.headers["Host"]))
        if handler.headers["Authorization"] is None:
            handler.send_response(401)
            handler.send_header("WWW-Authenticate", 'Basic realm="camera"')
            handler.send_header("Content-Length", "0")
            handler.end_headers()
        else:
            body(photo(), "image/jpeg")(handler)

    with serving(answer) as address:
        assert isinstance(open_media(of_server(address, "a b.jpg".replace(" ", "%20"))), np.ndarray)
    assert [(path, user) for path, user, _ in seen] == [
        ("/a%20b.jpg?token=t0ken", None),
        ("/a%20b.jpg?token=t0ken", "Basic dXNlcjpzZWNyZXQ="),
    ]
    assert all("@" not in host for _, _, host in seen)


@pytest.mark.parametrize("status", [401, 403, 404, 500])
def test_a_server_that_refuses_is_one_line_without_secrets(status: int) -> None:
    def answer(handler: BaseHTTPRequestHandler) -> None:
        handler.send_error(status)

    with (
        serving(answer) as address,
        pytest.raises(ImageError, match=rf"opened: {status} ") as caught,
    ):
        open_media(of_server(address, "x"))
    assert not any(secret in str(caught.value) for secret in SECRETS)
    assert "\n" not in str(caught.value) and caught.value.__cause__ is None


@pytest.mark.parametrize(
    "address",
    [
        "rtsp://user:secret@127.0.0.1:9/s?token=t0ken",
        "rtmp://user:secret@127.0.0.1:9/s?token=t0ken",
        "tcp://user:secret@127.0.0.1:9",
        "http://user:secret@127.0.0.1:9/s?token=t0ken",
        "http://user:sec/ret@127.0.0.1:9/s?token=t0ken",
        "https://user:secret@[::1/s?token=t0ken",
    ],
)
def test_what_cannot_be_reached_is_one_line_without_secrets(
    address: str, capfd: pytest.CaptureFixture[str]
) -> None:
    source = Video(address, is_live=True)
    with pytest.raises(ImageError, match="cannot be opened") as caught:
        open_media(source)
    for text in (str(caught.value), source.name, str(source.path), repr(source)):
        assert not any(secret in text for secret in ("user", "sec", "ret@", "t0ken"))
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("scheme", ["http", "HTTP"])
def test_a_playlist_of_a_server_is_followed(tmp_path: Path, scheme: str) -> None:
    parts = {}
    for number in range(2):
        path = write_clip(tmp_path / f"{number}.ts", 10, options={"g": "1"})
        parts[f"/{number}.ts"] = path.read_bytes()
    parts["/list.m3u8"] = (
        b"#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\n0.ts\n"
        b"#EXT-X-DISCONTINUITY\n#EXTINF:1,\n1.ts\n#EXT-X-ENDLIST\n"
    )

    def answer(handler: BaseHTTPRequestHandler) -> None:
        path = handler.path.partition("?")[0]
        kind = "application/vnd.apple.mpegurl" if path.endswith("m3u8") else "video/mp2t"
        body(parts[path], kind)(handler)

    with serving(answer) as address:
        place = f"{scheme}{address.removeprefix('http')}/list.m3u8?k=1"
        count, said = said_at_end(open_media(Video(place, is_live=True)))
    assert (count, said) == (20, "")


def test_a_live_playlist_whose_server_dies_breaks_off(tmp_path: Path) -> None:
    """No #EXT-X-ENDLIST: more is to come."""
    data = write_clip(tmp_path / "a.ts", 10, options={"g": "1"}).read_bytes()

    def answer(handler: BaseHTTPRequestHandler) -> None:
        is_list = handler.path.startswith("/live.m3u8")
        part = b"#EXT-X-DISCONTINUITY\n#EXTINF:1,\na.ts\n"
        playlist = b"#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXT-X-MEDIA-SEQUENCE:0\n" + part * 3
        kind = "application/vnd.apple.mpegurl" if is_list else "video/mp2t"
        body(playlist if is_list else data, kind)(handler)

    with serving(answer) as address:
        video = open_media(Video(f"{address}/live.m3u8", is_live=True))
        assert isinstance(video, VideoReader)
        frames = video.frames()
        next(frames)
    with pytest.raises(ImageError, match=r"live\.m3u8: breaks off .*: its server has gone"):
        list(frames)


def test_a_ctrl_c_within_ffmpegs_reading_is_not_lost(tmp_path: Path) -> None:
    data = faststart(tmp_path / "a.mp4").read_bytes()

    class Interrupted(io.BytesIO):
        def read1(self, count: int | None = -1) -> bytes:
            if self.tell() > len(data) // 2:
                raise KeyboardInterrupt
            return super().read1(200)

    with pytest.raises(KeyboardInterrupt):
        video = media._from_stream(ByteStream(Interrupted(data)), "x")
        assert isinstance(video, VideoReader)
        list(video.frames())

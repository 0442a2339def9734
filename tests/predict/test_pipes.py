"""What comes through a pipe: pictures, videos, and both broken off."""

import io
import os
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mindssd.errors import ImageError
from mindssd.predict.byte_streams import ByteStream
from mindssd.predict.media import open_media
from mindssd.predict.sources import StandardInput, Video
from mindssd.predict.video import VideoReader
from tests.predict.clips import (
    SIZE,
    faststart,
    photo,
    picture,
    read,
    said_at_end,
    write_clip,
)


@contextmanager
def piped(data: bytes, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Standard input as a real pipe, which nobody can seek in."""
    reading, writing = os.pipe()

    def write() -> None:
        with suppress(BrokenPipeError), os.fdopen(writing, "wb") as file:
            file.write(data)

    thread = threading.Thread(target=write)
    thread.start()
    with os.fdopen(reading) as file:
        monkeypatch.setattr(sys, "stdin", file)
        yield
    thread.join()


def spool_is_refused(self: ByteStream) -> object:
    raise AssertionError("kept in a temporary file")


@pytest.mark.parametrize("name", ["a.mp4", "a.mkv", "a.webm", "a.ts", "a.avi", "a.flv", "a.mjpeg"])
def test_a_piped_video_is_read_as_it_comes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setattr(ByteStream, "spooled", spool_is_refused)
    codec = {"a.webm": "libvpx", "a.avi": "mpeg4", "a.mjpeg": "mjpeg"}.get(name, "libx264")
    make: Callable[..., Path] = faststart if name == "a.mp4" else write_clip
    pixels = "yuvj420p" if codec == "mjpeg" else "yuv420p"
    data = make(tmp_path / name, codec=codec, pixels=pixels, rate=25).read_bytes()
    with piped(data, monkeypatch):
        video = open_media(StandardInput())
        assert isinstance(video, VideoReader)
        numbers, seconds = read(video)
    assert numbers == list(range(20)) and seconds == [index / 25 for index in range(20)]


@pytest.mark.parametrize("name", ["a.mp4", "a.mov", "a.3gp"])
def test_a_piped_video_with_its_index_at_the_end_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    data = write_clip(tmp_path / name, rate=25).read_bytes()
    assert data.index(b"mdat") < data.index(b"moov")
    with piped(data, monkeypatch):
        assert said_at_end(open_media(StandardInput())) == (20, "")


def test_an_index_behind_much_free_room_is_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = write_clip(tmp_path / "a.mp4", container={"moov_size": "200000"}).read_bytes()
    assert data.index(b"moov") < data.index(b"mdat") and data.index(b"mdat") > 100_000
    monkeypatch.setattr(ByteStream, "spooled", spool_is_refused)
    with piped(data, monkeypatch):
        assert said_at_end(open_media(StandardInput())) == (20, "")


def test_a_pipe_that_goes_on_is_read_frame_by_frame(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first frames come while the pipe is still open, so that it may be endless."""
    data = write_clip(
        tmp_path / "a.mjpeg", 200, codec="mjpeg", pixels="yuvj420p", size=(240, 320)
    ).read_bytes()
    reading, writing = os.pipe()
    go_on = threading.Event()

    def write() -> None:
        with os.fdopen(writing, "wb") as file:
            file.write(data)
            file.flush()
            go_on.wait(60)

    thread = threading.Thread(target=write)
    thread.start()
    with os.fdopen(reading) as file:
        monkeypatch.setattr(sys, "stdin", file)
        video = open_media(StandardInput())
        assert isinstance(video, VideoReader)
        frames = video.frames()
        first = [next(frames) for _ in range(100)]
        go_on.set()
        assert len(first) + len(list(frames)) == 200
    thread.join()


@pytest.mark.parametrize("name", ["a", "a.mp4", "a.dat", "a.txt"])
def test_a_file_is_what_its_content_is(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    path.write_bytes(photo(orientation=6))
    image = open_media(Video(str(path)))
    assert isinstance(image, np.ndarray) and image.shape == (40, 20, 3)
    path.write_bytes(write_clip(tmp_path / "b.ts").read_bytes())
    assert said_at_end(open_media(Video(str(path)))) == (20, "")
    path.write_bytes(photo() * 3)  # one after the other
    assert said_at_end(open_media(Video(str(path)))) == (3, "")
    path.write_bytes(photo("PNG") * 3)
    assert said_at_end(open_media(Video(str(path)))) == (3, "")
    path.write_text("a text")
    with pytest.raises(ImageError, match=r"is text, not a video|is neither an image nor"):
        open_media(Video(str(path)))


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF", "MPO", "GIF", "BMP"])
def test_a_piped_picture_is_a_picture(monkeypatch: pytest.MonkeyPatch, kind: str) -> None:
    with piped(photo(kind), monkeypatch):
        image = open_media(StandardInput())
    assert isinstance(image, np.ndarray) and image.shape == (20, 40, 3)
    assert image[10, 5].min() > 240 and image[10, 35].max() < 15


def test_a_photograph_with_others_behind_it_is_one_picture(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    data = io.BytesIO()
    first, second = (Image.open(io.BytesIO(photo())) for _ in range(2))
    first.save(data, "MPO", save_all=True, append_images=[second])
    with piped(data.getvalue(), monkeypatch):
        assert isinstance(open_media(StandardInput()), np.ndarray)


def test_a_moving_gif_is_a_video_and_a_still_one_a_picture(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    frames = [Image.fromarray(picture(index)) for index in range(6)]
    for count in (1, 6):
        path = tmp_path / f"{count}.gif"
        frames[0].save(path, save_all=True, append_images=frames[1:count], duration=100)
        with piped(path.read_bytes(), monkeypatch):
            for found in (open_media(StandardInput()), open_media(Video(str(path)))):
                if count == 1:
                    assert isinstance(found, np.ndarray) and found.shape == (*SIZE, 3)
                else:
                    assert said_at_end(found) == (6, "")


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"", "standard input: is empty"),
        (b"no image", "standard input: is text, not a video"),
        (bytes(5000), "standard input: cannot be read as a video"),
        (photo()[:-300], "standard input: "),
    ],
)
def test_what_is_no_picture_and_no_video_is_one_line(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], data: bytes, said: str
) -> None:
    with piped(data, monkeypatch), pytest.raises(ImageError, match=said) as caught:
        open_media(StandardInput())
    assert "\n" not in str(caught.value) and capfd.readouterr() == ("", "")


def test_a_terminal_or_closed_standard_input_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", None)
    with pytest.raises(ImageError, match="standard input: is not a pipe"):
        open_media(StandardInput())


def test_a_pipe_with_a_name_is_read_once(tmp_path: Path) -> None:
    data = faststart(tmp_path / "a.mp4").read_bytes()
    os.mkfifo(tmp_path / "pipe")
    thread = threading.Thread(target=lambda: (tmp_path / "pipe").write_bytes(data))
    thread.start()
    assert said_at_end(open_media(Video(str(tmp_path / "pipe")))) == (20, "")
    thread.join()

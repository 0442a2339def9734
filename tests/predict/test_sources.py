"""What a word on the command line stands for, and what is passed by is said."""

import os
from pathlib import Path

import pytest

from mindssd.errors import ImageError
from mindssd.files import redacted
from mindssd.predict.sources import ImageFile, Video, find_sources
from tests.predict.clips import write_clip

JPEG = b"\xff\xd8\xff\xe0\0\x10JFIF"
TRANSPORT = (b"\x47" + bytes(187)) * 3
MP4 = b"\0\0\0\x20ftypisom\0\0\2\0isomiso2avc1mp41"


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def put(*names: str, data: bytes = b"x") -> None:
    for name in names:
        Path(name).parent.mkdir(parents=True, exist_ok=True)
        Path(name).write_bytes(data)


def found(*words: str) -> tuple[list[str], list[str], list[str]]:
    """The images, the videos, and the notes of some words."""
    result = find_sources(words)
    images = [source.name for source in result.sources if isinstance(source, ImageFile)]
    videos = [source.name for source in result.sources if isinstance(source, Video)]
    return images, videos, result.notes


def test_a_folder_gives_every_kind_of_image_and_video() -> None:
    images = [f"in/a.{s}" for s in ("avif", "heic", "jfif", "jp2", "jpe", "JPG", "ppm", "tiff")]
    videos = [f"in/b.{s}" for s in ("3gp", "avi", "flv", "gif", "m4v", "MOV", "ogv", "webm", "wmv")]
    put(*images, *videos)
    transports = ["in/c.m2ts", "in/c.mts", "in/c.ts"]
    put(*transports, data=TRANSPORT)
    assert found("in") == (sorted(images), sorted(videos + transports), [])


def test_what_a_folder_has_besides_is_counted_in_one_line() -> None:
    put("in/a.jpg", "in/b.txt", "in/c.txt", "in/d.PDF", "in/README", "in/._a.jpg", "in/.DS_Store")
    put("in/code.ts", "in/more.mts", data=b"export const a = 1\n")
    os.mkfifo("in/pipe.mp4")
    note = "in/: 8 files passed by (.txt, hidden, without suffix, .ts, .pdf, …)"
    assert found("in/") == (["in/a.jpg"], [], [note])


def test_images_in_folders_of_a_folder_are_said_and_the_way_to_them() -> None:
    put("my in/a.jpg", "my in/x/b.jpg", "my in/y/deep/c.mp4", "my in/z/d.txt", "my in/.git/e.png")
    images, videos, (note,) = found("my in")
    assert (images, videos) == (["my in/a.jpg"], [])
    assert note == (
        "my in: images also in 2 subfolders: my in/x, my in/y (name them, or 'my in/**/*')"
    )
    assert found("my in/**/*")[:2] == (["my in/a.jpg", "my in/x/b.jpg"], ["my in/y/deep/c.mp4"])


def test_a_folder_of_folders_alone_is_an_error_with_the_way_out() -> None:
    put("in/x/a.jpg", "in/note.txt")
    with pytest.raises(ImageError) as caught:
        found("in")
    assert str(caught.value) == (
        "in: no images there, and no videos; 1 file passed by (.txt); "
        "images in 1 subfolder: in/x (name them, or 'in/**/*')"
    )
    with pytest.raises(ImageError, match=r"^in/\*: no images there.*images in 1 subfolder: in/x"):
        found("in/*")


def test_a_glob_takes_what_shows_its_kind_and_counts_the_rest() -> None:
    put("in/a", "in/b.dat", data=JPEG)
    put("in/c.bin", data=MP4)
    put("in/d.txt", "in/e.jpg")
    assert found("in/*") == (
        ["in/e.jpg"],
        ["in/a", "in/b.dat", "in/c.bin"],
        ["in/*: 1 file passed by (.txt)"],
    )


def test_a_file_that_is_named_may_be_called_anything() -> None:
    put("film.jpg", data=MP4)
    put("stream.png", data=TRANSPORT)
    put("film", "notes.txt", "broken.jpg", "broken.mp4")
    assert found("film", "film.jpg", "stream.png", "broken.jpg", "broken.mp4", "notes.txt") == (
        ["broken.jpg"],
        ["film", "film.jpg", "stream.png", "broken.mp4", "notes.txt"],  # until they are opened
        [],
    )


def test_each_source_comes_once_and_in_order() -> None:
    put("b.jpg", "a.jpg")
    words = ["b.jpg", ".", "*.jpg", "7", "7", "rtsp://h/s", "rtsp://h/s"]
    sources = find_sources(words).sources
    assert sources[0] == ImageFile(Path("b.jpg")) and sources[1] == ImageFile(Path("a.jpg"))
    assert sources[2:] == [Video("7", is_live=True), Video("rtsp://h/s", is_live=True)]


@pytest.mark.parametrize(
    "name", ["a:b.mp4", "http:x.jpg", "C:\\x.mp4", "7", "rtsp:x", "a?b[1].jpg"]
)
def test_a_name_is_a_file_where_there_is_one(name: str) -> None:
    write_clip(Path("clip.mp4"), 2).rename(name)
    (source,) = find_sources([name]).sources
    assert source == Video(name) and source.path == Path(name)


def test_an_address_is_a_file_where_there_is_one() -> None:
    put("http:/host/a.jpg", data=JPEG)
    assert found("http://host/a.jpg")[0] == ["http:/host/a.jpg"]


@pytest.mark.parametrize("name", ["absent.jpg", "a:b.mp4", "C:\\x.mp4", "ftp://h/x", "*.gif"])
def test_a_name_that_is_nothing_is_an_error(name: str) -> None:
    with pytest.raises(ImageError) as caught:
        find_sources([name])
    assert str(caught.value).startswith(f"{name}: no ")


@pytest.mark.parametrize(
    ("address", "shown", "file"),
    [
        ("rtsp://10.0.0.7:554/street", "rtsp://10.0.0.7:554/street", "10.0.0.7_554_street"),
        ("rtsp://u:secret@host/a?token=secret&key=1", "rtsp://host/a?…", "host_a"),
        ("http://secret@host/p/photo.JPG?secret#secret", "http://host/p/photo.JPG?…", "photo.JPG"),
        ("https://host/a%20b.mp4", "https://host/a%20b.mp4", "a_b.mp4"),
        ("http://u:se@cr/e?t#@host:80/x", "http://host:80/x", "host_80_x"),
        ("http://u:12/secret@host/x", "http://host/x", "host_x"),
        ("http://[::1]:8080/cam.cgi", "http://[::1]:8080/cam.cgi", "1_8080_cam.cgi"),
        ("http://host/watch/@me/clip", "http://host/watch/@me/clip", "host_watch_me_clip"),
        ("rtsp://u:12?secret@host/x", "rtsp://host/x", "host_x"),
        ("rtsp://host/user=u&password=secret&channel=1.sdp", "rtsp://host/user=…", "host_user"),
        ("rtsp://host/u_password%3Dsecret/1", "rtsp://host/u_password%3D…/1", "host_u_password_1"),
        ("http://host/p;key=secret/a.jpg", "http://host/p;key=…/a.jpg", "a.jpg"),
        ("RTSP://host", "RTSP://host", "host"),
        ("udp://@:1234", "udp://:1234", "1234"),
        ("http://host/..%2f..%2fx.jpg", "http://host/..%2f..%2fx.jpg", "x.jpg"),
    ],
)
def test_an_address_is_shown_without_its_secrets(address: str, shown: str, file: str) -> None:
    assert redacted(address) == shown
    (source,) = find_sources([address]).sources
    assert isinstance(source, Video) and source.is_live and source.address == address
    assert source.name == shown and source.path == Path(file)
    assert source.stem == (
        Path(file).stem if file in ("photo.JPG", "a_b.mp4", "x.jpg", "a.jpg") else file
    )
    assert "secret" not in repr(source)


@pytest.mark.parametrize("scheme", ["rstp", "srt", "ftp", "rtsp ", "file"])
def test_what_is_no_address_that_is_read_shows_no_secrets_either(scheme: str) -> None:
    with pytest.raises(ImageError, match=r"host/x.*: no ") as caught:
        find_sources([f"{scheme}://u:secret@host/x y?token=secret"])
    assert "secret" not in str(caught.value)


def test_an_address_with_one_slash_shows_no_secrets_either() -> None:
    with pytest.raises(ImageError, match=r"^rtsp:/host/x: no ") as caught:
        find_sources(["rtsp:/u:secret@host/x"])
    assert "secret" not in str(caught.value)


def test_addresses_that_look_the_same_without_their_secrets_are_told_apart() -> None:
    sources = find_sources([f"rtsp://host/cam?channel={n}&key=secret" for n in (1, 2, 1)]).sources
    assert [source.name for source in sources] == ["rtsp://host/cam?…", "rtsp://host/cam?… (2)"]

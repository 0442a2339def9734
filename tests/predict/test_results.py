"""Each source that can be read has its own results, whatever its name and its neighbours."""

import csv
import io
import itertools
import json
import sys
import threading
from collections.abc import Callable, Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from signal import SIGINT
from typing import Any

import numpy as np
import pytest
from PIL import Image
from rich.console import Console

from mindssd.errors import ImageError, MindSSDError, OutputError
from mindssd.predict import job
from mindssd.predict.frames import Frame
from mindssd.predict.sinks.base import Seen
from mindssd.predict.sinks.table import CsvTable
from mindssd.predict.sources import Source
from mindssd.predict.stop import Stop
from mindssd.predict.video import VideoReader
from mindssd.predict.video_writer import VideoWriter
from mindssd.predict.writing import Outputs, Writing
from mindssd.types import Array
from tests.predict import formula

DARK, MEDIUM, BRIGHT = 20, 120, 220


@pytest.fixture(autouse=True)
def _formula(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(job, "load", formula.load)


def halves(left: int, right: int, height: int = 24, width: int = 32) -> Array:
    """A picture of which a cat is found in a half that is MEDIUM, a dog in a BRIGHT one."""
    picture = np.full((height, width, 3), left, np.uint8)
    picture[:, width // 2 :] = right
    return picture


def photo(path: Path, left: int = BRIGHT, right: int = DARK) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(halves(left, right)).save(path)
    return path


def clip(path: Path, frames: int = 5) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with VideoWriter(path, (24, 32), 10) as video:
        for index in range(frames):
            video.write(halves(MEDIUM, BRIGHT if index % 2 else DARK), index / 10)
    return path


class Played(VideoReader):
    """A camera or stream that gives `frames`."""

    def __init__(self, frames: Callable[[], Iterator[Frame]], num_lost: int = 0) -> None:
        self.rate, self.num_frames, self.num_lost = 25.0, None, num_lost
        self._frames = frames

    def frames(self) -> Iterator[Frame]:
        return self._frames()

    def close(self) -> None: ...


def run(
    out: Path, *words: Path | str, save: str = "drawn,json,csv,yolo,crops", **settings: Any
) -> tuple[list[MindSSDError], str]:
    """The errors and what was printed."""
    printed = io.StringIO()
    outputs = Outputs(out, save.split(","))
    names = [str(word) for word in words]
    console = Console(file=printed, width=400)
    return job.predict_files(
        Path("model"), names, outputs, settings, console
    ).errors, printed.getvalue()


def counts(out: Path) -> tuple[int, int, int, int, int]:
    """Images and detections by the JSON; rows of the table, lines of the labels, crops."""
    tree = json.loads((out / "detections.json").read_text())
    with (out / "detections.csv").open() as file:
        rows = len(list(csv.DictReader(file)))
    labels = [path.read_text() for path in (out / "labels").iterdir()]
    assert len(labels) == len(tree["images"])
    lines = sum(text.count("\n") for text in labels)
    crops = len(list(out.glob("crops/*/*.jpg")))
    return len(tree["images"]), len(tree["annotations"]), rows, lines, crops


def test_each_of_many_images_has_its_own_label_file_drawing_and_crops(tmp_path: Path) -> None:
    kinds = [(BRIGHT, DARK), (DARK, MEDIUM), (MEDIUM, BRIGHT), (DARK, DARK)]
    for index in range(40):
        photo(tmp_path / "in" / f"{index:02d}.jpg", *kinds[index % 4])
    out = tmp_path / "out"
    assert run(out, tmp_path / "in")[0] == []
    for index in range(40):
        lines = (out / "labels" / f"{index:02d}.txt").read_text().splitlines()
        assert [line[0] for line in lines] == [["1"], ["0"], ["1", "0"], []][index % 4]
        drawn = np.asarray(Image.open(out / f"{index:02d}.jpg"))
        for half, shade in zip((80, 240), kinds[index % 4], strict=True):  # enlarged to 320
            assert abs(int(drawn[200, half].mean()) - shade) < 10
    assert counts(out) == (40, 40, 40, 40, 40)


@pytest.mark.parametrize("order", [1, -1])
def test_a_videos_frames_and_an_image_named_like_one_keep_apart(tmp_path: Path, order: int) -> None:
    sources = [clip(tmp_path / "clip.mp4"), photo(tmp_path / "clip_000001.jpg", MEDIUM, BRIGHT)]
    assert run(tmp_path / "out", *sources[::order])[0] == []
    assert counts(tmp_path / "out") == (6, 9, 9, 9, 9)
    names = {path.name for path in (tmp_path / "out").iterdir()}
    if order == 1:
        assert {"clip.mp4", "clip_000001_2.jpg"} <= names
    else:
        assert {"clip_2.mp4", "clip_000001.jpg"} <= names


def test_images_of_one_stem_are_numbered_alike_in_all_that_is_made_of_them(
    tmp_path: Path,
) -> None:
    for name, shades in (
        *(("a.jpg", (BRIGHT, DARK)), ("a.png", (MEDIUM, DARK)), ("a.tif", (BRIGHT, MEDIUM))),
    ):
        photo(tmp_path / "in" / name, *shades)
    out = tmp_path / "out"
    run(out, tmp_path / "in")
    found = {path.stem: path.read_text() for path in (out / "labels").iterdir()}
    assert {stem: [line[0] for line in text.splitlines()] for stem, text in found.items()} == {
        "a": ["1"],
        "a_2": ["0"],
        "a_3": ["1", "0"],
    }
    assert {path.name for path in out.glob("a*")} == {"a.jpg", "a_2.png", "a_3.jpg"}
    assert {str(path.relative_to(out / "crops")) for path in out.glob("crops/*/*")} == {
        *("dog/a_1.jpg", "cat/a_2_1.jpg", "dog/a_3_1.jpg", "cat/a_3_2.jpg"),
    }


def test_what_cannot_be_written_of_one_is_told_and_the_others_are_whole(tmp_path: Path) -> None:
    photo(tmp_path / "in" / "a.jpg")
    photo(tmp_path / "in" / "b.jpg")
    Image.new("L", (10, 65501), 255).save(tmp_path / "in" / "long.tif")
    photo(tmp_path / "in" / f"{'n' * 247}.jpg")
    out = tmp_path / "out"
    (out / "b.jpg").mkdir(parents=True)  # in the place of a file
    errors, printed = run(out, tmp_path / "in")
    told = {Path(str(error).partition(":")[0]).relative_to(out).name for error in errors}
    assert told == {"b.jpg", "long.jpg", "long_1.jpg"}
    assert any("; and 1 more of its crops" in str(error) for error in errors)
    assert all(isinstance(error, OutputError) for error in errors)
    assert printed.count("not written: ") == len(errors)
    assert f"; {len(errors)} files not written" in printed
    images, detections, rows, lines, _ = counts(out)
    assert (images, rows, lines) == (4, detections, detections)
    assert {path.name for path in out.glob("*.jpg") if path.is_file()} > {"a.jpg"}


def test_a_name_that_had_to_be_cut_is_told(tmp_path: Path) -> None:
    long = "n" * 250
    photo(tmp_path / "in" / f"{long}.jpg")
    errors, printed = run(tmp_path / "out", tmp_path / "in")
    assert errors == [] and f"{long}.jpg: its name is too long; its files are nnn" in printed
    assert counts(tmp_path / "out") == (1, 1, 1, 1, 1)


def test_a_drawn_video_that_cannot_be_written_is_told_and_its_frames_count(
    tmp_path: Path,
) -> None:
    (tmp_path / "out" / "clip.mp4").mkdir(parents=True)
    errors, _ = run(tmp_path / "out", clip(tmp_path / "clip.mp4"), photo(tmp_path / "a.jpg"))
    (error,) = errors
    assert isinstance(error, OutputError) and "clip.mp4" in str(error)
    assert counts(tmp_path / "out") == (6, 8, 8, 8, 8)
    assert [path for path in (tmp_path / "out").iterdir() if path.name.startswith(".")] == []


def test_a_drawn_video_that_fails_at_its_end_is_told_and_the_rest_is_done(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source, image = clip(tmp_path / "clip.mp4"), photo(tmp_path / "a.jpg")

    original = VideoWriter._put

    def put(self: VideoWriter, frame: Any) -> None:
        if frame is None:  # which asks for the end
            raise RuntimeError("the encoder has failed")
        original(self, frame)

    monkeypatch.setattr(VideoWriter, "_put", put)
    errors, printed = run(tmp_path / "out", source, image)
    (error,) = errors
    assert isinstance(error, OutputError) and "the encoder has failed" in str(error)
    assert "1 file not written" in printed
    assert counts(tmp_path / "out") == (6, 8, 8, 8, 8)
    found = {path.name for path in (tmp_path / "out").iterdir()}
    assert found == {"a.jpg", "crops", "labels", "detections.json", "detections.csv"}


@pytest.mark.parametrize("fault", [RuntimeError("out of memory"), KeyboardInterrupt()])
@pytest.mark.parametrize("tile", [None, 32])
def test_whatever_ends_detection_what_was_seen_is_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fault: BaseException, tile: int | None
) -> None:
    looks = 0
    original = formula.bright_halves

    def forward(images: Array) -> tuple[Array, Array]:
        nonlocal looks
        looks += 1
        if looks == 30:
            raise fault
        return original(images)

    monkeypatch.setattr(formula, "bright_halves", forward)
    source = clip(tmp_path / "clip.mp4", frames=200)
    with pytest.raises(type(fault)):
        run(tmp_path / "out", source, tile=tile)
    images, *others = counts(tmp_path / "out")
    assert 0 < images < 30 and len(set(others)) == 1
    reader = VideoReader(tmp_path / "out" / "clip.mp4")
    assert len(list(reader.frames())) == images
    assert [path for path in (tmp_path / "out").iterdir() if path.name.startswith(".")] == []


def test_a_long_stream_takes_no_more_memory_than_a_short_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    blocks: list[int] = []

    def frames() -> Iterator[Frame]:
        for index in range(1000):
            blocks.append(sys.getallocatedblocks())
            yield Frame(halves(BRIGHT, DARK), index / 25)

    monkeypatch.setattr(job, "open_media", lambda source: Played(frames))
    run(tmp_path / "out", "0", save="json,csv")
    assert len(json.loads((tmp_path / "out" / "detections.json").read_text())["images"]) == 1000
    # Records of a frame and a detection that are kept till the end make 30 blocks of each frame.
    assert min(blocks[-50:]) - min(blocks[100:150]) < 5000


def test_frames_of_another_size_are_drawn_into_the_video_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sizes = [(24, 32), (48, 64), (32, 24), (24, 32), (10, 100)]

    def frames() -> Iterator[Frame]:
        for index, size in enumerate(sizes):
            yield Frame(halves(BRIGHT, MEDIUM, *size), index / 25)

    monkeypatch.setattr(job, "open_media", lambda source: Played(frames))
    assert run(tmp_path / "out", "0")[0] == []
    assert counts(tmp_path / "out") == (5, 10, 10, 10, 10)
    tree = json.loads((tmp_path / "out" / "detections.json").read_text())
    assert [(image["height"], image["width"]) for image in tree["images"]] == sizes
    drawn = [frame.image for frame in VideoReader(tmp_path / "out" / "camera_0.mp4").frames()]
    assert [image.shape for image in drawn] == [(24, 32, 3)] * 5


def test_a_stream_that_breaks_off_is_an_error_and_what_came_before_counts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def frames() -> Iterator[Frame]:
        for index in range(30):
            yield Frame(halves(BRIGHT, DARK), index / 25)
        raise ImageError("street: breaks off after 30 frames")

    monkeypatch.setattr(job, "open_media", lambda source: Played(frames, num_lost=3))
    for tile in (None, 32):
        errors, printed = run(tmp_path / "out", "rtsp://host/street", tile=tile)
        assert [str(error) for error in errors] == ["street: breaks off after 30 frames"]
        assert "3 frames could not be decoded" in printed and "1 file skipped" in printed
        assert counts(tmp_path / "out") == (30, 30, 30, 30, 30)
        assert len(list(VideoReader(tmp_path / "out" / "host_street.mp4").frames())) == 30


def test_a_video_that_cannot_be_opened_for_want_of_a_library_ends_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def open_media(source: Source) -> VideoReader:
        raise MindSSDError("PyAV is not installed: pip install 'mindssd[video]'")

    sources = [photo(tmp_path / "a.jpg"), clip(tmp_path / "b.mp4"), photo(tmp_path / "c.jpg")]
    monkeypatch.setattr(job, "open_media", open_media)
    errors, printed = run(tmp_path / "out", *sources)
    assert len(errors) == 1 and "skipped: PyAV is not installed" in printed
    assert counts(tmp_path / "out") == (2, 2, 2, 2, 2)


def test_ctrl_c_ends_a_live_source_and_those_behind_it_go_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stop = Stop()

    def frames() -> Iterator[Frame]:
        while True:
            if seen.wait(0):
                stop.number = SIGINT
            yield Frame(halves(BRIGHT, DARK), 0)

    seen = threading.Event()
    original = Writing.put

    def put(self: Writing, *arguments: Any) -> None:
        original(self, *arguments)
        seen.set()

    monkeypatch.setattr(Writing, "put", put)
    monkeypatch.setattr(job, "open_media", lambda source: Played(frames))
    outputs = Outputs(tmp_path / "out", ["json", "drawn"])
    words = ["0", str(photo(tmp_path / "a.jpg"))]
    assert job.predict_files(Path("m"), words, outputs, {}, Console(quiet=True), stop).errors == []
    assert stop.number is None
    images = json.loads((tmp_path / "out" / "detections.json").read_text())["images"]
    assert [image["file_name"] for image in images[-1:]] == words[1:] and len(images) > 1
    assert {path.name for path in (tmp_path / "out").iterdir()} == {
        *("camera_0.mp4", "a.jpg", "detections.json"),
    }


@pytest.mark.parametrize("tile", [None, 32])
def test_an_interruption_between_two_frames_lets_the_source_go(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, tile: int | None
) -> None:
    """While the source's own thread is within it, where it must not be closed from outside."""
    ended_in: list[str] = []

    def frames() -> Iterator[Frame]:
        try:
            for index in itertools.count():
                yield Frame(halves(BRIGHT, DARK, 48, 64), index / 25)
        finally:
            ended_in.append(threading.current_thread().name)

    original = CsvTable.put
    put: list[Seen] = []

    def interrupted(self: CsvTable, seen: Seen) -> None:
        original(self, seen)
        put.append(seen)
        if len(put) == 9:
            raise KeyboardInterrupt

    monkeypatch.setattr(job, "open_media", lambda source: Played(frames))
    monkeypatch.setattr(CsvTable, "put", interrupted)
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path / "out", "0", save="json,csv", tile=tile)
    assert ended_in == ["mindssd-ahead"]
    tree = json.loads((tmp_path / "out" / "detections.json").read_text())
    with (tmp_path / "out" / "detections.csv").open() as file:
        assert len(list(csv.reader(file))) - 1 == len(tree["annotations"])
    assert len(tree["images"]) == 9


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Callable[[Path], str]]:
    """Give a folder a server; without its scheme, its address."""
    servers: list[ThreadingHTTPServer] = []

    class Quiet(SimpleHTTPRequestHandler):
        def log_message(self, *arguments: object) -> None: ...

    def start(folder: Path) -> str:
        server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(folder)))
        threading.Thread(target=server.serve_forever, daemon=True).start()
        servers.append(server)
        return f"127.0.0.1:{server.server_port}"

    yield start
    for server in servers:
        server.shutdown()


def test_no_password_or_token_is_printed_or_written(
    tmp_path: Path, serve: Callable[[Path], str]
) -> None:
    clip(tmp_path / "in" / "clip.mp4")
    photo(tmp_path / "in" / "a.jpg")
    host = serve(tmp_path / "in")
    names = ("clip.mp4", "a.jpg", "gone.mp4")
    words = [f"http://me:s3cret@{host}/{name}?token=s3cret" for name in names]
    errors, printed = run(tmp_path / "out", *words)
    assert len(errors) == 1 and "gone.mp4" in str(errors[0])
    assert counts(tmp_path / "out")[0] == 6
    assert f"http://{host}/clip.mp4" in (tmp_path / "out" / "detections.json").read_text()
    for text in (printed, str(errors[0])):
        assert "s3cret" not in text
    for path in (tmp_path / "out").rglob("*"):
        assert "s3cret" not in path.name
        assert path.suffix not in (".json", ".csv") or "s3cret" not in path.read_text()


def test_a_photograph_behind_an_address_is_drawn_as_one(
    tmp_path: Path, serve: Callable[[Path], str]
) -> None:
    photo(tmp_path / "in" / "a.png")
    local = photo(tmp_path / "here" / "a.png", MEDIUM, DARK)
    address = f"http://{serve(tmp_path / 'in')}/a.png"
    assert run(tmp_path / "out", address, local)[0] == []
    found = {path.name for path in (tmp_path / "out").glob("*.png")}
    assert found == {"a.png", "a_2.png"}
    assert counts(tmp_path / "out") == (2, 2, 2, 2, 2)


def test_control_characters_of_a_name_do_not_reach_the_terminal(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "a\x1b[2J\nb.jpg").write_bytes(b"no image")
    _, printed = run(tmp_path / "out", tmp_path / "in")
    assert "a\\x1b[2J\\nb.jpg" in printed and "\x1b" not in printed

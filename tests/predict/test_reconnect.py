"""Streams that break off and come back: one video, with times and numbers that go on."""

import csv
import json
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from rich.console import Console

from mindssd.errors import ConfigError, ImageError
from mindssd.predict import job, reconnect
from mindssd.predict.byte_streams import open_http
from mindssd.predict.call import predict
from mindssd.predict.frames import Frame
from mindssd.predict.media import open_media
from mindssd.predict.reconnect import Reconnect, Reconnecting
from mindssd.predict.sources import Video
from mindssd.predict.stop import Stop
from mindssd.predict.video import VideoReader
from mindssd.predict.writing import Outputs
from mindssd.types import Array
from tests.predict import moving
from tests.predict.clips import body, faststart, serving, write_clip

pytest.importorskip("av")

SOURCE = Video("http://camera.local/stream", is_live=True)


class Clock:
    """In the place of `time`: sleeping takes no time but on it."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.sleeps: list[float] = []

    def monotonic(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += max(seconds, 1e-6)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(reconnect, "time", clock)
    return clock


class Reader(VideoReader):
    """So many frames, 0.1 s apart on the clock, then a fault, or an end, or one that was told."""

    def __init__(self, clock: Clock, count: int, fault: str | None = "reset", told: bool = False):
        self.name, self.rate, self.num_frames, self.num_lost = SOURCE.name, 10.0, None, 1
        self._clock, self._count, self._end, self._told = clock, count, fault, told
        self.is_closed = False

    @property
    def ended_as_told(self) -> bool:
        return self._told

    def close(self) -> None:
        self.is_closed = True

    def frames(self) -> Iterator[Frame]:
        try:
            for number in range(self._count):
                self._clock.now += 0.1
                yield Frame(np.zeros((2, 2, 3), np.uint8), number / 10)
            if self._end:
                raise ImageError(f"{self.name}: {self._end}")
        finally:
            self.close()


Opened = VideoReader | Array | str


def through(
    clock: Clock,
    first: Reader,
    *later: Opened,
    limit: float = 60.0,
    is_over: Callable[[], bool] = lambda: False,
) -> tuple[list[tuple[float, bool]], list[str], str]:
    """All frames' times and whether they came after a break; what was said; the error."""
    left, said, found = list(later), [], []

    def again() -> Any:
        thing = left.pop(0) if left else "cannot be opened: refused"
        if isinstance(thing, str):
            raise ImageError(f"{SOURCE.name}: {thing}")
        return thing

    reader = Reconnecting(SOURCE, first, again, Reconnect(limit), said.append, is_over)
    try:
        for frame in reader.frames():
            found.append((round(frame.seconds, 3), frame.after_break))
    except ImageError as error:
        return found, said, str(error)
    return found, said, ""


def test_times_go_on_by_the_clock_over_two_breaks(clock: Clock) -> None:
    again, last = Reader(clock, 2), Reader(clock, 1, None, told=True)
    found, said, error = through(clock, Reader(clock, 3), "refused", again, last)
    # Half a second, then one; and a frame takes 0.1 s to come.
    assert found == [
        *((0.0, False), (0.1, False), (0.2, False)),
        *((1.8, True), (1.9, False), (2.5, True)),
    ]
    assert error == "" and len(said) == 4
    name = SOURCE.name
    assert said[0] == (
        f"{name}: broke off after 3 frames (reset); waits up to 60 s for it to come back"
    )
    assert said[1] == f"{name}: is back after 1.6 s" and "after 5 frames" in said[2]


def test_each_wait_is_longer_up_to_a_bound_and_the_last_is_at_the_limit(clock: Clock) -> None:
    began = clock.now
    found, said, error = through(clock, Reader(clock, 1), limit=100)
    assert len(found) == 1 and len(said) == 1
    assert clock.now - began == pytest.approx(0.1 + 100)
    assert error == (
        f"{SOURCE.name}: broke off after 1 frame, and did not come back in 100 s "
        "(cannot be opened: refused)"
    )


def test_a_source_that_comes_back_empty_or_as_a_picture_is_not_back(clock: Clock) -> None:
    still = np.zeros((2, 2, 3), np.uint8)
    empty, last = Reader(clock, 0, "has no frame"), Reader(clock, 1, None, told=True)
    found, said, error = through(clock, Reader(clock, 1), still, empty, last)
    assert len(found) == 2 and len(said) == 2 and error == "" and empty.is_closed


def test_a_break_is_told_once(clock: Clock) -> None:
    fault = "breaks off after 2 frames: its server has gone"
    _, said, error = through(clock, Reader(clock, 2, fault), limit=1)
    assert "broke off after 2 frames (its server has gone); waits" in said[0]
    assert "breaks off" not in error


def test_an_end_that_was_told_is_no_break(clock: Clock) -> None:
    found, said, error = through(clock, Reader(clock, 2, None, told=True), "never opened")
    assert len(found) == 2 and said == [] and error == ""


def test_an_end_that_was_not_told_is_a_break(clock: Clock) -> None:
    last = Reader(clock, 1, None, told=True)
    found, said, _ = through(clock, Reader(clock, 2, None), last)
    assert len(found) == 3 and "(it ended)" in said[0]


def test_what_never_gave_a_frame_is_not_waited_for(clock: Clock) -> None:
    found, said, error = through(clock, Reader(clock, 0, "404 Not Found"))
    assert found == [] and said == [] and error == f"{SOURCE.name}: 404 Not Found"


def test_a_wait_ends_at_once_where_the_job_does(clock: Clock) -> None:
    stop_at = clock.now + 5
    found, _, error = through(
        clock, Reader(clock, 1), limit=1e6, is_over=lambda: clock.now > stop_at
    )
    assert len(found) == 1 and error == "" and clock.now < stop_at + 1


@pytest.mark.parametrize("limit", [0, -1, float("inf"), float("nan")])
def test_the_limit_is_some_seconds(limit: float) -> None:
    with pytest.raises(ConfigError, match="--reconnect-limit"):
        Reconnect(limit)


def ended_as_told(address: str) -> bool:
    reader = open_media(Video(address, is_live=True))
    assert isinstance(reader, VideoReader)
    for _ in reader.frames():
        pass
    return reader.ended_as_told


def test_of_what_a_server_gives_a_file_has_an_end_and_a_stream_has_none(tmp_path: Path) -> None:
    stream = write_clip(tmp_path / "a.ts", codec="mpeg2video").read_bytes()
    movie = faststart(tmp_path / "b.mp4").read_bytes()

    def unannounced(data: bytes) -> Callable[[BaseHTTPRequestHandler], None]:
        def answer(handler: BaseHTTPRequestHandler) -> None:
            handler.send_response(200)
            handler.send_header("Connection", "close")
            handler.end_headers()
            handler.wfile.write(data)
            handler.close_connection = True

        return answer

    def chunked(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(200)
        handler.send_header("Transfer-Encoding", "chunked")
        handler.end_headers()
        handler.wfile.write(f"{len(stream):x}\r\n".encode() + stream + b"\r\n0\r\n\r\n")

    for answer, is_told in (
        (body(stream, "video/mp2t"), True),
        (chunked, True),
        (unannounced(stream), False),
        (unannounced(movie), True),  # the container says how many frames it has
    ):
        with serving(answer) as address:
            assert ended_as_told(f"{address}/x") == is_told


def test_a_stream_of_jpegs_has_no_end() -> None:
    picture = BytesIO()

    Image.new("RGB", (64, 48)).save(picture, "JPEG")
    data = picture.getvalue()
    part = b"--x\r\nContent-Type: image/jpeg\r\nContent-Length: %d\r\n\r\n" % len(data) + data
    with serving(
        body(4 * (part + b"\r\n") + b"--x--\r\n", "multipart/x-mixed-replace; boundary=x")
    ) as address:
        assert not ended_as_told(address)


class Broken:
    """A server of a live MPEG-TS that breaks off after each part but the last, and is away a bit.

    First it closes the connection, then it does so within what it has announced.
    """

    def __init__(self, parts: list[bytes], refusals: int) -> None:
        self.parts, self.refusals, self.left = parts, refusals, 0
        self.num_given = 0

    def __call__(self, handler: BaseHTTPRequestHandler) -> None:
        if self.left > 0:
            self.left -= 1
            handler.send_error(503)
            return
        part = self.parts[self.num_given]
        self.num_given += 1
        self.left = self.refusals
        handler.send_response(200)
        handler.send_header("Content-Type", "video/mp2t")
        handler.send_header("Connection", "close")
        if self.num_given > 1:
            missing = 0 if self.num_given == len(self.parts) else 10_000
            handler.send_header("Content-Length", str(len(part) + missing))
        handler.end_headers()
        handler.wfile.write(part)
        handler.close_connection = True


def test_a_stream_broken_and_restored_twice_loses_no_count(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(job, "load", moving.load)
    monkeypatch.setattr(reconnect, "FIRST_WAIT_S", 0.05)
    movers = moving.crossing_scene(3)
    times = np.arange(0, 8, 1 / 12)
    parts = [
        moving.write(BytesIO(), movers, part, 12, "mpegts").getvalue()
        for part in np.split(times, [34, 60])
    ]
    server = Broken(parts, refusals=2)
    with serving(server) as address:
        done = predict(
            "model",
            f"{address}/live.ts",
            out=tmp_path,
            save="json,csv",
            track=True,
            count_line="gate=160,0,160,180",
            reconnect=True,
        )
    said = capsys.readouterr().out
    assert said.count("broke off after") == said.count("is back after") == 2
    assert done.errors == () and server.num_given == 3
    with (tmp_path / "counts.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    found = Counter((row["class"], row["direction"]) for row in rows)
    ways = moving.crossings_of(movers, 160, 8)
    assert found == {(n, "in" if to == "right" else "out"): k for (n, to), k in ways.items()}
    images = json.loads((tmp_path / "detections.json").read_text(encoding="utf-8"))["images"]
    seconds = [image["seconds"] for image in images]
    assert len(images) == len(times) and all(np.diff(seconds) > 0)


def test_a_ctrl_c_during_a_break_keeps_what_was_seen(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(job, "load", moving.load)
    movers = moving.crossing_scene(0, 2)
    part = moving.write(BytesIO(), movers, list(np.arange(0, 2, 1 / 12)), 12, "mpegts").getvalue()
    stop = Stop()
    waits = threading.Event()
    whole = Reconnecting._wait

    def wait(self: Reconnecting, away: Any) -> None:
        stop.number = 2
        waits.set()
        whole(self, away)

    monkeypatch.setattr(Reconnecting, "_wait", wait)
    server = Broken([part, part], refusals=10**6)
    with serving(server) as address:
        tally = job.predict_files(
            Path("model"),
            [f"{address}/live.ts"],
            Outputs(tmp_path, ["json"]),
            {},
            Console(quiet=True),
            stop,
            None,
            Reconnect(),
        )
    assert waits.is_set() and tally.errors == []
    found = json.loads((tmp_path / "detections.json").read_text(encoding="utf-8"))
    assert len(found["images"]) == tally.num_images


def test_a_file_is_never_opened_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(job, "load", moving.load)
    clip = moving.write(tmp_path / "a.mp4", moving.crossing_scene(0, 2), [0, 0.1, 0.2], 12)
    done = predict("model", clip, out=tmp_path / "out", save="json", reconnect=True)
    assert done.num_images == 3 and "broke off" not in capsys.readouterr().out


def test_a_length_that_was_announced_is_told_by_the_bytes(tmp_path: Path) -> None:
    with serving(body(b"x" * 500, announced=500)) as address:
        stream, _ = open_http(address, "x")
        assert not stream.ended_as_told
        while stream.read():
            pass
        assert stream.ended_as_told
    with serving(body(b"x" * 500, announced=900)) as address:
        stream, _ = open_http(address, "x")
        while stream.read():
            pass
        assert not stream.ended_as_told and stream.fault

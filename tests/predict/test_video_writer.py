"""Drawn videos: frames at their own times, all of them, and no half file under a name."""

import subprocess
import sys
from pathlib import Path

import av
import cv2
import numpy as np
import pytest

from mindssd.errors import MindSSDError
from mindssd.predict import video_writer
from mindssd.predict.video import VideoReader
from mindssd.predict.video_writer import VideoWriter, fitted
from tests.predict.clips import SIZE, picture, read


@pytest.fixture(params=["libx264", "mpeg4"], autouse=True)
def _encoder(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """The encoder of PyAV's wheels, and the one of a build without it."""
    chosen = {request.param: video_writer._ENCODERS[request.param]}
    monkeypatch.setattr(video_writer, "_ENCODERS", chosen)


def names_in(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


@pytest.mark.parametrize("rate", [12.5, 30000 / 1001, 240.0, 0.5])
def test_an_even_rate_is_kept_to_the_last_frame(tmp_path: Path, rate: float) -> None:
    with VideoWriter(tmp_path / "a.mp4", SIZE, rate) as video:
        for index in range(9):
            video.write(picture(index), index / rate)
    reader = VideoReader(tmp_path / "a.mp4")
    assert reader.rate == pytest.approx(rate, rel=1e-3) and reader.num_frames == 9
    numbers, seconds = read(reader)
    assert numbers == list(range(9))
    assert seconds == pytest.approx([index / rate for index in range(9)], abs=0.001)
    judge = cv2.VideoCapture(str(tmp_path / "a.mp4"))
    assert judge.get(cv2.CAP_PROP_FPS) == pytest.approx(rate, rel=1e-3)


def test_frames_keep_their_own_times(tmp_path: Path) -> None:
    times = [0.0, 0.033, 0.066, 2.0, 9.033, 3700.0]
    with VideoWriter(tmp_path / "a.mp4", SIZE, 30) as video:
        for index, seconds in enumerate(times):
            video.write(picture(index), seconds)
    assert read(VideoReader(tmp_path / "a.mp4")) == (list(range(6)), times)


def test_frames_at_the_same_time_are_all_written_and_a_time_too_far_is_brought_near(
    tmp_path: Path,
) -> None:
    with VideoWriter(tmp_path / "a.mp4", SIZE, 30) as video:
        for index, seconds in enumerate([0.0, 0.5, 0.5, 0.4, 1e9]):
            video.write(picture(index), seconds)
    numbers, seconds = read(VideoReader(tmp_path / "a.mp4"))
    assert numbers == list(range(5)) and seconds[:4] == [0, 0.5, 0.5, 0.5]


@pytest.mark.parametrize("size", [(47, 64), (48, 63), (1, 1), (720, 2)])
def test_any_size_is_written_and_an_odd_one_grows_by_a_pixel(
    tmp_path: Path, size: tuple[int, int]
) -> None:
    with VideoWriter(tmp_path / "a.mp4", size, 10) as video:
        for index in range(3):
            video.write(picture(index, size), index / 10)
    frames = [frame.image for frame in VideoReader(tmp_path / "a.mp4").frames()]
    assert [frame.shape for frame in frames] == [
        (size[0] + size[0] % 2, size[1] + size[1] % 2, 3)
    ] * 3
    for index, frame in enumerate(frames):
        assert abs(frame.mean() - picture(index, size).mean()) < 4


def test_a_frame_of_another_size_is_fitted_in_not_dropped(tmp_path: Path) -> None:
    sizes = [(40, 60), (20, 30), (80, 60), (40, 60), (10, 400)]
    with VideoWriter(tmp_path / "a.mp4", (40, 60), 10) as video:
        for index, size in enumerate(sizes):
            video.write(np.full((*size, 3), 200, np.uint8), index / 10)
    frames = [frame.image for frame in VideoReader(tmp_path / "a.mp4").frames()]
    assert [frame.shape[:2] for frame in frames] == [(40, 60)] * 5
    wide = [round((frame[20] > 100).mean() * 60) for frame in frames]
    high = [round((frame[:, 30] > 100).mean() * 40) for frame in frames]
    assert wide == pytest.approx([60, 60, 30, 60, 60], abs=2)
    assert high == pytest.approx([40, 40, 40, 40, 2], abs=2)


def test_fitting_keeps_the_aspect_and_the_middle() -> None:
    image = np.full((2, 2, 3), 7, np.uint8)
    assert fitted(image, (2, 6))[:, :, 0].tolist() == [[0, 0, 7, 7, 0, 0]] * 2
    assert fitted(image, (3, 2))[:, :, 0].tolist() == [[7, 7], [7, 7], [0, 0], [0, 0]]
    assert fitted(image, (2, 2)) is image


def test_an_interrupted_run_keeps_what_it_finished(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt), VideoWriter(tmp_path / "a.mp4", SIZE, 10) as video:
        for index in range(5):
            video.write(picture(index), index / 10)
        video.finish()
        raise KeyboardInterrupt
    assert names_in(tmp_path) == {"a.mp4"}
    assert read(VideoReader(tmp_path / "a.mp4"))[0] == list(range(5))


def test_a_failed_or_empty_video_leaves_no_file_and_the_old_one_stays(tmp_path: Path) -> None:
    (tmp_path / "a.mp4").write_bytes(b"old")
    with pytest.raises(RuntimeError), VideoWriter(tmp_path / "a.mp4", SIZE, 10) as video:
        video.write(picture(0), 0)
        raise RuntimeError
    with VideoWriter(tmp_path / "b.mp4", SIZE, 10):
        pass
    assert names_in(tmp_path) == {"a.mp4"} and (tmp_path / "a.mp4").read_bytes() == b"old"


def test_a_long_name_with_a_colon_and_percent_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("http:%03d.mp4", "é" * 125 + ".mp4"):
        with VideoWriter(Path(name), SIZE, 10) as video:
            video.write(picture(0), 0)
        assert len(list(VideoReader(Path(name)).frames())) == 1


def test_a_folder_that_cannot_be_written_to_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(
        MindSSDError, match=r"x/a\.mp4: .*cannot be written.*No such file"
    ) as caught:
        VideoWriter(tmp_path / "x" / "a.mp4", SIZE, 10)
    assert "\n" not in str(caught.value)
    with pytest.raises(MindSSDError, match="a video of 100000 × 40 pixels cannot be written"):
        VideoWriter(tmp_path / "a.mp4", (40, 100_000), 10)
    assert names_in(tmp_path) == set()


@pytest.mark.parametrize("room", [1000, 60_000])
def test_a_full_disk_is_noticed_and_the_short_file_gets_no_name(tmp_path: Path, room: int) -> None:
    """A limit on a file's size stands in for the disk: the write fails in the same way."""
    code = f"""
import resource
from pathlib import Path
import numpy as np
from mindssd.errors import MindSSDError
from mindssd.predict.video_writer import VideoWriter
rng = np.random.default_rng(0)
resource.setrlimit(resource.RLIMIT_FSIZE, ({room}, {room}))
try:
    with VideoWriter(Path({str(tmp_path / "a.mp4")!r}), (96, 128), 10) as video:
        for index in range(40):
            video.write(rng.integers(0, 256, (96, 128, 3), dtype=np.uint8), index / 10)
except MindSSDError as error:
    print(error)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    (line,) = done.stdout.splitlines()
    assert "a.mp4: a video of 128 × 96 pixels cannot be written" in line and "too large" in line
    assert done.stderr == "" and names_in(tmp_path) == set()


def test_a_disk_that_fails_only_at_the_end_is_noticed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(video_writer.os, "fsync", fails)
    with (
        pytest.raises(MindSSDError, match="No space left"),
        VideoWriter(tmp_path / "a.mp4", SIZE, 10) as video,
    ):
        video.write(picture(0), 0)
    assert names_in(tmp_path) == set()


def test_h264_is_written_where_pyav_has_it(tmp_path: Path) -> None:
    with VideoWriter(tmp_path / "a.mp4", SIZE, 10) as video:
        video.write(picture(0), 0)
    with av.open(str(tmp_path / "a.mp4")) as file:
        expected = "h264" if "libx264" in video_writer._ENCODERS else "mpeg4"
        assert file.streams.video[0].codec_context.name == expected
        assert file.streams.video[0].codec_context.pix_fmt == "yuv420p"

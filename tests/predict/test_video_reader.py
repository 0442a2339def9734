"""Videos as they come: each frame upright and at its own time, whatever else the file says."""

import contextlib
import gc
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from mindssd.errors import ImageError
from mindssd.predict.frames import Clock, turned
from mindssd.predict.video import VideoReader
from tests.predict.clips import SIZE, faststart, number_of, picture, read, rotated, write_clip


def read_until_fault(path: Path) -> tuple[list[int], VideoReader, str]:
    """The frames of a damaged video, its reader, and what is said at its end."""
    reader = VideoReader(path)
    numbers, said = [], ""
    try:
        for frame in reader.frames():
            numbers.append(number_of(frame.image))
    except ImageError as error:
        said = str(error)
    return numbers, reader, said


@pytest.mark.parametrize("name", ["a.mp4", "a.mkv", "a.mov"])
def test_each_frame_has_its_own_time(tmp_path: Path, name: str) -> None:
    times = [0.0, 0.033, 0.066, 0.1, 2.0, 2.033, 9.5]
    reader = VideoReader(write_clip(tmp_path / name, times=times))
    assert read(reader) == (list(range(7)), pytest.approx(times, abs=0.002))


def test_seconds_count_from_the_first_frame(tmp_path: Path) -> None:
    reader = VideoReader(write_clip(tmp_path / "a.mkv", times=[5.0, 5.5, 6.5]))
    assert read(reader)[1] == [0.0, 0.5, 1.5]


def test_a_rate_that_is_a_clocks_fineness_is_none(tmp_path: Path) -> None:
    """As a browser's screen recording: 1000 frames a second, 4 seconds, 5 frames."""
    path = write_clip(tmp_path / "a.webm", times=[0, 1, 1.5, 3, 4], codec="libvpx", rate=1000)
    reader = VideoReader(path)
    assert reader.rate <= 240 and reader.num_frames is None
    assert read(reader) == (list(range(5)), [0, 1, 1.5, 3, 4]) and reader.num_lost == 0


def damage(path: Path, share: float, count: int = 60) -> None:
    """Write over bytes in the middle of a video's packets."""
    data = bytearray(path.read_bytes())
    place = int(len(data) * share)
    data[place : place + count] = b"\xff" * count
    path.write_bytes(data)


@pytest.mark.parametrize("name", ["a.mp4", "a.mkv", "a.avi"])
def test_a_bad_packet_loses_its_frames_and_no_others(tmp_path: Path, name: str) -> None:
    """Each frame is a key frame here, so that one packet is one frame."""
    codec, options = ("mpeg4", {"g": "1"}) if name == "a.avi" else ("libx264", {"g": "1"})
    path = write_clip(tmp_path / name, 30, size=(96, 128), codec=codec, options=options)
    whole, _, _ = read_until_fault(path)
    damage(path, 0.5)
    numbers, reader, said = read_until_fault(path)
    assert whole == list(range(30)) and said == ""
    assert len(numbers) >= 27 and numbers[0] == 0 and numbers[-1] == 29
    assert len(numbers) + reader.num_lost in (30, 31)  # a damaged frame may show, or be hidden


def test_an_empty_packet_is_no_lost_frame(tmp_path: Path) -> None:
    """AVI repeats a frame in this way, as where a capture card dropped one."""
    path = write_clip(tmp_path / "a.avi", 9, codec="mjpeg", pixels="yuvj420p")
    data = path.read_bytes().replace(b"idx1", b"JUNK")  # its places are no more right
    movie = data.index(b"movi")
    place = movie
    for _ in range(5):
        place = data.index(b"00dc", place + 1)
    size = int.from_bytes(data[movie - 4 : movie], "little") + 8
    empty = b"00dc" + bytes(4)
    path.write_bytes(
        data[: movie - 4] + size.to_bytes(4, "little") + data[movie:place] + empty + data[place:]
    )
    numbers, reader, said = read_until_fault(path)
    assert numbers == list(range(9)) and (reader.num_lost, said) == (0, "")


def test_a_stream_that_begins_on_the_way_does_no_harm(tmp_path: Path) -> None:
    """A transport stream may get more streams after its beginning, which FFmpeg then adds."""
    first = write_clip(tmp_path / "a.ts", 10, options={"g": "1"}, rate=25).read_bytes()
    other = tmp_path / "b.ts"
    with av.open(str(other), "w", container_options={"mpegts_start_pid": "512"}) as file:
        stream = file.add_stream("libx264", rate=25)
        stream.height, stream.width = SIZE
        for index in range(10):
            file.mux(stream.encode(av.VideoFrame.from_ndarray(picture(index), format="rgb24")))
        file.mux(stream.encode(None))
    (tmp_path / "c.ts").write_bytes(first + other.read_bytes())
    numbers, reader, said = read_until_fault(tmp_path / "c.ts")
    assert numbers[:10] == list(range(10)) and (reader.num_lost, said) == (0, "")


def test_pyavs_slip_at_the_end_of_such_a_stream_is_its_end(tmp_path: Path) -> None:
    """Its `demux` looks there for a stream beyond those it knows, or not: that is chance."""

    class Slipping:
        def __init__(self, container: Any) -> None:
            self._container = container

        def __getattr__(self, name: str) -> Any:
            return getattr(self._container, name)

        def demux(self, stream: Any) -> Iterator[Any]:
            yield from (packet for packet in self._container.demux(stream) if packet.size)
            raise IndexError("list index out of range")

    reader = VideoReader(write_clip(tmp_path / "a.ts", rate=25))
    reader._container = Slipping(reader._container)
    assert read(reader)[0] == list(range(20)) and reader.num_lost == 0


def test_a_cut_off_file_gives_its_whole_frames_and_says_so(tmp_path: Path) -> None:
    every: dict[str, Any] = {"options": {"g": "1"}, "size": (96, 128)}  # frame is a key frame
    makers = {
        "a.mp4": lambda path: faststart(path, **every),
        "a.mkv": lambda path: write_clip(path, **every),
        "a.webm": lambda path: write_clip(path, codec="libvpx", **every),
        "a.avi": lambda path: write_clip(path, codec="mjpeg", pixels="yuvj420p", **every),
        "a.flv": lambda path: write_clip(path, **every),
        "a.wmv": lambda path: write_clip(path, codec="msmpeg4v3", format_name="asf", **every),
    }
    for name, make in makers.items():
        path = make(tmp_path / name)
        whole, _, said = read_until_fault(path)
        assert (whole, said) == (list(range(20)), ""), name
        path.write_bytes(path.read_bytes()[: path.stat().st_size * 9 // 20])
        numbers, _, said = read_until_fault(path)
        # WMV lays a frame out in pieces, and has no mark of a last one that lacks some.
        sound = numbers[:-1] if name == "a.wmv" else numbers
        assert 0 < len(numbers) < 20 and sound == list(range(len(sound))), name
        assert said == f"{path}: breaks off after {len(numbers)} frames: the file is cut off"


def test_a_recording_without_its_index_says_what_it_lacks(tmp_path: Path) -> None:
    path = write_clip(tmp_path / "a.mp4")
    path.write_bytes(path.read_bytes()[:-1200])
    with pytest.raises(ImageError, match=r"a\.mp4: cannot be read as a video.*lacks its index"):
        VideoReader(path)


def test_a_display_matrix_turns_and_mirrors() -> None:
    """Row 0 is 1 2, row 1 is 3 4; the shift of the matrix is of no matter."""
    image = np.array([[[1], [2]], [[3], [4]]])

    def of(a: int, b: int, c: int, d: int) -> list[int]:
        matrix = np.array([a, b, 0, c, d, 0, 9, 9, 1], np.int32) * 65536
        return turned(image, matrix.tobytes()).ravel().tolist()

    assert of(1, 0, 0, 1) == [1, 2, 3, 4]
    assert of(0, 1, -1, 0) == [3, 1, 4, 2]  # a quarter clockwise
    assert of(-1, 0, 0, -1) == [4, 3, 2, 1]
    assert of(0, -1, 1, 0) == [2, 4, 1, 3]  # a quarter back
    assert of(-1, 0, 0, 1) == [2, 1, 4, 3]  # a mirror
    assert of(0, 1, 1, 0) == [1, 3, 2, 4]  # over the diagonal


def test_a_phones_video_is_upright(tmp_path: Path) -> None:
    path = tmp_path / "a.mp4"
    upright = np.zeros((64, 48, 3), np.uint8)
    upright[:32, :24] = 255  # a white corner at the top left
    stored = np.rot90(upright)  # a quarter back, so the phone writes: a quarter clockwise
    with av.open(str(path), "w") as file:
        stream = file.add_stream("libx264", rate=10)
        stream.height, stream.width = stored.shape[:2]
        frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(stored), format="rgb24")
        file.mux(stream.encode(frame))
        file.mux(stream.encode(None))
    (frame,) = VideoReader(rotated(path, (0, 1, -1, 0))).frames()
    assert frame.image.shape == upright.shape
    assert np.abs(frame.image.astype(int) - upright).mean() < 4


@pytest.mark.parametrize(
    ("name", "codec", "pixels", "size"),
    [
        ("a.mkv", "ffv1", "yuv420p10le", SIZE),
        ("a.mkv", "libx264", "yuv444p", (47, 63)),
        ("a.mov", "mjpeg", "yuvj420p", (47, 63)),
        ("a.avi", "rawvideo", "bgr24", (47, 63)),
        ("a.gif", "gif", "rgb8", (47, 63)),
        ("a.m2ts", "mpeg2video", "yuv420p", SIZE),
    ],
)
def test_depths_sizes_and_layouts_become_rgb(
    tmp_path: Path, name: str, codec: str, pixels: str, size: tuple[int, int]
) -> None:
    path = write_clip(tmp_path / name, 5, codec=codec, pixels=pixels, size=size, rate=25)
    frames = list(VideoReader(path).frames())
    assert len(frames) == 5
    for index, frame in enumerate(frames):
        assert frame.image.shape == (*size, 3) and frame.image.dtype == np.uint8
        assert frame.image.flags.c_contiguous
        assert abs(float(frame.image.mean()) - picture(index, size).mean()) < 12


def test_what_is_transparent_is_laid_on_white(tmp_path: Path) -> None:
    path = tmp_path / "a.mov"
    image = np.zeros((*SIZE, 4), np.uint8)
    image[:, :32] = (200, 0, 0, 255)
    with av.open(str(path), "w") as file:
        stream = file.add_stream("qtrle", rate=10)
        stream.height, stream.width = SIZE
        stream.pix_fmt = "argb"
        file.mux(stream.encode(av.VideoFrame.from_ndarray(image, format="rgba")))
        file.mux(stream.encode(None))
    (frame,) = VideoReader(path).frames()
    assert frame.image[5, 5].tolist() == [200, 0, 0] and frame.image[5, 60].tolist() == [255] * 3


def test_a_red_frame_of_high_definition_is_red(tmp_path: Path) -> None:
    """BT.709 read as BT.601 gives (232, 0, 1)."""
    from mindssd.predict.video_writer import VideoWriter

    with VideoWriter(tmp_path / "a.mp4", SIZE, 10) as video:
        video.write(np.full((*SIZE, 3), (255, 0, 0), np.uint8), 0)
    (frame,) = VideoReader(tmp_path / "a.mp4").frames()
    assert np.abs(frame.image[20, 20].astype(int) - (255, 0, 0)).max() <= 3


def sound(path: Path, with_cover: bool) -> Path:
    with av.open(str(path), "w") as file:
        stream = file.add_stream("mp3" if path.suffix == ".mp3" else "aac", rate=44100)
        cover = file.add_stream("mjpeg", rate=1) if with_cover else None
        if cover is not None:
            cover.height, cover.width = SIZE
            cover.pix_fmt = "yuvj420p"
            cover.disposition = av.stream.Disposition.attached_pic
        for index in range(20):
            frame = av.AudioFrame.from_ndarray(
                np.zeros((2, 1024), np.float32), format="fltp", layout="stereo"
            )
            frame.sample_rate, frame.pts = 44100, 1024 * index
            file.mux(stream.encode(frame))
        if cover is not None:
            file.mux(cover.encode(av.VideoFrame.from_ndarray(picture(0), format="rgb24")))
            file.mux(cover.encode(None))
        file.mux(stream.encode(None))
    return path


@pytest.mark.parametrize(
    ("name", "with_cover"), [("a.m4a", False), ("a.mp3", False), ("a.mp3", True)]
)
def test_sound_is_no_video_nor_is_its_cover(tmp_path: Path, name: str, with_cover: bool) -> None:
    path = sound(tmp_path / name, with_cover)
    with pytest.raises(ImageError, match=rf"{name}: has no video in it"):
        VideoReader(path)


def test_of_several_videos_the_largest_is_read(tmp_path: Path) -> None:
    path = tmp_path / "a.mkv"
    with av.open(str(path), "w") as file:
        small, large = file.add_stream("mpeg4", rate=10), file.add_stream("mpeg4", rate=10)
        small.height = small.width = 16
        large.height, large.width = SIZE
        for index in range(6):
            frame = av.VideoFrame.from_ndarray(picture(index), format="rgb24")
            file.mux(large.encode(frame))
            frame = av.VideoFrame.from_ndarray(picture(index, (16, 16)), format="rgb24")
            file.mux(small.encode(frame))
        file.mux(large.encode(None)), file.mux(small.encode(None))
    frames = list(VideoReader(path).frames())
    assert [frame.image.shape[:2] for frame in frames] == [SIZE] * 6


def test_a_file_with_a_colon_or_percent_in_its_name_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("a:b.mp4", "http:c.mp4", "C:d.mp4", "e%03d.mp4", "-f.mp4", "ü e\u0301.mp4"):
        write_clip(tmp_path / "plain.mp4", 3).rename(name)
        assert len(list(VideoReader(Path(name)).frames())) == 3, name


def test_text_and_lists_of_other_files_are_no_videos(tmp_path: Path) -> None:
    write_clip(tmp_path / "a.mp4", 3)
    texts = {
        "a.txt": "\x1b[31mcoloured\x1b[0m\n" * 50,
        "list.mp4": f"ffconcat version 1.0\nfile {tmp_path}/a.mp4\n",
        "list.m3u8": f"#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXTINF:9,\n{tmp_path}/a.mp4\n",
    }
    for name, text in texts.items():
        (tmp_path / name).write_text(text)
        with pytest.raises(ImageError, match=f"{name}: is text, not a video"):
            VideoReader(tmp_path / name)


def test_times_never_go_back() -> None:
    def of(*stamps: float | None, longest_gap: float = 100.0) -> list[float]:
        clock = Clock(0.5, longest_gap)
        return [round(clock.seconds(stamp), 3) for stamp in stamps]

    assert of(7.0, 7.25, 8.0) == [0, 0.25, 1.0]
    assert of(None, None, 3.0, 4.0) == [0, 0.5, 1.0, 2.0]  # without stamps, a step each
    assert of(0.0, 0.1, 0.099, 0.2) == [0, 0.1, 0.1, 0.2]
    assert of(0.0, 50.0, 1.0, 1.5) == [0, 50.0, 50.5, 51.0]  # two recordings joined
    assert of(0.0, 0.8, 0.0, 0.8) == [0, 0.8, 1.3, 2.1]  # short ones too
    assert of(0.0, 1.0, 1e9, 1e9 + 1) == [0, 1.0, 1.5, 2.5]  # a stamp that is damaged
    assert of(0.0, 0.5, 0.5, 1.5) == [0, 0.5, 0.5, 1.5]  # one that comes twice
    assert of(3.0, 3.0, 3.0, 3.0, 3.0) == [0, 0, 0.5, 1.0, 1.5]  # none at all
    assert of(0.0, 1.0, None, None, None, 3.0) == [0, 1.0, 1.5, 2.0, 2.5, 3.0]


def test_no_frame_waits_for_the_garbage_collector(tmp_path: Path) -> None:
    """Were each asked for its side data, hundreds would: gigabytes of a large video."""
    path = rotated(write_clip(tmp_path / "a.mp4", 20), (0, 1, -1, 0))
    gc.collect()
    gc.disable()
    try:
        for _ in VideoReader(path).frames():
            pass
        waiting = sum(type(thing) is av.VideoFrame for thing in gc.get_objects())
    finally:
        gc.enable()
    assert waiting <= 1  # the first, whose display matrix was looked up


def test_no_thread_and_no_file_is_left(tmp_path: Path) -> None:
    path = write_clip(tmp_path / "a.mp4")
    next(VideoReader(path).frames())  # PyAV's own modules are loaded now

    def held() -> tuple[int, int]:
        return len(os.listdir("/proc/self/fd")), len(os.listdir("/proc/self/task"))  # noqa: PTH208

    gc.collect()  # what other tests left
    before, python_threads = held(), threading.active_count()
    for _ in range(5):
        assert len(list(VideoReader(path).frames())) == 20
        left = VideoReader(path).frames()
        next(left)
        left.close()
    damage(path, 0.02, 400)
    for _ in range(3):
        with contextlib.suppress(ImageError):
            list(VideoReader(path).frames())
    assert held() == before and threading.active_count() == python_threads


def test_ffmpeg_prints_nothing(tmp_path: Path) -> None:
    path = faststart(tmp_path / "a.mp4")
    damage(path, 0.7)
    path.write_bytes(path.read_bytes()[:-200])
    code = f"""
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from mindssd.errors import ImageError
from mindssd.predict.video import VideoReader
from mindssd.predict.video_writer import VideoWriter
writer = VideoWriter(Path({str(tmp_path / "b.mp4")!r}), (48, 64), 10)
try:
    for frame in VideoReader(Path({str(path)!r})).frames():
        writer.write(frame.image, frame.seconds)
except ImageError:
    pass
writer.finish()
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert (done.stdout, done.stderr) == ("", "")


def test_without_pyav_one_line_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write_clip(tmp_path / "a.mp4")
    monkeypatch.setitem(sys.modules, "av", None)
    with pytest.raises(
        ImageError, match=r"a\.mp4: .*PyAV.*pip install 'mindssd\[video\]'"
    ) as caught:
        VideoReader(path)
    assert "\n" not in str(caught.value)

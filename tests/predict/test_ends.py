"""Whatever ends detection keeps what was seen: signals, as to a real command, and full disks."""

import csv
import json
import os
import pty
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import av
import cv2
import numpy as np
import pytest
from PIL import Image

from mindssd.predict.video_writer import VideoWriter
from tests.predict import formula

PATIENCE_S = 60
SAVE = ("--save", "drawn,json,csv,yolo,crops")


class Command:
    """`mindssd predict model SOURCES… --out OUT` as a process; its network takes 20 ms."""

    def __init__(self, out: Path, *words: object) -> None:
        self.out = out
        command = [sys.executable, "-m", "tests.predict.formula", "model", *map(str, words)]
        self.process = subprocess.Popen(
            [*command, "--out", str(out), *([] if "--save" in words else SAVE)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env={**os.environ, formula.DELAY: "0.02"},
        )

    def wait_for_labels(self, count: int) -> None:
        end = time.monotonic() + PATIENCE_S
        while len(list(self.out.glob("labels/*.txt"))) < count:
            assert self.process.poll() is None, self.process.communicate()[0]
            assert time.monotonic() < end
            time.sleep(0.01)

    def end(self) -> tuple[int, str]:
        """Exit status and output."""
        output, _ = self.process.communicate(timeout=PATIENCE_S)
        return self.process.returncode, output


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., Command]]:
    started: list[Command] = []

    def run(*words: object) -> Command:
        started.append(Command(tmp_path / "out", *words))
        return started[-1]

    yield run
    for command in started:
        command.process.kill()
        command.process.communicate()


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """More than anyone waits for."""
    folder = tmp_path / "photos"
    folder.mkdir()
    Image.fromarray(np.full((40, 80, 3), 200, np.uint8)).save(folder / "0000.png")
    for index in range(1, 2000):
        os.link(folder / "0000.png", folder / f"{index:04d}.png")
    return folder


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A long video: 2000 frames that are bright on the left."""
    path = tmp_path_factory.mktemp("clip") / "clip.avi"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"MJPG"), 25, (64, 48))
    picture = np.full((48, 64, 3), 20, np.uint8)
    picture[:, :32] = 220
    for _ in range(2000):
        writer.write(picture)
    writer.release()
    return path


def seen(out: Path) -> int:
    """How many images were seen, of which each file has whole what it should."""
    tree = json.loads((out / "detections.json").read_text())
    images, annotations = tree["images"], tree["annotations"]
    assert [image["id"] for image in images] == list(range(1, len(images) + 1))
    assert {a["image_id"] for a in annotations} <= {image["id"] for image in images}
    with (out / "detections.csv").open() as file:
        assert len(list(csv.DictReader(file))) == len(annotations)
    labels = {path.stem: path.read_text() for path in (out / "labels").iterdir()}
    assert len(labels) == len(images)
    assert sum(text.count("\n") for text in labels.values()) == len(annotations)
    assert len(list(out.glob("crops/*/*.jpg"))) == len(annotations) > 0
    if "frame" in images[0]:
        assert [image["frame"] for image in images] == list(range(len(images)))
        (video,) = out.glob("*.mp4")
        capture = cv2.VideoCapture(str(video))
        assert capture.get(cv2.CAP_PROP_FRAME_COUNT) == len(images)
    else:
        assert {path.stem for path in out.glob("*.png")} == set(labels)
    assert [path for path in out.rglob("*") if path.name.startswith(".")] == []
    return len(images)


@pytest.mark.parametrize(
    ("number", "status", "kind", "options"),
    [
        (signal.SIGINT, 130, "photos", ()),
        (signal.SIGTERM, 143, "clip", ("--tile", "32")),
        pytest.param(signal.SIGTERM, 143, "photos", ("--tile", "32"), marks=pytest.mark.slow),
        pytest.param(signal.SIGHUP, 129, "clip", (), marks=pytest.mark.slow),
        pytest.param(signal.SIGINT, 130, "clip", ("--tile", "32"), marks=pytest.mark.slow),
    ],
)
def test_a_signal_ends_it_with_what_was_seen(
    start: Callable[..., Command],
    request: pytest.FixtureRequest,
    number: signal.Signals,
    status: int,
    kind: str,
    options: tuple[str, ...],
) -> None:
    command = start(request.getfixturevalue(kind), *options)
    command.wait_for_labels(5)
    command.process.send_signal(number)
    ended, output = command.end()
    assert ended == status, output
    assert 5 <= seen(command.out) < 2000
    assert f"ended by {number.name}" in output and "Traceback" not in output


def test_a_closed_terminal_hangs_up_twice_and_that_is_one_end(
    start: Callable[..., Command], photos: Path
) -> None:
    command = start(photos)
    command.wait_for_labels(5)
    for number in (signal.SIGHUP, signal.SIGHUP, signal.SIGTERM):
        command.process.send_signal(number)
    assert command.end()[0] == 129
    assert seen(command.out) >= 5


@pytest.mark.slow
def test_what_was_started_to_ignore_a_signal_goes_on(tmp_path: Path, photos: Path) -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)  # as nohup does
    try:
        command = Command(tmp_path / "out", *sorted(photos.iterdir())[:40])
    finally:
        signal.signal(signal.SIGHUP, before)
    command.wait_for_labels(5)
    command.process.send_signal(signal.SIGHUP)
    assert command.end()[0] == 0
    assert seen(command.out) == 40


@pytest.mark.slow
def test_before_anything_is_seen_a_signal_leaves_the_results_of_before(
    start: Callable[..., Command], tmp_path: Path
) -> None:
    out = tmp_path / "out"
    out.mkdir()
    (out / "detections.json").write_text("before")
    command = start("-")  # nothing is ever piped in
    end = time.monotonic() + PATIENCE_S
    while not list(out.glob(".mindssd-*")):
        assert time.monotonic() < end
        time.sleep(0.01)
    command.process.send_signal(signal.SIGTERM)
    # The reader waits for its pipe still.
    assert command.process.wait(PATIENCE_S) == 143
    assert (out / "detections.json").read_text() == "before"
    assert [path for path in out.iterdir() if path.name.startswith(".")] == []


@pytest.fixture(params=["goes on", pytest.param("hangs", marks=pytest.mark.slow)])
def stream(clip: Path, request: pytest.FixtureRequest) -> Iterator[str]:
    """The address of a camera that sends a hundred frames or so at once, and slowly some more."""
    ended = threading.Event()

    class Camera(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Type", "video/x-msvideo")
            self.end_headers()
            data = clip.read_bytes()
            self.wfile.write(data[:150_000])
            for start in range(150_000, len(data), 1000):
                if ended.wait(PATIENCE_S if request.param == "hangs" else 0.02):
                    break
                self.wfile.write(data[start : start + 1000])

        def log_message(self, *arguments: object) -> None: ...

    class Server(ThreadingHTTPServer):
        daemon_threads = True

        def handle_error(self, *arguments: object) -> None:
            """The other side has ended."""

    server = Server(("127.0.0.1", 0), Camera)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}/street"
    ended.set()
    server.shutdown()


@pytest.mark.parametrize(
    ("number", "status", "options"),
    [
        (signal.SIGINT, 0, ("--tile", "32")),
        (signal.SIGTERM, 143, ()),
        pytest.param(signal.SIGINT, 0, (), marks=pytest.mark.slow),
        pytest.param(signal.SIGTERM, 143, ("--tile", "32"), marks=pytest.mark.slow),
    ],
)
def test_ctrl_c_is_the_end_of_a_live_source_and_another_signal_ends_it_too(
    start: Callable[..., Command],
    stream: str,
    number: signal.Signals,
    status: int,
    options: tuple[str, ...],
) -> None:
    command = start(stream, *options)
    command.wait_for_labels(5)
    command.process.send_signal(number)
    ended, output = command.end()
    assert ended == status, output
    assert seen(command.out) >= 5 and "Traceback" not in output


def test_a_second_signal_ends_it_at_once_and_leaves_no_hidden_file(
    start: Callable[..., Command], photos: Path
) -> None:
    command = start(photos)
    command.wait_for_labels(5)
    command.process.send_signal(signal.SIGSTOP)  # so that both come before it can end by the first
    command.process.send_signal(signal.SIGINT)
    command.process.send_signal(signal.SIGTERM)
    command.process.send_signal(signal.SIGCONT)
    assert command.end()[0] in (130, 143)
    hidden = [path.name for path in command.out.iterdir() if path.name.startswith(".")]
    assert hidden == [] and not (command.out / "detections.json").exists()


@pytest.mark.slow
def test_the_next_run_removes_what_a_killed_one_left(
    start: Callable[..., Command], photos: Path
) -> None:
    command = start(photos)
    command.wait_for_labels(5)
    command.process.kill()
    command.end()
    assert any(path.name.startswith(".mindssd-") for path in command.out.iterdir())
    assert start(photos / "0000.png").end()[0] == 0
    assert not any(path.name.startswith(".") for path in command.out.rglob("*"))


def num_files_with_content(folder: Path) -> int:
    count = 0
    for path in folder.glob("*"):
        with suppress(FileNotFoundError):  # it has got another name meanwhile
            count += path.stat().st_size > 0
    return count


@pytest.mark.parametrize(
    "save", ["json,csv", pytest.param("drawn,json,csv,yolo", marks=pytest.mark.slow)]
)
def test_a_folder_that_is_removed_ends_it_in_one_line_with_what_was_seen(
    tmp_path: Path, photos: Path, save: str
) -> None:
    out = tmp_path / "out"
    command = Command(out, photos, "--save", save)
    end = time.monotonic() + PATIENCE_S
    while num_files_with_content(out) < 2:
        assert time.monotonic() < end  # some images' records are written
        time.sleep(0.01)
    out.rename(tmp_path / "away")  # at once, whatever is being written into it
    shutil.rmtree(tmp_path / "away")
    status, output = command.end()
    assert status == 1 and "Traceback" not in output
    assert output.splitlines()[-1].startswith(f"mindssd: {out}/"), output
    images = json.loads((out / "detections.json").read_text())["images"]
    assert len(images) < 2000 and (out / "detections.csv").exists()


@pytest.mark.parametrize(
    ("kind", "save"),
    [
        ("photos", "drawn,json,csv"),
        pytest.param("clip", "drawn,json,csv", marks=pytest.mark.slow),
        pytest.param("clip", "yolo,json,drawn", marks=pytest.mark.slow),
    ],
)
def test_a_full_disk_ends_it_in_one_line_with_what_was_seen(
    tmp_path: Path, kind: str, save: str
) -> None:
    """On a disk of a megabyte, which drawn noise fills, or small files."""
    rng = np.random.default_rng(0)
    side, count = (32, 400) if "yolo" in save else (400, 30)
    noise = [rng.integers(0, 255, (side, side, 3), dtype=np.uint8) for _ in range(30)]
    sources = tmp_path / "in"
    sources.mkdir()
    if kind == "photos":
        for index, picture in enumerate(noise):
            Image.fromarray(picture).save(sources / f"{index:02d}.jpg")
    else:
        with VideoWriter(sources / "clip.mp4", (side, side), 25) as video:
            for index in range(count):
                video.write(noise[index % 30], index / 25)
    out, kept = tmp_path / "out", tmp_path / "kept"
    out.mkdir()
    command = f"{sys.executable} -m tests.predict.formula model {sources} --out {out}"
    script = f"mount -t tmpfs -o size=1m none {out} || exit 77\n{command} --save {save}\n"
    script += f"status=$?; cp -r {out} {kept}; exit $status"
    done = subprocess.run(
        ["unshare", "-rm", "sh", "-c", script], capture_output=True, text=True, check=False
    )
    if done.returncode == 77 or "unshare" in done.stderr:
        pytest.skip("no file system can be mounted here")
    assert done.returncode == 1, done.stdout
    (line,) = done.stderr.splitlines()
    assert line.startswith(f"mindssd: {out}/") and "No space left on device" in line
    tree = json.loads((kept / "detections.json").read_text())
    assert len(tree["images"]) >= 3
    if "csv" in save:
        with (kept / "detections.csv").open() as file:
            assert len(list(csv.reader(file))) == 1 + len(tree["annotations"])
    drawn = {path.name for path in kept.glob("*.jpg")}
    assert drawn <= {Path(image["file_name"]).name for image in tree["images"]}
    if kind == "clip" and "clip.mp4" not in line:
        # The small files have filled the disk: the video's own end has room left.
        with av.open(str(kept / "clip.mp4")) as container:
            num_frames = sum(1 for _ in container.decode(video=0))
        assert num_frames in (len(tree["images"]), len(tree["images"]) - 1)
    else:  # a part of it never has its name
        assert not (kept / "clip.mp4").exists()
    assert [path for path in kept.iterdir() if path.name.startswith(".")] == []


@pytest.mark.slow
def test_a_terminal_that_is_closed_ends_it_with_what_was_seen(tmp_path: Path, photos: Path) -> None:
    out = tmp_path / "out"
    command = [sys.executable, "-m", "tests.predict.formula", "model", str(photos)]
    process, terminal = pty.fork()
    if process == 0:
        os.environ[formula.DELAY] = "0.02"
        os.execv(sys.executable, [*command, "--out", str(out), *SAVE])
    printed = b""
    end = time.monotonic() + PATIENCE_S
    while len(list(out.glob("labels/*.txt"))) < 5:
        assert time.monotonic() < end, printed
        printed += os.read(terminal, 1 << 16)
    os.close(terminal)
    assert os.waitstatus_to_exitcode(os.waitpid(process, 0)[1]) == 128 + signal.SIGHUP
    assert seen(out) >= 5 and b"detecting" in printed

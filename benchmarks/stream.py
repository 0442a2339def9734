"""Claim: following a stream for an hour takes no more memory than for a few minutes, to 20 MB.

A server of this machine sends the objects of `tests/predict/moving.py` as a live MPEG-TS, as fast
as it is taken; ten cross the picture, then ten others. It breaks off twice in the middle of that
and goes on where it was. `mindssd.predict` follows the objects and counts them at a line, with a
detector that sees colours. Printed are its memory, the counts beside the truth, and how many frames
there were of those that were sent.

    python benchmarks/stream.py [--frames 90000] [--breaks 2]
"""

import argparse
import csv
import http.server
import multiprocessing
import sys
import tempfile
from collections import Counter
from fractions import Fraction
from itertools import pairwise
from multiprocessing.connection import Connection
from pathlib import Path
from typing import IO
from unittest import mock

import av

from mindssd.predict import job
from mindssd.predict.call import predict

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from tests.predict import moving

CLAIMED_MB = 20.0

_RATE = 25
_UNTIL = 10.0  # seconds; by then ten objects have crossed
_EARLY = 1 / 18  # of an hour: 200 s
_FAST = {"crf": "6", "preset": "ultrafast"}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--frames", type=int, default=90_000, help="an hour of 25 a second")
    parser.add_argument("--breaks", type=int, default=2)
    asked = parser.parse_args()
    if asked.frames < 2 * _UNTIL * _RATE * (asked.breaks + 1):
        parser.error("--frames: expected twenty seconds for each part, 500 frames, or more")
    context = multiprocessing.get_context("spawn")
    address, its_address = context.Pipe()
    server = context.Process(
        target=serve, args=(its_address, asked.frames, asked.breaks), daemon=True
    )
    server.start()
    mine, its = context.Pipe()
    with tempfile.TemporaryDirectory() as name:
        client = context.Process(target=follow, args=(address.recv(), Path(name), its), daemon=True)
        client.start()
        its.close()  # so that its end is seen here, whatever it came by
        sizes = watch(client.pid or 0, mine)
        num_images = mine.recv()
        found = counts(Path(name) / "counts.csv")
    true = truth(asked.frames / _RATE)
    print(f"{num_images} of {asked.frames} frames, broken {asked.breaks} times")
    print(f"counted {found.total()}, true {true.total()}, apart {(found - true) + (true - found)}")
    if len(sizes) < 2:
        raise SystemExit("it took too short a time for its memory to be seen: give more --frames")
    early = sizes[max(1, round(_EARLY * len(sizes)))]
    print(f"{early:.0f} MB early, {sizes[-1]:.0f} MB at the end, {max(sizes):.0f} MB at most")
    grown = max(sizes) - early
    print(f"grown by {grown:.1f} MB (claim: at most {CLAIMED_MB:g} MB)")


def truth(seconds: float) -> Counter[tuple[str, str]]:
    found: Counter[tuple[str, str]] = Counter()
    number = 0
    while (left := seconds - number * _UNTIL) > 0:
        found += moving.crossings_of(
            moving.crossing_scene(number), moving.SIZE[1] / 2, min(left, _UNTIL)
        )
        number += 1
    return found


def counts(path: Path) -> Counter[tuple[str, str]]:
    ways = {"in": "right", "out": "left"}
    with path.open(encoding="utf-8", newline="") as file:
        return Counter((row["class"], ways[row["direction"]]) for row in csv.DictReader(file))


def follow(address: str, out: Path, sender: Connection) -> None:
    """What a user runs, but for the detector."""
    height, width = moving.SIZE
    line = f"gate={width // 2},0,{width // 2},{height}"
    with mock.patch.object(job, "load", moving.load):
        done = predict(
            "colours", address, out=out, save="csv", track=True, count_line=line, reconnect=True
        )
    sender.send(done.num_images)


def watch(process: int, done: Connection) -> list[float]:
    """Its memory in MB, each second until it has ended."""
    sizes = []
    while not done.poll(1):
        status = Path(f"/proc/{process}/status").read_text(encoding="ascii")
        sizes.append(int(status.split("VmRSS:")[1].split()[0]) / 1e3)
        if len(sizes) % 60 == 0:
            print(f"{len(sizes)} s: {sizes[-1]:.0f} MB", flush=True)
    return sizes


def serve(address: Connection, num_frames: int, num_breaks: int) -> None:
    """Send the frames in a stream for each break and one more; only the last says that it ends."""
    half = round(_UNTIL * _RATE / 2)  # a break is amid ten objects, not between them and the next
    starts = [0, *(n * num_frames // (num_breaks + 1) + half for n in range(1, num_breaks + 1))]
    parts = iter([range(*ends) for ends in pairwise([*starts, num_frames])])

    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            frames = next(parts)
            self.send_response(200)
            self.send_header("Content-Type", "video/mp2t")
            self.send_header("Transfer-Encoding", "chunked")
            self.end_headers()
            write(Chunks(self.wfile), frames)
            if frames.stop == num_frames:
                self.wfile.write(b"0\r\n\r\n")
            self.close_connection = True

        def log_message(self, *arguments: object) -> None: ...

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    address.send(f"http://127.0.0.1:{server.server_port}/live.ts")
    server.serve_forever()


class Chunks:
    """A file whose parts go into chunks of an answer."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file

    def write(self, data: bytes) -> None:
        self._file.write(b"%x\r\n" % len(data) + bytes(data) + b"\r\n")


def write(file: Chunks, frames: range) -> None:
    """Encode frames at their times as an MPEG-TS."""
    with av.open(file, "w", format="mpegts") as stream_file:
        stream = stream_file.add_stream("libx264", rate=_RATE, options=_FAST)
        stream.height, stream.width = moving.SIZE
        stream.pix_fmt = "yuv420p"
        for index in frames:
            number, seconds = divmod(index / _RATE, _UNTIL)
            picture = moving.picture(moving.crossing_scene(int(number)), seconds)
            frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
            frame.pts, frame.time_base = index - frames.start, Fraction(1, _RATE)
            stream_file.mux(stream.encode(frame))
        stream_file.mux(stream.encode(None))


if __name__ == "__main__":
    main()

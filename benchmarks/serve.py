"""Claim: `mindssd serve` answers 16 clients at 0.85 of the rate of `mindssd predict` for a folder.

Both have the same runtime, precision, model and 640×480 JPEGs, in one run on this machine: first
predict, whole processes, then the service, with its clients in a third process beside it. Then p99
of a request over the mean time of a batch, by the service's own /metrics; whether each request was
answered, also where SIGTERM comes in their middle; and many connections that say nothing.

    python benchmarks/serve.py [model.onnx] [--images FOLDER] [--requests 10000]
"""

import argparse
import asyncio
import json
import re
import signal
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from deployed import folder_rate, made_apart

from mindssd.deploy.bench import drawn_photo

CLAIMED_RATIO, CLAIMED_WAIT = 0.85, 4.0
NUM_CLIENTS = 16
PATIENCE_S = 120.0


@dataclass
class Tally:
    """What clients saw: seconds of each answer, answers by status, and requests without one."""

    seconds: list[float] = field(default_factory=list)
    statuses: dict[int, int] = field(default_factory=dict)
    lost: int = 0
    wall_s: float = 0.0


async def ask(port: int, bodies: list[bytes], count: int, tally: Tally) -> None:
    """Ask `count` times over kept connections, or until nobody listens any more."""
    left = iter(range(count))
    await asyncio.gather(*(client(port, bodies, left, tally) for _ in range(NUM_CLIENTS)))


async def client(port: int, bodies: list[bytes], left: Iterator[int], tally: Tally) -> None:
    streams = None
    for number in left:
        if streams is None:
            try:
                streams = await asyncio.open_connection("127.0.0.1", port)
            except OSError:  # it ended: nothing was sent
                return
        reader, writer = streams
        start = time.perf_counter()
        try:
            async with asyncio.timeout(PATIENCE_S):
                writer.write(request(bodies[number % len(bodies)]))
                head = (await reader.readuntil(b"\r\n\r\n")).lower()
                length = re.search(rb"content-length: (\d+)", head)
                assert length is not None, head
                await reader.readexactly(int(length[1]))
        except (OSError, asyncio.IncompleteReadError, TimeoutError):
            tally.lost += 1
            streams = None
            continue
        tally.seconds.append(time.perf_counter() - start)
        status = int(head.split(b" ", 2)[1])
        tally.statuses[status] = tally.statuses.get(status, 0) + 1
        if b"connection: close" in head:
            writer.close()
            streams = None
    if streams is not None:
        streams[1].close()


def request(body: bytes) -> bytes:
    head = "POST /v1/detect HTTP/1.1\r\nHost: localhost\r\nContent-Type: image/jpeg\r\n"
    return f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body


def clients(port: int, folder: Path, count: int) -> None:
    """In a process of its own: ask, and print the tally."""
    bodies = [path.read_bytes() for path in sorted(folder.glob("*.jpg"))[:64]]
    tally = Tally()
    start = time.perf_counter()
    asyncio.run(ask(port, bodies, count, tally))
    tally.wall_s = time.perf_counter() - start
    print(json.dumps(vars(tally)))


def start_clients(port: int, folder: Path, count: int) -> subprocess.Popen[str]:
    words = [sys.executable, __file__, "--clients", str(port), str(folder), str(count)]
    return subprocess.Popen(words, stdout=subprocess.PIPE, text=True)


def heard(process: subprocess.Popen[str]) -> Tally:
    output, _ = process.communicate()
    given = json.loads(output)
    given["statuses"] = {int(status): count for status, count in given["statuses"].items()}
    return Tally(**given)


@contextmanager
def service(model: Path, *words: str) -> Iterator[tuple[subprocess.Popen[str], int]]:
    """`mindssd serve` in a process of its own, and its port."""
    command = [sys.executable, "-m", "mindssd", "serve", str(model), "--port", "0"]
    command += ["--no-access-log", *words]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        for line in process.stderr:
            if found := re.search(r"serves at http://[\d.]+:(\d+)/", line):
                break
        else:
            raise SystemExit(f"the service ended with status {process.wait()}")
        try:
            yield process, int(found[1])
        finally:
            with suppress(ProcessLookupError):
                process.kill()


def metric(port: int, name: str) -> float:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics") as answer:
        text = answer.read().decode()
    return sum(float(value) for value in re.findall(rf"^{name}(?:{{.*}})? (\S+)$", text, re.M))


def resident_mb(process: subprocess.Popen[str]) -> float:
    status = Path(f"/proc/{process.pid}/status").read_text(encoding="utf-8")
    (kilobytes,) = re.findall(r"VmRSS:\s+(\d+) kB", status)
    return int(kilobytes) / 1024


def throughput(model: Path, folder: Path, runtime: str, count: int) -> None:
    rate = folder_rate(model, folder, runtime, "float32")
    assert rate is not None, runtime
    with service(model, "--runtime", runtime) as (process, port):
        heard(start_clients(port, folder, 2 * NUM_CLIENTS))  # warm
        names = (
            "mindssd_batch_seconds_sum",
            "mindssd_batch_seconds_count",
            "mindssd_batch_size_sum",
        )
        before = [metric(port, name) for name in names]
        tally = heard(start_clients(port, folder, count))
        seconds, batches, images = (
            metric(port, name) - was for name, was in zip(names, before, strict=True)
        )
        memory = resident_mb(process)
    own = len(tally.seconds) / tally.wall_s
    batch = seconds / batches
    p50, p99 = (float(x) for x in np.percentile(tally.seconds, (50, 99)))
    print(
        f"{runtime}: {count} requests, {own:.1f} images/s; predict {rate:.1f}: ratio "
        f"{own / rate:.2f} (claim: at least {CLAIMED_RATIO:g})"
    )
    print(
        f"{runtime}: a batch of {images / batches:.1f} takes {1000 * batch:.1f} ms; a request "
        f"{1000 * p50:.1f} ms (median), {1000 * p99:.1f} ms (p99): {p99 / batch:.1f} batches "
        f"(claim: at most {CLAIMED_WAIT:g})"
    )
    print(f"{runtime}: lost {tally.lost}, answers {tally.statuses}, {memory:.0f} MB resident")


def end_in_the_middle(model: Path, folder: Path, count: int) -> None:
    with service(model) as (process, port):
        asking = start_clients(port, folder, count)
        while metric(port, "mindssd_images_total") < count / 4:
            time.sleep(0.05)
        process.send_signal(signal.SIGTERM)
        tally = heard(asking)
        status = process.wait(PATIENCE_S)
    print(
        f"SIGTERM after a quarter of {count} requests: {len(tally.seconds)} answered "
        f"{tally.statuses}, lost {tally.lost} (claim: 0), exit status {status}"
    )


async def hold(port: int, count: int, image: bytes) -> tuple[int, float]:
    """Open many connections that say nothing; how many there are, and a good request's seconds."""
    held = []
    for _ in range(count):
        with suppress(OSError):
            held.append(await asyncio.open_connection("127.0.0.1", port))
    tally = Tally()
    await client(port, [image], iter(range(1)), tally)
    for _, writer in held:
        writer.close()
    assert tally.statuses == {200: 1}, tally
    return len(held), tally.seconds[0]


def connections(model: Path, folder: Path, count: int) -> None:
    import resource

    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    image = next(iter(sorted(folder.glob("*.jpg")))).read_bytes()
    with service(model) as (process, port):
        before = resident_mb(process)
        number, seconds = asyncio.run(hold(port, count, image))
        grown = resident_mb(process) - before
    print(
        f"{number} connections that say nothing: the next good request is answered in "
        f"{1000 * seconds:.0f} ms, memory grew by {grown:.0f} MB"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("model", type=Path, nargs="?")
    parser.add_argument("--images", type=Path, help="a folder of JPEGs in the place of a drawn one")
    parser.add_argument("--requests", type=int, default=10_000)
    parser.add_argument("--connections", type=int, default=10_000)
    parser.add_argument("--runtimes", default="onnxruntime")
    parser.add_argument("--clients", nargs=3, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.clients is not None:
        port, folder, count = arguments.clients
        clients(int(port), Path(folder), int(count))
        return
    files = [drawn_photo()]
    if arguments.images is not None:
        files = [path.read_bytes() for path in sorted(arguments.images.glob("*.jpg"))]
    with tempfile.TemporaryDirectory() as name:
        model = arguments.model or made_apart(Path(name))
        folder = Path(name) / "images"
        folder.mkdir()
        for index in range(min(500, arguments.requests)):
            (folder / f"{index:03}.jpg").write_bytes(files[index % len(files)])
        for runtime in arguments.runtimes.split(","):
            throughput(model, folder, runtime, arguments.requests)
        end_in_the_middle(model, folder, arguments.requests)
        connections(model, folder, arguments.connections)


if __name__ == "__main__":
    main()

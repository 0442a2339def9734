"""Claim: `mindssd serve` answers 16 clients at 0.85 of the rate of `mindssd predict` for a folder.

Both have the same runtime, precision, model and 640×480 JPEGs, in one run on this machine, in turn,
so that what else the machine does befalls both: predict, whole processes; then a share of the
requests to the one service, whose clients are a process beside it; and again. The clients are one
thread with plain sockets and requests made before, for the claim is the service's and they have the
same cores. Of each: images a second, and CPU seconds an image, which other programs change less.
And p99 of a request over the mean time of a batch, by the service's own /metrics; whether each
request was answered, also where SIGTERM comes in their middle; and many connections that say
nothing.

    python benchmarks/serve.py [model.onnx] [--images FOLDER] [--requests 10000] [--rounds 5]
"""

import argparse
import json
import os
import re
import resource
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

import numpy as np
import serve_clients
from deployed import folder_rate, made_apart
from serve_clients import NUM_CLIENTS, PATIENCE_S, Tally, ask

from mindssd.deploy.bench import drawn_photo

CLAIMED_RATIO, CLAIMED_WAIT = 0.85, 4.0


def start_clients(port: int, folder: Path, count: int) -> subprocess.Popen[str]:
    words = [sys.executable, serve_clients.__file__, str(port), str(folder), str(count)]
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


def cpu_s(process: subprocess.Popen[str]) -> float:
    """CPU seconds, user and system, of a process that runs."""
    fields = (
        Path(f"/proc/{process.pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
    )
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def predicted(model: Path, folder: Path, runtime: str) -> tuple[float, float]:
    """Images a second and CPU milliseconds an image of predict, the latter less those of a start.

    The start is what a run for eight images takes more.
    """
    files = sorted(folder.glob("*.jpg"))
    with tempfile.TemporaryDirectory() as name:
        few = Path(name)
        for file in files[:8]:
            (few / file.name).write_bytes(file.read_bytes())
        used = [children_s()]
        for one in (few, folder):
            rate = folder_rate(model, one, runtime, "float32")
            assert rate is not None, runtime
            used.append(children_s())
    cpu = (used[2] - used[1]) - (used[1] - used[0])
    return rate, 1000 * cpu / (len(files) - 8)


def children_s() -> float:
    """CPU seconds of the processes that this one started and that ended."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


NAMES = ("mindssd_batch_seconds_sum", "mindssd_batch_seconds_count", "mindssd_batch_size_sum")


def throughput(model: Path, folder: Path, runtime: str, count: int, rounds: int) -> None:
    ratios, cpu_ratios, waits = [], [], []
    lost, statuses = 0, Counter[int]()
    with service(model, "--runtime", runtime) as (process, port):
        heard(start_clients(port, folder, 2 * NUM_CLIENTS))  # warm
        memory = resident_mb(process)
        for number in range(1, rounds + 1):
            rate, cpu_ms = predicted(model, folder, runtime)
            used, before = cpu_s(process), [metric(port, name) for name in NAMES]
            tally = heard(start_clients(port, folder, count // rounds))
            own = len(tally.seconds) / tally.wall_s
            own_ms = 1000 * (cpu_s(process) - used) / len(tally.seconds)
            seconds, batches, images = (
                metric(port, name) - was for name, was in zip(NAMES, before, strict=True)
            )
            p50, p99 = (float(x) for x in np.percentile(tally.seconds, (50, 99)))
            ratios.append(own / rate)
            cpu_ratios.append(cpu_ms / own_ms)
            waits.append(p99 * batches / seconds)
            lost += tally.lost
            statuses.update(tally.statuses)
            print(
                f"{runtime}, round {number}: {own:.1f} images/s, predict {rate:.1f}: ratio "
                f"{ratios[-1]:.2f}; CPU an image {own_ms:.1f} ms, predict {cpu_ms:.1f}: ratio "
                f"{cpu_ratios[-1]:.2f}; a batch of {images / batches:.1f} takes "
                f"{1000 * seconds / batches:.1f} ms, a request {1000 * p50:.1f} ms (median), "
                f"{1000 * p99:.1f} ms (p99): {waits[-1]:.1f} batches",
                flush=True,
            )
        grown = resident_mb(process) - memory
    print(
        f"{runtime}: {count} requests in {rounds} rounds: ratio {over(ratios)} (claim: at least "
        f"{CLAIMED_RATIO:g}); by CPU seconds {over(cpu_ratios)}; p99 {over(waits)} batches (claim: "
        f"at most {CLAIMED_WAIT:g}); lost {lost}, answers {dict(statuses)}; {memory:.0f} MB "
        f"resident, and {grown:.0f} more at the end"
    )


def over(values: list[float]) -> str:
    return f"{np.median(values):.2f} ({min(values):.2f} to {max(values):.2f})"


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


def connections(model: Path, folder: Path, count: int) -> None:
    """Open many connections that say nothing, and ask once."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    image = min(folder.glob("*.jpg")).read_bytes()
    with service(model) as (process, port), ExitStack() as held:
        before = resident_mb(process)
        number = 0
        for _ in range(count):
            with suppress(OSError):
                held.enter_context(socket.create_connection(("127.0.0.1", port)))
                number += 1
        tally = Tally()
        ask(port, [image], 1, tally)
        grown = resident_mb(process) - before
    assert tally.statuses == {200: 1}, tally
    print(
        f"{number} connections that say nothing: the next good request is answered in "
        f"{1000 * tally.seconds[0]:.0f} ms, memory grew by {grown:.0f} MB"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("model", type=Path, nargs="?")
    parser.add_argument("--images", type=Path, help="a folder of JPEGs in the place of a drawn one")
    parser.add_argument("--requests", type=int, default=10_000)
    parser.add_argument("--rounds", type=int, default=5, help="of predict and of requests, in turn")
    parser.add_argument("--connections", type=int, default=10_000)
    parser.add_argument("--runtimes", default="onnxruntime")
    arguments = parser.parse_args()
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
            throughput(model, folder, runtime, arguments.requests, arguments.rounds)
        end_in_the_middle(model, folder, arguments.requests)
        connections(model, folder, arguments.connections)


if __name__ == "__main__":
    main()

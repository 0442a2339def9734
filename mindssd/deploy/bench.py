"""How long detection takes with each runtime and precision that a machine has."""

import multiprocessing
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import cv2
import msgspec
import numpy as np
from rich.console import Console
from rich.table import Table

from mindssd.build.model import load
from mindssd.build.published import find_model
from mindssd.deploy.sessions.opening import (
    PRECISIONS,
    installed_runtimes,
    is_deployed,
    open_session,
)
from mindssd.deploy.sessions.session import RuntimeSettings
from mindssd.errors import ConfigError, EngineError
from mindssd.files import write_file
from mindssd.images import decode_image
from mindssd.inference.detector import Detector
from mindssd.inference.predictor import Predictor
from mindssd.platform import peak_memory_mb
from mindssd.types import Array
from mindssd.weights.atomic import read_bytes

WARM_UP_RUNS = 10
MIN_THROUGHPUT_IMAGES = 64


@dataclass(frozen=True)
class Result:
    """Milliseconds for one image from its file's bytes, and what many at once give."""

    name: str
    p50: float
    p90: float
    p99: float
    decode: float
    prepare: float
    network: float
    postprocess: float
    """Medians; with the rest of Python's work they make up `p50`."""
    images_per_second: float
    start_s: float
    """Opening the model, to its first detection."""
    memory_mb: float | None
    """The most that the process held, libraries and all."""


def bench_model(
    path: Path, images: Sequence[Path], runs: int, batch_size: int, threads: int | None
) -> list[Result]:
    """Measure each runtime and precision that can open the file, one after the other.

    `path` may be a published detector's name.
    """
    path = find_model(path)
    files = [read_bytes(image) for image in images] or [drawn_photo()]
    for data, image in zip(files, images, strict=False):
        decode_image(data, str(image))  # an error now, before anything is measured
    results = []
    for name, settings in _ways(path, threads):
        context = multiprocessing.get_context("spawn")
        with ProcessPoolExecutor(1, mp_context=context) as process:
            work = process.submit(measure, path, name, settings, files, runs, batch_size)
            results.append(work.result())
    return results


def drawn_photo() -> bytes:
    """A JPEG of 640 × 480, as large as a photograph: coarse and fine detail, and noise."""
    height, width = 480, 640
    rng = np.random.default_rng(0)
    picture = np.zeros((height, width, 3), np.float32)
    for cells, strength in ((6, 90), (40, 50), (160, 30)):
        coarse = rng.normal(0, strength, (cells * 3 // 4, cells, 3)).astype(np.float32)
        picture += cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC)
    picture += rng.normal(128, 4, picture.shape)
    _, data = cv2.imencode(
        ".jpg", np.clip(picture, 0, 255).astype(np.uint8), [cv2.IMWRITE_JPEG_QUALITY, 90]
    )
    return data.tobytes()


def _ways(path: Path, threads: int | None) -> Iterator[tuple[str | None, dict[str, Any]]]:
    """The settings of `mindssd.load` to measure; a model file runs on its engine."""
    if not is_deployed(path):
        if threads is not None:
            raise ConfigError(
                f"--threads is for files of `mindssd export`; {path} runs on MindSpore or PyTorch"
            )
        yield "MindSpore or PyTorch", {}
        return
    if not installed_runtimes():
        open_session(path)  # says what to install
    for runtime in installed_runtimes():
        for precision in PRECISIONS:
            try:
                open_session(path, RuntimeSettings(runtime, None, precision, threads))
            except (ConfigError, EngineError):
                continue  # not to be had here
            yield None, {"runtime": runtime, "precision": precision, "threads": threads}


def measure(
    path: Path,
    name: str | None,
    settings: dict[str, Any],
    files: Sequence[bytes],
    runs: int,
    batch_size: int,
) -> Result:
    """One way to run the model, in a process that does nothing else."""
    began = time.perf_counter()
    detector = load(path, **settings)
    detector(decode_image(files[0], "image"))
    start_s = time.perf_counter() - began
    if name is None:
        name = open_session(path, RuntimeSettings(**settings)).description
    parts = [_one(detector, files[i % len(files)]) for i in range(WARM_UP_RUNS + runs)]
    times = 1000 * np.array(parts[WARM_UP_RUNS:])  # (runs, 5)
    total = times[:, 0]
    decode, prepare, network, postprocess = np.median(times[:, 1:], axis=0).tolist()
    return Result(
        name=name,
        p50=float(np.percentile(total, 50)),
        p90=float(np.percentile(total, 90)),
        p99=float(np.percentile(total, 99)),
        decode=decode,
        prepare=prepare,
        network=network,
        postprocess=postprocess,
        images_per_second=_throughput(path, settings, files, runs, batch_size),
        start_s=start_s,
        memory_mb=peak_memory_mb(),
    )


def _one(detector: Detector, data: bytes) -> tuple[float, float, float, float, float]:
    """Seconds in all, then of each step, of one image."""
    predictor = detector.predictor
    assert isinstance(predictor, Predictor)
    clock = [time.perf_counter()]
    picture = decode_image(data, "image")
    clock.append(time.perf_counter())
    image = predictor.prepare(picture)[None]
    clock.append(time.perf_counter())
    outputs = predictor.forward(image)
    clock.append(time.perf_counter())
    predictor.finish([output[0] for output in outputs], (picture.shape[0], picture.shape[1]))
    clock.append(time.perf_counter())
    decode, prepare, network, postprocess = np.diff(clock)
    return clock[-1] - clock[0], decode, prepare, network, postprocess


def _throughput(
    path: Path, settings: dict[str, Any], files: Sequence[bytes], runs: int, batch_size: int
) -> float:
    detector = load(path, batch_size=batch_size, **settings)
    predictor = detector.predictor
    assert isinstance(predictor, Predictor)
    predictor.warm_up()
    count = max(MIN_THROUGHPUT_IMAGES, runs)
    sources: list[bytes | Array] = [files[i % len(files)] for i in range(count)]
    began = time.perf_counter()
    for _ in predictor.stream(sources):
        pass
    return count / (time.perf_counter() - began)


def print_results(results: Sequence[Result], console: Console) -> None:
    """A table with a line for each way."""
    table = Table(box=None, pad_edge=False)
    headings = (
        *("ms for one image", "p50", "p90", "p99", "decode", "prepare", "network", "post"),
        *("images/s", "start s", "memory MB"),
    )
    for heading in headings:
        table.add_column(heading, justify="left" if heading == headings[0] else "right")
    for result in results:
        times = (result.p50, result.p90, result.p99, result.decode, result.prepare)
        rest = (result.network, result.postprocess)
        table.add_row(
            result.name,
            *(f"{value:.2f}" for value in (*times, *rest)),
            f"{result.images_per_second:.0f}",
            f"{result.start_s:.2f}",
            "–" if result.memory_mb is None else f"{result.memory_mb:.0f}",
        )
    console.print(table)


def write_results(results: Sequence[Result], path: Path) -> None:
    tree = [asdict(result) for result in results]
    write_file(path, msgspec.json.format(msgspec.json.encode(tree), indent=1))

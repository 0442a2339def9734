"""Claims: a 640×480 JPEG's bytes become detections in 10 ms; a folder of them at 150 images/s.

Measures a model file of `mindssd export`, or an untrained one, on this machine: the median of one
image after the other with ONNX Runtime and the network's share of it; then `mindssd predict --save
json` on a folder of 500 JPEGs, whole processes, with each runtime and precision; and where an int8
file is given, its rate over float32's, in one run.

    python benchmarks/deployed.py [model.onnx] [--int8 model.int8.onnx] [--images FOLDER]
"""

import argparse
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from rich.console import Console

from mindssd.build.engine import build_engine
from mindssd.build.network import build_network
from mindssd.build.predictor import model_metadata
from mindssd.config.load import load_config, to_tree
from mindssd.deploy.bench import drawn_photo, measure
from mindssd.deploy.export import export_model
from mindssd.deploy.sessions.opening import installed_runtimes, open_session
from mindssd.deploy.sessions.session import RuntimeSettings
from mindssd.deploy.settings import ExportSettings
from mindssd.errors import MindSSDError
from mindssd.weights.safetensors_file import write_model

CLAIMED_MS, CLAIMED_RATE, CLAIMED_RATIO = 10.0, 150.0, 1.5
FOLDER_IMAGES = 500
WAYS = (("onnxruntime", "float32"), ("openvino", "float32"), ("openvino", "bfloat16"))


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("model", type=Path, nargs="?")
    parser.add_argument("--int8", type=Path)
    parser.add_argument("--images", type=Path, help="a folder of JPEGs in the place of a drawn one")
    parser.add_argument("--untrained", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--runs", type=int, default=200, help="images one after the other")
    parser.add_argument("--folder-images", type=int, default=FOLDER_IMAGES)
    arguments = parser.parse_args()
    if arguments.untrained is not None:
        untrained_model(arguments.untrained)
        return
    files = [drawn_photo()]
    if arguments.images is not None:
        files = [path.read_bytes() for path in sorted(arguments.images.glob("*.jpg"))]
    with tempfile.TemporaryDirectory() as folder:
        model = arguments.model or made_apart(Path(folder))
        report(model, arguments.int8, files, arguments.runs, arguments.folder_images)


def made_apart(folder: Path) -> Path:
    """An untrained model, from a process of its own: a training engine slows runtimes beside it."""
    model = folder / "model.safetensors"
    subprocess.run([sys.executable, __file__, "--untrained", str(model)], check=True)
    return model.with_suffix(".onnx")


def untrained_model(path: Path) -> None:
    """MobileNetV2's recipe for 80 classes at its initial values, exported: as fast as a trained."""
    config = load_config("ssd_mobilenetv2")
    network = build_network(config, build_engine(config), 80)
    names, ids = tuple(f"class {i}" for i in range(80)), tuple(range(1, 81))
    metadata = model_metadata(to_tree(config), config, network, names, ids, {})
    write_model(path, network.parameters(), metadata)
    export_model(path, ExportSettings(), (), Console(quiet=True))


def report(
    model: Path, int8: Path | None, files: list[bytes], runs: int, folder_images: int
) -> None:
    result = measure(model, None, {"runtime": "onnxruntime"}, files, runs, batch_size=8)
    print(
        f"one image, {result.name}: {result.p50:.2f} ms median (claim: {CLAIMED_MS:g}), of which "
        f"network {result.network:.2f} ({result.network / result.p50:.0%}), decode "
        f"{result.decode:.2f}, prepare {result.prepare:.2f}, post-process {result.postprocess:.2f}"
    )
    if int8 is not None:
        for runtime in installed_runtimes():
            ratio = network_ratio(model, int8, runtime)
            print(
                f"int8, {runtime}: {ratio:.2f} times float32's rate "
                f"(claim for the best: {CLAIMED_RATIO:g})"
            )
    with tempfile.TemporaryDirectory() as folder:
        for index in range(folder_images):
            (Path(folder) / f"{index:03}.jpg").write_bytes(files[index % len(files)])
        for path in filter(None, (model, int8)):
            for runtime, precision in WAYS:
                rate = folder_rate(path, Path(folder), runtime, precision)
                if rate is not None:
                    print(
                        f"{folder_images} JPEGs, {path.name}, {runtime} {precision}: "
                        f"{rate:.0f} images/s (claim for the best: {CLAIMED_RATE:g})"
                    )


def network_ratio(model: Path, int8: Path, runtime: str) -> float:
    """How many times as fast the int8 network is: medians of runs in turn."""
    sessions = [open_session(path, RuntimeSettings(runtime)) for path in (model, int8)]
    size = sessions[0].manifest.metadata.image_size
    image = np.random.default_rng(0).normal(size=(1, 3, *size)).astype(np.float32)
    times: list[list[float]] = [[], []]
    for _ in range(20):
        for session, own in zip(sessions, times, strict=True):
            for run in range(11):
                start = time.perf_counter()
                session.forward(image)
                if run > 0:  # the first finds the other's data in the caches
                    own.append(time.perf_counter() - start)
    return float(np.median(times[0]) / np.median(times[1]))


def folder_rate(model: Path, folder: Path, runtime: str, precision: str) -> float | None:
    """Images a second as `mindssd predict` says it; None where this machine has no such way."""
    try:
        open_session(model, RuntimeSettings(runtime, precision=precision))
    except MindSSDError:
        return None
    with tempfile.TemporaryDirectory() as out:
        words = ["predict", str(model), str(folder), "--out", out, "--save", "json", "--batch", "4"]
        words += ["--runtime", runtime, "--precision", precision]
        done = subprocess.run(
            [sys.executable, "-m", "mindssd", *words], capture_output=True, text=True, check=True
        )
    found = re.search(r"([\d.]+) images/s", done.stdout.replace("\n", " "))
    assert found is not None, done.stdout
    return float(found[1])


if __name__ == "__main__":
    main()

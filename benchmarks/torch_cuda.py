"""Goal on one NVIDIA H100: 3,700 images/s for `ssd_mobilenetv2`, 950 for `ssd_resnet50_fpn`.

Both train in bfloat16 at the best batch, the first with the real loader. Not yet measured: no such
machine could be had.

    python benchmarks/torch_cuda.py [--data-dir COCO] [--workers 16]

For each recipe: the training step at growing batches, with memory and the share of the device's
peak; with `--data-dir` the rate with the loader, at the best of them; inference at batch 1 and at
the best. Without a CUDA device it says so and ends well.
"""

import argparse
import sys
import time
from collections.abc import Callable, Iterator
from importlib.util import find_spec

import numpy as np

from mindssd.build.data import build_dataset, build_loader, build_samples
from mindssd.build.engine import build_engine
from mindssd.build.network import build_default_boxes, build_network, image_size
from mindssd.build.training import step_spec
from mindssd.config.load import load_config
from mindssd.config.schema import Config
from mindssd.engines.base import Engine, Network
from mindssd.types import Batch

GOALS = {"ssd_mobilenetv2": 3700, "ssd_resnet50_fpn": 950}
BATCHES = (16, 32, 64, 128, 256, 512)
PEAK = {"H100": 989e12, "H200": 989e12, "A100": 312e12}
"""Dense bfloat16 operations a second, by NVIDIA's data sheets (SXM)."""
NUM_CLASSES = 80


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--data-dir", help="a data set in COCO's layout, for the rate with loader")
    parser.add_argument("--workers", type=int, help="loader processes")
    parser.add_argument("--steps", type=int, default=30, help="timed for each figure")
    arguments = parser.parse_args()
    if not find_spec("torch") or not _torch().cuda.is_available():
        print("no CUDA device: not measured")
        return
    print(f"{_torch().cuda.get_device_name()}, PyTorch {_torch().__version__}")
    for recipe, goal in GOALS.items():
        overrides = ["engine=torch", "device=GPU", "precision=bfloat16"]
        if arguments.data_dir:
            overrides.append(f"data_dir={arguments.data_dir}")
        if arguments.workers is not None:
            overrides.append(f"num_workers={arguments.workers}")
        measure(recipe, overrides, goal, arguments.steps)


def _torch():
    import torch

    return torch


def measure(recipe: str, overrides: list[str], goal: int, num_steps: int) -> None:
    config = load_config(recipe, overrides)
    engine = build_engine(config, training=True)
    network = build_network(config, engine, NUM_CLASSES)
    operations = count_operations(config, network)
    rates: dict[int, float] = {}
    for batch_size in BATCHES:
        try:
            rates[batch_size] = training_rate(config, engine, network, batch_size, num_steps)
        except _torch().cuda.OutOfMemoryError:
            break
        memory = _torch().cuda.max_memory_allocated() / 2**30
        share = peak_share(3 * operations * rates[batch_size])  # the backward pass costs two more
        print(
            f"{recipe} step, batch {batch_size}: {rates[batch_size]:.0f} images/s, "
            f"{memory:.1f} GiB, {share}",
            flush=True,
        )
    best = max(rates, key=lambda size: rates[size])
    if config.data_dir:
        rate = loader_rate(load_config(recipe, [*overrides, f"batch_size={best}"]), num_steps)
        print(f"{recipe} with the loader, batch {best}: {rate:.0f} images/s (goal: {goal})")
    else:
        print(f"{recipe} with the loader: not measured, give --data-dir (goal: {goal})")
    for batch_size in (1, best):
        images = np.zeros((batch_size, 3, *image_size(config)), np.float32)
        seconds = time_of(lambda images=images: network.forward(images), num_steps)
        print(f"{recipe} inference, batch {batch_size}: {batch_size / seconds:.0f} images/s")


def count_operations(config: Config, network: Network) -> float:
    """Floating-point operations of one image's forward pass."""
    from torch.utils.flop_counter import FlopCounterMode

    with FlopCounterMode(display=False) as counter:
        network.forward(np.zeros((1, 3, *image_size(config)), np.float32))
    return float(counter.get_total_flops())


def peak_share(operations_per_s: float) -> str:
    name = _torch().cuda.get_device_name()
    for device, peak in PEAK.items():
        if device in name:
            return f"{100 * operations_per_s / peak:.1f} % of the device's peak"
    return f"{operations_per_s / 1e12:.1f} TFLOP/s"


def training_rate(
    config: Config, engine: Engine, network: Network, batch_size: int, num_steps: int
) -> float:
    """Images a second of the step alone, with the copy of its batch to the device."""
    stepper = engine.build_stepper(network, step_spec(config, list(network.parameters())))
    num_boxes = len(build_default_boxes(config, network.grids))
    rng = np.random.default_rng(0)
    labels = (rng.random((batch_size, num_boxes)) < 0.01) * rng.integers(
        1, NUM_CLASSES + 1, (batch_size, num_boxes)
    )
    batch = Batch(
        rng.normal(size=(batch_size, 3, *image_size(config))).astype(np.float32),
        rng.normal(size=(batch_size, num_boxes, 4)).astype(np.float32),
        labels.astype(np.int32),
        np.ones(batch_size, np.float32),
        np.arange(batch_size),
        np.zeros(batch_size, bool),
    )
    _torch().cuda.reset_peak_memory_stats()
    return batch_size / time_of(lambda: stepper.step(batch, 1e-4, 0.0), num_steps)


def loader_rate(config: Config, num_steps: int) -> float:
    """Images a second of a training as `mindssd train` runs it, decoding and matching included."""
    engine = build_engine(config, training=True)
    dataset = build_dataset(config, "train")
    network = build_network(config, engine, len(dataset.class_names))
    stepper = engine.build_stepper(network, step_spec(config, list(network.parameters())))
    default_boxes = build_default_boxes(config, network.grids)
    loader = build_loader(config, build_samples(config, dataset, default_boxes))
    with loader.batches(0, 3 * num_steps) as batches:
        steps: Iterator[Batch] = iter(batches)
        seconds = time_of(lambda: stepper.step(next(steps), 1e-4, 0.0), num_steps)
    return config.batch_size / seconds


def time_of(step: Callable[[], object], num_steps: int) -> float:
    """Mean seconds, for a loader's hiccups count."""
    for _ in range(5):
        step()
    _torch().cuda.synchronize()
    start = time.perf_counter()
    for _ in range(num_steps):
        step()
    _torch().cuda.synchronize()
    return (time.perf_counter() - start) / num_steps


if __name__ == "__main__":
    sys.exit(main())

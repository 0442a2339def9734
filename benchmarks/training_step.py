"""Claim: `ssd_mobilenetv2` trains on CPU at 1.25 times the rate of a plain MindSpore step.

The plain step is of the same network. On an AVX-512 machine the engine's step also runs at 7 times
the rate of MindSpore's defaults. It was 1.64 and 9.1 when last run, on two cores of AMD Zen 5.

    python benchmarks/training_step.py [--batch-size 8] [--rounds 3]

Three ways, each in a process of its own, in turn, so that a drifting machine meets all alike:

- ours: the engine with its settings and its step;
- plain: the same network in `nn.TrainOneStepCell` with `nn.Momentum` and the loss written as its
  formula reads, with `ONEDNN_MAX_CPU_ISA=AVX2` but no other setting of ours;
- defaults: the same without any setting.
"""

import argparse
import os
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from statistics import median

import numpy as np

WAYS = ("ours", "plain", "defaults")


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--batch-size", type=int, default=8)
    parser.add_argument("--rounds", type=int, default=3, help="processes of each way")
    parser.add_argument("--seconds", type=float, default=12.0, help="of steps in each process")
    parser.add_argument("--way", choices=WAYS, help="run this one here (used by itself)")
    arguments = parser.parse_args()
    if arguments.way:
        print(time_way(arguments.way, arguments.batch_size, arguments.seconds))
        return
    seconds: dict[str, list[float]] = {way: [] for way in WAYS}
    for _ in range(arguments.rounds):
        for way in WAYS:
            seconds[way].append(run_process(way, arguments.batch_size, arguments.seconds))
            print(f"{way:9} {seconds[way][-1]:.3f} s a step", flush=True)
    ours = median(seconds["ours"])
    print(f"ours: {arguments.batch_size / ours:.1f} images/s (batch {arguments.batch_size})")
    for way, goal in (("plain", 1.25), ("defaults", 7.0)):
        print(f"rate of ours over {way}: {median(seconds[way]) / ours:.2f} (goal: {goal})")


def run_process(way: str, batch_size: int, seconds: float) -> float:
    """Median seconds of a step, in a new process with the environment that the way asks for."""
    environment = {k: v for k, v in os.environ.items() if k != "ONEDNN_MAX_CPU_ISA"}
    if way != "defaults":
        environment["ONEDNN_MAX_CPU_ISA"] = "AVX2"
    command = [sys.executable, __file__, "--way", way]
    command += ["--batch-size", str(batch_size), "--seconds", str(seconds)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"{way} failed:\n{done.stderr[-2000:]}")
    return float(done.stdout.split()[-1])


def time_way(way: str, batch_size: int, seconds: float) -> float:
    if way == "ours":
        return time_step(our_step(batch_size, ["engine=mindspore"]), seconds)
    return time_step(plain_step(batch_size), seconds)


def time_step(step: Callable[[], object], seconds: float) -> float:
    """Median seconds of a step."""
    step()  # compiles
    times: list[float] = []
    end = time.perf_counter() + seconds
    while time.perf_counter() < end or len(times) < 3:
        start = time.perf_counter()
        step()
        times.append(time.perf_counter() - start)
    return median(times)


def batch_arrays(batch_size: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Images, target offsets and labels; one default box in a hundred is positive."""
    rng = np.random.default_rng(0)
    images = rng.normal(size=(batch_size, 3, 300, 300)).astype(np.float32)
    offsets = rng.normal(size=(batch_size, 1917, 4)).astype(np.float32)
    labels = (rng.random((batch_size, 1917)) < 0.01).astype(np.int32)
    return images, offsets, labels * rng.integers(1, 81, labels.shape, np.int32)


def our_step(batch_size: int, overrides: Sequence[str]) -> Callable[[], None]:
    from mindssd.build.engine import build_engine
    from mindssd.build.network import build_network
    from mindssd.build.training import step_spec
    from mindssd.config.load import load_config
    from mindssd.types import Batch

    config = load_config("ssd_mobilenetv2", overrides)
    engine = build_engine(config, training=True)
    network = build_network(config, engine, 80)
    stepper = engine.build_stepper(network, step_spec(config, list(network.parameters())))
    images, offsets, labels = batch_arrays(batch_size)
    batch = Batch(
        images,
        offsets,
        labels,
        np.ones(batch_size, np.float32),
        np.arange(batch_size),
        np.zeros(batch_size, bool),
    )

    def step() -> None:
        stepper.step(batch, 1e-3, 0.0)

    return step


def plain_step(batch_size: int) -> Callable[[], None]:
    """What a MindSpore user writes from the documentation; imports no setting of ours."""
    import mindspore as ms
    from mindspore import nn, ops

    from mindssd.build.network import network_spec
    from mindssd.config.load import load_config
    from mindssd.engines.mindspore.network import _Detector

    ms.set_context(mode=ms.GRAPH_MODE)

    class Loss(nn.Cell):
        def __init__(self, network):
            super().__init__(auto_prefix=False)
            self.network = network
            self.smooth_l1 = nn.SmoothL1Loss(reduction="none")

        def construct(self, images, target_offsets, labels):
            offsets, logits = self.network(images)
            positive = (labels > 0).astype(ms.float32)
            truth = ops.one_hot(labels, 81, ms.Tensor(1.0), ms.Tensor(0.0))
            entropy = ops.binary_cross_entropy_with_logits(
                logits, truth, ops.ones_like(logits), ops.ones_like(logits), reduction="none"
            )
            score = ops.sigmoid(logits)
            miss = 1 - (truth * score + (1 - truth) * (1 - score))
            alpha = truth * 0.75 + (1 - truth) * 0.25
            class_loss = (alpha * ops.pow(miss, 2.0) * entropy).sum()
            box_loss = (self.smooth_l1(offsets, target_offsets).sum(-1) * positive).sum()
            return (class_loss + box_loss) / positive.sum()

    network = _Detector(network_spec(load_config("ssd_mobilenetv2"), 80))
    optimizer = nn.Momentum(network.trainable_params(), 1e-3, 0.9, 1.5e-4, 1024.0)
    train = nn.TrainOneStepCell(Loss(network), optimizer, sens=1024.0)
    train.set_train()
    tensors = [ms.Tensor(array) for array in batch_arrays(batch_size)]

    def step() -> None:
        train(*tensors).asnumpy()

    return step


if __name__ == "__main__":
    main()

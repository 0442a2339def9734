"""Claim: with PyTorch `ssd_mobilenetv2` trains on CPU faster than a plain step of the same network.

In float32 at 1.6 times the rate, in bfloat16, where the CPU has instructions for it, at 2.2 times.
The plain step is PyTorch's as a user begins with it: eager, float32, one channel after the other.
MindSpore's engine is timed beside them. It was 1.78 and 2.32, and MindSpore's 0.82, when last run,
on two cores of AMD Zen 5.

    python benchmarks/torch_step.py [--batch-size 8] [--rounds 3]

Each way runs in a process of its own, in turn, so that a drifting machine meets all alike and no
engine inherits the other's settings.
"""

import argparse
import os
import subprocess
import sys
from collections.abc import Callable
from importlib.util import find_spec
from statistics import median

from training_step import batch_arrays, our_step, time_step

WAYS = ("plain", "float32", "bfloat16", "mindspore")
GOALS = {"float32": 1.6, "bfloat16": 2.2}


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--batch-size", type=int, default=8)
    parser.add_argument("--rounds", type=int, default=3, help="processes of each way")
    parser.add_argument("--seconds", type=float, default=8.0, help="of steps in each process")
    parser.add_argument("--way", choices=WAYS, help="run this one here (used by itself)")
    arguments = parser.parse_args()
    if arguments.way:
        print(time_step(step_of(arguments.way, arguments.batch_size), arguments.seconds))
        return
    ways = [way for way in WAYS if way != "mindspore" or find_spec("mindspore")]
    seconds: dict[str, list[float]] = {way: [] for way in ways}
    for _ in range(arguments.rounds):
        for way in ways:
            seconds[way].append(run_process(way, arguments.batch_size, arguments.seconds))
            print(f"{way:9} {seconds[way][-1]:.3f} s a step", flush=True)
    medians = {way: median(times) for way, times in seconds.items()}
    for way, time in medians.items():
        rate = f"{way:9} {arguments.batch_size / time:5.1f} images/s"
        goal = f" (goal: {GOALS[way]})" if way in GOALS else ""
        print(f"{rate}, {medians['plain'] / time:.2f} times the plain step's{goal}")


def run_process(way: str, batch_size: int, seconds: float) -> float:
    """Median seconds of a step, in a new process."""
    environment = {k: v for k, v in os.environ.items() if k != "ONEDNN_MAX_CPU_ISA"}
    command = [sys.executable, __file__, "--way", way]
    command += ["--batch-size", str(batch_size), "--seconds", str(seconds)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"{way} failed:\n{done.stderr[-2000:]}")
    return float(done.stdout.split()[-1])


def step_of(way: str, batch_size: int) -> Callable[[], object]:
    if way == "plain":
        return plain_step(batch_size)
    if way == "mindspore":
        return our_step(batch_size, ["engine=mindspore"])
    return our_step(batch_size, ["engine=torch", "device=CPU", f"precision={way}"])


def plain_step(batch_size: int) -> Callable[[], object]:
    """What a PyTorch user writes first, with no setting of ours but the network."""
    import torch
    from torch.nn import functional

    from mindssd.build.network import network_spec
    from mindssd.config.load import load_config
    from mindssd.engines.torch.detector import build_detector

    network = build_detector(network_spec(load_config("ssd_mobilenetv2"), 80), seed=0).train()
    optimizer = torch.optim.SGD(network.parameters(), 1e-3, 0.9, weight_decay=1.5e-4)
    images, target_offsets, labels = map(torch.from_numpy, batch_arrays(batch_size))

    def step() -> None:
        offsets, logits = network(images)
        positive = (labels > 0).float()
        truth = functional.one_hot(labels.long(), 81).float()
        entropy = functional.binary_cross_entropy_with_logits(logits, truth, reduction="none")
        score = torch.sigmoid(logits)
        miss = 1 - (truth * score + (1 - truth) * (1 - score))
        alpha = truth * 0.75 + (1 - truth) * 0.25
        class_loss = (alpha * miss.pow(2.0) * entropy).sum()
        distance = functional.smooth_l1_loss(offsets, target_offsets, reduction="none")
        loss = (class_loss + (distance.sum(-1) * positive).sum()) / positive.sum()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        loss.item()

    return step


if __name__ == "__main__":
    main()

"""Claim: beside as many busy programs as there are cores, PyTorch trains at 1.3 times the rate.

And with a MODEL.onnx instead: ONNX Runtime detects by it at 1.1 times the rate. That is, of what
each has where its threads spin for each other as long as by their own default; and alone no slower
than 0.95 times that. On two cores of an AMD EPYC PyTorch was at 0.97 alone, and busy at 1.4 in one
round and 25 in the next; ONNX Runtime, by a `small_data` model, at 0.97 alone, and busy at 1.14 to
1.55: how a kernel shares cores among threads that spin is luck. Measured are a step of
`ssd_mobilenetv2`, in bfloat16 where the CPU has it, and the network's run for one image; each way
in a process of its own, in turn.

    python benchmarks/busy_cores.py [MODEL.onnx] [--rounds 2] [--seconds 15]
"""

import argparse
import os
import subprocess
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from statistics import median

import numpy as np
import onnxruntime as ort
from training_step import our_step, time_step

from mindssd.deploy.manifest import INPUT
from mindssd.deploy.sessions.opening import open_session
from mindssd.deploy.sessions.session import RuntimeSettings
from mindssd.platform import available_cores

WAYS = ("default", "ours")
LIBGOMPS_SPIN_COUNT = "300000"
BATCH_SIZE = 8


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("model", nargs="?", type=Path, metavar="MODEL.onnx")
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--seconds", type=float, default=15.0, help="of steps in each process")
    parser.add_argument("--here", choices=WAYS, help="used by itself")
    asked = parser.parse_args()
    if asked.here and asked.model:
        print(time_run(asked.model, asked.seconds, asked.here))
        return
    if asked.here:
        settings = ["engine=torch", "device=CPU", "precision=auto"]
        print(time_step(our_step(BATCH_SIZE, settings), asked.seconds))
        return
    goals = {"alone": 0.95, "busy": 1.1 if asked.model else 1.3}
    words = [*([asked.model] if asked.model else []), "--seconds", str(asked.seconds)]
    for where, goal in goals.items():
        times: dict[str, list[float]] = {way: [] for way in WAYS}
        for _ in range(asked.rounds):
            for way in WAYS:
                times[way].append(measured(way, words, is_busy=where == "busy"))
                print(f"{where} {way:8} {times[way][-1]:.4f} s", flush=True)
        ratio = median(times["default"]) / median(times["ours"])
        print(f"{where}: {ratio:.2f} times the default's rate (goal: {goal})")


def time_run(model: Path, seconds: float, way: str) -> float:
    """Seconds of a run for one image on all cores, the mean: a few runs wait long, which counts."""
    session = open_session(model, RuntimeSettings("onnxruntime", device="CPU"))
    images = np.zeros((1, 3, *session.manifest.metadata.image_size), np.float32)
    run: Callable[[], object] = partial(session.forward, images)
    if way == "default":
        options = ort.SessionOptions()
        options.intra_op_num_threads = available_cores()
        plain = ort.InferenceSession(str(model), options, providers=["CPUExecutionProvider"])
        run = partial(plain.run, None, {INPUT: images})
    run()
    began, runs = time.perf_counter(), 0
    while (taken := time.perf_counter() - began) < seconds:
        run()
        runs += 1
    return taken / runs


def measured(way: str, words: list[object], is_busy: bool) -> float:
    """Seconds of a step or run, in a new process, beside a loop for each core or alone."""
    own = ("GOMP_SPINCOUNT", "OMP_WAIT_POLICY")
    environment = {k: v for k, v in os.environ.items() if k not in own}
    if way == "default":
        environment["GOMP_SPINCOUNT"] = LIBGOMPS_SPIN_COUNT
    loop = [sys.executable, "-c", "while True: pass"]
    loops = [subprocess.Popen(loop) for _ in range(available_cores() if is_busy else 0)]
    try:
        done = subprocess.run(
            [sys.executable, __file__, *map(str, words), "--here", way],
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )
    finally:
        for each in loops:
            each.kill()
            each.wait()
    if done.returncode:
        raise SystemExit(done.stderr[-2000:])
    return float(done.stdout.split()[-1])


if __name__ == "__main__":
    main()

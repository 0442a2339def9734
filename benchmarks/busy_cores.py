"""Claim: beside as many busy programs as there are cores, PyTorch trains at 1.3 times the rate.

That is, of what it has where libgomp's threads spin for each other as long as by its own default;
and alone no slower than 0.95 times that. It was 0.97 alone, and busy 1.4 in one round and 25 in
the next, on two cores of an AMD EPYC: how a kernel shares cores among threads that spin is luck.
A step of `ssd_mobilenetv2`, in bfloat16 where the CPU has it; each way in a process of its own,
in turn.

    python benchmarks/busy_cores.py [--rounds 2] [--seconds 15]
"""

import argparse
import os
import subprocess
import sys
from statistics import median

from training_step import our_step, time_step

from mindssd.platform import available_cores

WAYS = {"default": "300000", "ours": None}
GOALS = {"alone": 0.95, "busy": 1.3}
BATCH_SIZE = 8


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--seconds", type=float, default=15.0, help="of steps in each process")
    parser.add_argument("--here", action="store_true", help="used by itself")
    asked = parser.parse_args()
    if asked.here:
        settings = ["engine=torch", "device=CPU", "precision=auto"]
        print(time_step(our_step(BATCH_SIZE, settings), asked.seconds))
        return
    for where in GOALS:
        times: dict[str, list[float]] = {way: [] for way in WAYS}
        for _ in range(asked.rounds):
            for way, spins in WAYS.items():
                times[way].append(measured(spins, asked.seconds, is_busy=where == "busy"))
                print(f"{where} {way:8} {times[way][-1]:.3f} s a step", flush=True)
        ratio = median(times["default"]) / median(times["ours"])
        print(f"{where}: {ratio:.2f} times the default's rate (goal: {GOALS[where]})")


def measured(spins: str | None, seconds: float, is_busy: bool) -> float:
    """Median seconds of a step, in a new process, beside a loop for each core or alone."""
    own = ("GOMP_SPINCOUNT", "OMP_WAIT_POLICY")
    environment = {k: v for k, v in os.environ.items() if k not in own}
    if spins is not None:
        environment["GOMP_SPINCOUNT"] = spins
    loop = [sys.executable, "-c", "while True: pass"]
    loops = [subprocess.Popen(loop) for _ in range(available_cores() if is_busy else 0)]
    try:
        done = subprocess.run(
            [sys.executable, __file__, "--here", "--seconds", str(seconds)],
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

"""Claim: `mindssd --help` answers within 0.5 s, because no command imports what it does not need.

    python benchmarks/command_start.py [--runs 9]

Prints the median of whole processes, and beside it that of a bare Python that imports nothing.
"""

import argparse
import subprocess
import sys
import time
from statistics import median


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--runs", type=int, default=9)
    runs = parser.parse_args().runs
    ours = median(seconds([sys.executable, "-m", "mindssd", "--help"]) for _ in range(runs))
    bare = median(seconds([sys.executable, "-c", ""]) for _ in range(runs))
    print(f"mindssd --help: {ours:.3f} s (claim: 0.5); python alone: {bare:.3f} s")


def seconds(command: list[str]) -> float:
    start = time.perf_counter()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - start


if __name__ == "__main__":
    main()

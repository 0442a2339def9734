"""Try inputs that nobody thought of: `python -m tests.fuzz images --minutes 20 --seed 0`.

A module beside this one is what may be fuzzed; its `run(seed, seconds, say)` gives a line for each
finding. The exit status is 1 where there is one.
"""

import argparse
import importlib
import sys
from pathlib import Path


def main() -> int:
    names = (path.stem for path in Path(__file__).parent.glob("*.py"))
    subjects = sorted(name for name in names if not name.startswith(("__", "test_")))
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("subject", choices=subjects)
    parser.add_argument("--minutes", type=float, default=20.0)
    parser.add_argument("--seed", type=int, default=0)
    asked = parser.parse_args()
    subject = importlib.import_module(f"tests.fuzz.{asked.subject}")
    findings = subject.run(asked.seed, 60 * asked.minutes, print)
    for finding in findings:
        print(f"finding: {finding}")
    print(f"{asked.subject}: {len(findings)} findings")
    return 1 if findings else 0


if __name__ == "__main__":
    sys.exit(main())

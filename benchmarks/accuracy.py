"""Train one recipe on several data sets and seeds, and print what each reached.

    python benchmarks/accuracy.py DATA_DIR... [--backbone CKPT] [--seeds 0,1,2]
        [--config small_data] [KEY=VALUE...]

Each is trained through the command line, one and the same command for all, scored on its validation
part after the last epoch alone, so that no epoch is chosen by it. A line for each data set has the
medians of the seeds, and from the least to the greatest mAP. Settings that follow are laid over the
recipe: so a part is tried, or the old recipe given the same length.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Result:
    """One training after its last epoch: COCO's numbers, each class's AP, and the seconds."""

    ap: float
    ap50: float
    ap75: float
    ar100: float
    of_classes: dict[str, float]
    seconds: float


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("words", nargs="+", metavar="DATA_DIR or KEY=VALUE")
    parser.add_argument("--backbone", help="a checkpoint; by default that of the recipe")
    parser.add_argument("--seeds", default="0,1,2")
    parser.add_argument("--config", default="small_data")
    arguments = parser.parse_intermixed_args()
    settings = [word for word in arguments.words if "=" in word]
    data_dirs = [Path(word) for word in arguments.words if "=" not in word]
    if arguments.backbone:
        settings.append(f"backbone_ckpt_path={arguments.backbone}")
    runs_dir = Path("runs") / f"accuracy-{time.strftime('%Y%m%d-%H%M%S')}-{os.getpid()}"
    rows = ["data set          mAP   AP50   AP75  AR100   mAP of seeds   training s  classes"]
    for number, data_dir in enumerate(data_dirs):
        runs = runs_dir / f"{number}-{data_dir.resolve().name}"
        results = [
            train(arguments.config, data_dir, seed, runs, settings)
            for seed in arguments.seeds.split(",")
        ]
        rows.append(row(data_dir.resolve().name, results))
        print("", *rows, sep="\n", flush=True)


def train(config: str, data_dir: Path, seed: str, runs_dir: Path, settings: list[str]) -> Result:
    run = runs_dir / f"seed{seed}"
    print(f"== {run}", flush=True)
    words = ["train", "--config", config, f"data_dir={data_dir}", f"seed={seed}"]
    words += [f"runs_dir={run.parent}", f"name={run.name}", "evaluation.every_epochs=0", *settings]
    subprocess.run([sys.executable, "-m", "mindssd", *words], check=True)
    report = json.loads((run / "evaluation.json").read_text())
    last_event = json.loads((run / "log.jsonl").read_text().splitlines()[-1])
    return Result(
        ap=report["AP"],
        ap50=report["AP50"],
        ap75=report["AP75"],
        ar100=report["AR100"],
        of_classes={c["name"]: c["ap"] for c in report["per_class"] if c["ap"] is not None},
        seconds=last_event["elapsed_s"],
    )


def row(name: str, results: list[Result]) -> str:
    """The medians of each number by itself, and the three poorest classes' of the first seed."""
    ap, ap50, ap75, ar, seconds = (
        statistics.median(getattr(result, field) for result in results)
        for field in ("ap", "ap50", "ap75", "ar100", "seconds")
    )
    aps = [result.ap for result in results]
    poorest = sorted(results[0].of_classes.items(), key=lambda item: item[1])[:3]
    classes = ", ".join(f"{name} {value:.2f}" for name, value in poorest)
    return (
        f"{name:<16} {ap:5.3f}  {ap50:5.3f}  {ap75:5.3f}  {ar:5.3f}  {min(aps):.3f} to "
        f"{max(aps):.3f}  {seconds:>10.0f}  {classes}"
    )


if __name__ == "__main__":
    main()

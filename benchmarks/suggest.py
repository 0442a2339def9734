"""Whether images that `mindssd suggest` picks teach more than as many at random.

    python benchmarks/suggest.py data/bccd [--labelled 60] [--next 60] [--seeds 0 1 2] [--epochs 60]
        [--engine torch] [--out suggest-bccd] [KEY=VALUE ...]

For each seed, images drawn at random are labelled and a model is trained on them. Then as many more
are taken of the rest, once as the model's suggestion and once at random, and a model is trained on
both together; the validation images score it, at the end. What is in `--out` is not done again, and
a training that was cut off goes on, so that the same command goes on where it was stopped.
"""

import argparse
import csv
import json
import shutil
import statistics
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np

PARTS = "train2017", "val2017"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data_dir", type=Path, help="in COCO's layout")
    parser.add_argument("settings", nargs="*", metavar="KEY=VALUE", help="of every training")
    parser.add_argument("--labelled", type=int, default=60)
    parser.add_argument("--next", type=int, default=60)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--epochs", default="auto", help="as the recipe has it unless said")
    parser.add_argument("--engine", default="torch")
    parser.add_argument("--out", type=Path, default=Path("suggest-benchmark"))
    asked = parser.parse_args()
    settings = [f"epochs={asked.epochs}", "evaluation.every_epochs=0", *asked.settings]
    settings.append(f"engine={asked.engine}")
    gains: list[float] = []
    for seed in asked.seeds:
        folder = asked.out / f"seed{seed}"
        content = annotations(asked.data_dir)
        names = sorted(image["file_name"] for image in content["images"])
        order = np.random.default_rng(seed).permutation(names).tolist()
        first, rest = order[: asked.labelled], order[asked.labelled :]
        begun = trained(asked.data_dir, folder / "first", first, seed, settings)
        picked = suggested(asked.data_dir, folder, begun, rest, asked.next, asked.engine)
        drawn = np.random.default_rng(1000 + seed).permutation(rest)[: asked.next].tolist()
        scores = {
            name: score(trained(asked.data_dir, folder / name, [*first, *more], seed, settings))
            for name, more in (("suggested", picked), ("random", drawn))
        }
        gains.append(scores["suggested"] - scores["random"])
        print(
            f"seed {seed}: mAP {score(begun):.4f} of {len(first)} images; with {asked.next} more "
            f"{scores['suggested']:.4f} as suggested, {scores['random']:.4f} at random",
            flush=True,
        )
    spread = statistics.stdev(gains) if len(gains) > 1 else float("nan")
    print(f"suggested over random: {statistics.mean(gains):+.4f} mAP, deviation {spread:.4f}")


def annotations(data_dir: Path) -> dict[str, Any]:
    path = data_dir / "annotations" / "instances_train2017.json"
    content: dict[str, Any] = json.loads(path.read_bytes())
    return content


def trained(data_dir: Path, folder: Path, names: list[str], seed: int, settings: list[str]) -> Path:
    """The run of a model that was trained on some images: kept, gone on with, or begun."""
    run = folder / "run"
    if (run / "evaluation.json").is_file():
        return run
    data = folder / "data"
    if not data.is_dir():
        content = annotations(data_dir)
        images = [image for image in content["images"] if image["file_name"] in set(names)]
        numbers = {image["id"] for image in images}
        boxes = [box for box in content["annotations"] if box["image_id"] in numbers]
        (data / "annotations").mkdir(parents=True)
        path = data / "annotations" / "instances_train2017.json"
        path.write_text(json.dumps({**content, "images": images, "annotations": boxes}))
        shutil.copy(data_dir / "annotations" / "instances_val2017.json", path.parent)
        for part in PARTS:
            (data / part).symlink_to((data_dir / part).resolve())
    if (run / "last").is_dir():
        mindssd("train", "--resume", str(run))
    else:
        where = [f"data_dir={data}", f"runs_dir={folder}", "name=run", f"seed={seed}"]
        mindssd("train", *where, *settings)
    return run


def suggested(
    data_dir: Path, folder: Path, run: Path, rest: list[str], count: int, engine: str
) -> list[str]:
    """The names that a model suggests of the rest."""
    out, pool = folder / "to_label", folder / "pool"
    if not (out / "suggested.csv").is_file():
        shutil.rmtree(out, ignore_errors=True)
        pool.mkdir(parents=True, exist_ok=True)
        for name in rest:
            if not (pool / name).exists():
                (pool / name).symlink_to((data_dir / PARTS[0] / name).resolve())
        words = ["--out", str(out), "--count", str(count), "--engine", engine]
        mindssd("suggest", str(run / "best.safetensors"), str(pool), *words)
    with (out / "suggested.csv").open(encoding="utf-8") as file:
        return [row["copy_of"] for row in csv.DictReader(file)]


def score(run: Path) -> float:
    return float(json.loads((run / "evaluation.json").read_bytes())["AP"])


def mindssd(*words: str) -> None:
    subprocess.run([sys.executable, "-m", "mindssd", *words], check=True, stdout=sys.stderr)


if __name__ == "__main__":
    main()

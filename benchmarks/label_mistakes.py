"""Mistakes planted in a data set's labels, and how many of them `mindssd review` finds.

    python benchmarks/label_mistakes.py plant data/cards planted/cards
    mindssd review data_dir=planted/cards --folds 5 --out planted/cards_review
    python benchmarks/label_mistakes.py measure planted/cards planted/cards_review

`plant` copies the training part of a data set in COCO's layout: 5 % of its boxes dropped, 5 %
given another class, 5 % moved by half their size, and 2 % as many put where nothing is. `measure`
prints how many among the first N of the list, N the number planted, are planted, and the area under
the ROC of each kind, against the labels that were left as they are, or for missing ones against the
other detections without a label. `--cleanlab PYTHON`, an interpreter of an environment that has
cleanlab (`pip install cleanlab`), prints the same of cleanlab's scores for object detection on the
same out-of-fold detections.
"""

import argparse
import json
import subprocess
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

SHARES = {"missing": 0.05, "class": 0.05, "box": 0.05, "spurious": 0.02}
ANNOTATIONS = "annotations/instances_train2017.json"
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
    content, planted = plant(json.loads((source / ANNOTATIONS).read_bytes()), kinds, seed)
    (out / "annotations").mkdir(parents=True)
    (out / "train2017").symlink_to((source / "train2017").resolve())
    (out / ANNOTATIONS).write_text(json.dumps(content))
    (out / "planted.json").write_text(json.dumps([asdict(one) for one in planted], indent=1))
    print(f"{out}: {len(planted)} mistakes among {len(content['annotations'])} boxes")


def measure(planted: Path, review: Path, cleanlab: Path | None) -> None:
    """Print what the list of a review comes to, and cleanlab's scores beside it."""
    from mindssd.review.evidence import unlabelled
    from mindssd.review.job import seen_images
    from mindssd.review.mistakes import likely_mistakes
    from mindssd.review.trainings import kept_detections, resume

    folded = resume(review)
    table = kept_detections(folded)
    if table is None:
        raise SystemExit(f"{review}: is not at its end: mindssd review --resume {review}")
    dataset = folded.data[0]
    seen, _ = seen_images(dataset, table)
    wrong = [Planted(**row) for row in json.loads((planted / "planted.json").read_bytes())]
    truth = _Truth.of(wrong, json.loads((planted / ANNOTATIONS).read_bytes()), dataset, seen)
    candidates = [unlabelled(one).rows for one in seen]

    ours = likely_mistakes(seen, least=0.0)
    scores = _Scores.empty(seen, candidates)
    for mistake in ours:
        if mistake.label >= 0:
            for kind in ("class", "box", "spurious"):
                scores.labels[kind][mistake.image][mistake.label] = mistake.probability
        else:
            place = candidates[mistake.image].tolist().index(mistake.detection)
            scores.missing[mistake.image][place] = mistake.probability
    print(
        f"{planted.name}: {len(wrong)} planted, {len(seen)} images, {len(ours)} labels and places"
    )
    _print("mindssd review", scores, truth, seen, candidates)
    if cleanlab is not None:
        found = _of_cleanlab(cleanlab, seen, candidates, 1.0)
        _print("cleanlab", found, truth, seen, candidates)
        # It looks at detections above 0.5 and 0.95, of which quality scores give few.
        best = np.concatenate([one.scores for one in seen])
        highest = float(np.sort(best)[-max(1, sum(len(one.boxes) for one in seen) // 10)])
        found = _of_cleanlab(cleanlab, seen, candidates, 0.95 / highest)
        words = f"cleanlab, scores times {0.95 / highest:.2f}"
        _print(words, found, truth, seen, candidates)


@dataclass
class _Scores:
    """How wrong each label looks, by kind and image, and each detection without a label.

    `images` (I,) how likely an image has a mistake at all.
    """

    labels: dict[str, list[Any]]
    missing: list[Any]
    images: Any = None

    @classmethod
    def empty(cls, seen: Any, candidates: Any) -> "_Scores":
        kinds = ("class", "box", "spurious")
        return cls(
            {kind: [np.zeros(len(one.boxes)) for one in seen] for kind in kinds},
            [np.zeros(len(rows)) for rows in candidates],
        )

    def of_label(self, image: int, label: int) -> float:
        return max(float(of[image][label]) for of in self.labels.values())

    def of_images(self) -> Any:
        if self.images is not None:
            return self.images
        right = [
            np.prod(1 - self.labels["box"][image]) * np.prod(1 - self.missing[image])
            for image in range(len(self.missing))
        ]
        return 1 - np.array(right)


@dataclass
class _Truth:
    """The planted mistakes: the kind of each wrong label, the boxes that are missing by image."""

    labels: dict[tuple[int, int], str]
    missing: dict[int, list[list[float]]]

    @classmethod
    def of(cls, planted: list[Planted], content: Any, dataset: Any, seen: Any) -> "_Truth":
        image_of = {int(number): place for place, number in enumerate(dataset.image_ids)}
        boxes = {a["id"]: a["bbox"] for a in content["annotations"]}
        labels, missing = {}, {}
        for one in planted:
            image = image_of[one.image_id]
            if one.annotation is None:
                missing.setdefault(image, []).append(one.bbox)
                continue
            # Found by its corners: reading may have dropped a box before it.
            ious = [_iou(boxes[one.annotation], _xywh(box)) for box in seen[image].boxes]
            labels[image, int(np.argmax(ious))] = one.kind
        return cls(labels, missing)

    def is_missing(self, image: int, box: Any) -> bool:
        return any(_iou(other, _xywh(box)) >= 0.5 for other in self.missing.get(image, []))

    def images(self) -> set[int]:
        return {image for image, _ in self.labels} | set(self.missing)


def _xywh(box: Any) -> list[float]:
    x1, y1, x2, y2 = (float(value) for value in box)
    return [x1, y1, x2 - x1, y2 - y1]


def _print(title: str, scores: _Scores, truth: _Truth, seen: Any, candidates: Any) -> None:
    ranked = []  # (score, whether planted)
    fine: dict[str, list[float]] = {kind: [] for kind in scores.labels}
    wrong: dict[str, list[float]] = {kind: [] for kind in SHARES}
    nothing, found_boxes = [], {}
    for image, one in enumerate(seen):
        for label in range(len(one.boxes)):
            kind = truth.labels.get((image, label))
            ranked.append((scores.of_label(image, label), kind is not None))
            if kind is None:
                for name, of in scores.labels.items():
                    fine[name].append(float(of[image][label]))
            else:
                wrong[kind].append(float(scores.labels[kind][image][label]))
        for place, row in enumerate(candidates[image].tolist()):
            score = float(scores.missing[image][place])
            is_one = truth.is_missing(image, one.found_boxes[row])
            ranked.append((score, is_one))
            if not is_one:
                nothing.append(score)
            found_boxes.setdefault(image, []).append((one.found_boxes[row], score))
    for image, boxes in truth.missing.items():
        for box in boxes:
            on = [s for b, s in found_boxes.get(image, []) if _iou(box, _xywh(b)) >= 0.5]
            wrong["missing"].append(max(on, default=0.0))
    num = sum(map(len, wrong.values()))
    first = sorted(ranked, key=lambda pair: -pair[0])[:num]
    words = [f"{np.mean([planted for _, planted in first]):.3f} of the first {num} are planted"]
    for kind, of in wrong.items():
        if of:
            words.append(f"{kind} {_auc(of, nothing if kind == 'missing' else fine[kind]):.3f}")
    of_images = scores.of_images()
    bad = [float(of_images[i]) for i in range(len(seen)) if i in truth.images()]
    good = [float(of_images[i]) for i in range(len(seen)) if i not in truth.images()]
    words.append(f"images {_auc(bad, good):.3f}")
    print(f"  {title}: {words[0]}; area under the ROC: {', '.join(words[1:])}")


def _auc(positive: list[float], negative: list[float]) -> float:
    """How often a positive one scores above a negative one; ties count half."""
    if not positive or not negative:
        return float("nan")
    ordered = np.sort(negative)
    below = np.searchsorted(ordered, positive, "left") + np.searchsorted(ordered, positive, "right")
    return float(below.mean() / 2 / len(ordered))


def _of_cleanlab(python: Path, seen: Any, candidates: Any, factor: float) -> _Scores:
    """cleanlab's scores, by an interpreter that has it; it need not be this one."""
    images = [
        {
            "boxes": one.boxes.tolist(),
            "classes": one.classes.tolist(),
            "found_boxes": one.found_boxes.tolist(),
            "found_classes": one.found_classes.tolist(),
            "scores": np.minimum(0.999, factor * one.scores).tolist(),
        }
        for one in seen
    ]
    done = subprocess.run(
        [str(python), "-c", CLEANLAB], input=json.dumps(images), capture_output=True, text=True
    )
    if done.returncode:
        raise SystemExit(f"cleanlab: {done.stderr.strip().splitlines()[-1]}")
    told = json.loads(done.stdout.splitlines()[-1])
    scores = _Scores.empty(seen, candidates)
    for image in range(len(seen)):
        badloc, swap = (np.array(told[name][image], float) for name in ("badloc", "swap"))
        scores.labels["box"][image] = 1 - badloc
        scores.labels["spurious"][image] = 1 - badloc
        scores.labels["class"][image] = 1 - swap
        scores.missing[image] = 1 - np.array(told["overlooked"][image], float)[candidates[image]]
    scores.images = 1 - np.array(told["images"])
    return scores


CLEANLAB = """
import json, sys
import numpy as np
from cleanlab.object_detection.rank import (
    compute_badloc_box_scores, compute_overlooked_box_scores, compute_swap_box_scores,
    get_label_quality_scores,
)
images = json.load(sys.stdin)
classes = 1 + max(max(i["classes"] + i["found_classes"], default=0) for i in images)
labels, predictions, places = [], [], []
for i in images:
    labels.append({"bboxes": np.array(i["boxes"], float).reshape(-1, 4),
                   "labels": np.array(i["classes"], int)})
    found = np.array(i["found_boxes"], float).reshape(-1, 4)
    kinds, scores = np.array(i["found_classes"], int), np.array(i["scores"], float)
    of, rows = np.empty(classes, dtype=object), []
    for k in range(classes):
        row = np.flatnonzero(kinds == k)
        rows += row.tolist()
        of[k] = np.concatenate([found[row], scores[row, None]], axis=1)
    predictions.append(of)
    places.append(rows)
def filled(values):
    return np.where(np.isnan(values), 1.0, values).tolist()
asked = {"labels": labels, "predictions": predictions}
overlooked = []
for rows, values in zip(places, compute_overlooked_box_scores(**asked)):
    ordered = np.ones(len(rows))
    ordered[rows] = filled(np.asarray(values, float))
    overlooked.append(ordered.tolist())
out = {
    "images": filled(np.asarray(get_label_quality_scores(labels, predictions, verbose=False))),
    "badloc": [filled(np.asarray(v, float)) for v in compute_badloc_box_scores(**asked)],
    "swap": [filled(np.asarray(v, float)) for v in compute_swap_box_scores(**asked)],
    "overlooked": overlooked,
}
print(json.dumps(out))
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    planting = commands.add_parser("plant")
    planting.add_argument("source", type=Path)
    planting.add_argument("out", type=Path)
    planting.add_argument("--kinds", nargs="+", choices=list(SHARES), default=list(SHARES))
    planting.add_argument("--seed", type=int, default=0)
    measuring = commands.add_parser("measure")
    measuring.add_argument("planted", type=Path)
    measuring.add_argument("review", type=Path)
    measuring.add_argument(
        "--cleanlab", type=Path, metavar="PYTHON", help="an interpreter that has cleanlab"
    )
    asked = parser.parse_args()
    if asked.command == "plant":
        plant_in_copy(asked.source, asked.out, asked.kinds, asked.seed)
    else:
        measure(asked.planted, asked.review, asked.cleanlab)


if __name__ == "__main__":
    main()

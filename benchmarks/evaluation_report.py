"""Time every figure of an evaluation's report on detections as many as COCO's validation gives.

    python benchmarks/evaluation_report.py [--images 5000] [--resamples 1000]

Truths and detections are drawn, the same each time: 7.2 truths an image and 100 detections an
image, 80 classes of which the first has a fifth of the truths. Printed are seconds of processor
time, on one core with OMP_NUM_THREADS=1, and the memory at the peak.
Measured beside other work on two cores of an AMD Zen 5, 5000 images: 14.4 s and 354 MiB for the
report; 1.9 s for a threshold for all, 3.0 s for 80 thresholds, 21.6 s to compare two models.
"""

import argparse
import resource
import time
from collections.abc import Callable

import numpy as np

from mindssd.evaluation import factors
from mindssd.evaluation.calibration import fit_temperature, reliability_of
from mindssd.evaluation.confusion import confusion
from mindssd.evaluation.curves import precision_recall, ranked
from mindssd.evaluation.decomposition import decompose
from mindssd.evaluation.detections import DetectionTable
from mindssd.evaluation.intervals import bootstrap
from mindssd.evaluation.outcomes import Outcomes, outcomes
from mindssd.evaluation.paired import differences
from mindssd.evaluation.thresholds import best_f1, choose, precision_of_at_least
from mindssd.evaluation.truths import Truths
from mindssd.types import Array

NUM_CLASSES = 80
TRUTHS_AN_IMAGE = 7.2
DETECTIONS_AN_IMAGE = 100
SIZE = 640


def draw(num_images: int) -> tuple[DetectionTable, Truths, Array]:
    """Up to six detections near each truth, some of another class, and the rest by chance."""
    rng = np.random.default_rng(0)
    shares = 1 / np.arange(1, NUM_CLASSES + 1)
    shares /= shares.sum()
    image_ids = np.arange(1, num_images + 1)

    def boxes(num: int) -> Array:
        xy = rng.uniform(0, 0.8 * SIZE, (num, 2))
        return np.concatenate([xy, np.exp(rng.normal(4, 0.9, (num, 2)))], axis=1)

    num_truths = int(TRUTHS_AN_IMAGE * num_images)
    xywh = boxes(num_truths)
    truths = Truths(
        image_ids=rng.choice(image_ids, num_truths),
        class_ids=rng.choice(NUM_CLASSES, num_truths, p=shares),
        boxes_xywh=xywh,
        areas=0.6 * xywh[:, 2] * xywh[:, 3],
        is_crowd=rng.random(num_truths) < 0.012,
    )
    near = np.repeat(np.arange(num_truths), rng.integers(0, 7, num_truths))
    num_stray = DETECTIONS_AN_IMAGE * num_images - len(near)
    size = np.tile(xywh[near, 2:], 2)
    found = xywh[near] + rng.normal(0, 0.12, (len(near), 4)) * size
    found = np.concatenate([found, boxes(num_stray)])
    found[:, 2:] = found[:, :2] + np.maximum(found[:, 2:], 1)
    guessed = rng.choice(NUM_CLASSES, len(found), p=shares)
    is_known = np.flatnonzero(rng.random(len(near)) < 0.85)
    guessed[is_known] = truths.class_ids[near[is_known]]
    table = DetectionTable(
        image_ids=np.concatenate([truths.image_ids[near], rng.choice(image_ids, num_stray)]),
        class_ids=guessed.astype(np.int32),
        boxes=found.astype(np.float32),
        scores=np.concatenate(
            [rng.beta(2, 3, len(near)), rng.beta(1, 8, num_stray)], dtype=np.float32
        ),
    )
    return table, truths, image_ids


def of_factors(result: Outcomes) -> None:
    rng = np.random.default_rng(1)
    num_images = len(result.image_ids)
    found = factors.found_truths(result, score_threshold=0.3)
    for factor in (
        factors.by_coco_size(result),
        factors.by_side(result),
        factors.by_aspect_ratio(result),
        factors.by_neighbours(result),
        factors.by_gap(result),
        factors.by_border(result, np.full((num_images, 2), SIZE)),
        factors.by_image_value(result, "brightness", rng.random(num_images)),
        factors.by_image_value(result, "blur", rng.random(num_images)),
    ):
        factors.recall_by(factor, result, found)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--images", type=int, default=5000)
    parser.add_argument("--resamples", type=int, default=1000)
    options = parser.parse_args()
    table, truths, image_ids = draw(options.images)
    class_names = tuple(f"class {number}" for number in range(NUM_CLASSES))
    print(f"{len(image_ids)} images, {len(truths)} truths, {len(table)} detections")
    start = time.process_time()

    def seconds(what: str, act: Callable[[], object]) -> None:
        before = time.process_time()
        act()
        print(f"{what:28s} {time.process_time() - before:6.2f} s", flush=True)

    result = outcomes(table, truths, image_ids, class_names)
    print(f"{'outcomes':28s} {time.process_time() - start:6.2f} s", flush=True)
    every_class = range(NUM_CLASSES)
    rng = np.random.default_rng(2)
    seconds("precision and recall", lambda: precision_recall(result))
    seconds("score curves", lambda: [ranked(result, class_id=c).curve() for c in every_class])
    seconds("confusion", lambda: confusion(result, 0.3))
    seconds("kinds of error", lambda: decompose(result))
    whole = ranked(result)
    seconds(
        "reliability", lambda: [reliability_of(ranked(result, class_id=c)) for c in every_class]
    )
    seconds("temperature", lambda: fit_temperature(whole.scores, whole.right))
    seconds("factors", lambda: of_factors(result))
    seconds("intervals", lambda: bootstrap(result, rng, options.resamples))
    print(f"all of the report {time.process_time() - start:17.2f} s, {peak()} MiB at the peak")

    print("and beside it")
    seconds("threshold for all by F1", lambda: choose(result, best_f1, rng))
    goal = precision_of_at_least(0.95)
    seconds(
        "for each by precision",
        lambda: [choose(result, goal, rng, class_id=c) for c in every_class],
    )
    seconds("two models compared", lambda: differences([result, result], rng, options.resamples))
    print(f"{peak()} MiB at the peak")


def peak() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024


if __name__ == "__main__":
    main()

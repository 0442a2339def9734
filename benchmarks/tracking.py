"""Tracks and counts against the truth, on clips of ten objects that cross.

    python benchmarks/tracking.py [--model best.safetensors] [--pasted DATA] [--rates 12 25]
        [--seeds 100-109]

Without a model the clips are reef's, and detections are the truth (perfect) and the truth with
noise. With one, its detections too; it was trained on the demo's data, or with `--pasted` on that
data set, whose validation part the objects are cut out of. `possible` is what IDF1 the same
detections would have if each that lies on an object was known to be that, and all else was left
out: what the detector leaves to be reached. `exact` is of how many clips the counts at an upright
line and in a zone are right in each class and direction; `exact in sum` without classes.
"""

import argparse
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import motmetrics
import numpy as np
from tracking_clips import LEAST_SHARE, UNTIL, Clip, Truths, pasted_clip, reef_clip

from mindssd.build.model import load
from mindssd.geometry.boxes import pairwise_iou
from mindssd.predict.counting import Crossing
from mindssd.predict.following import Follow, Following, thresholds_of, with_weak
from mindssd.predict.places import Place
from mindssd.predict.sinks.base import Seen
from mindssd.types import Array, Detections

THRESHOLD = 0.3
COLUMNS = ("idf1", "mota", "num_switches", "recall", "precision")


@dataclass(frozen=True)
class Outcome:
    """What became of one clip: motmetrics' figures, and whether the counts are right."""

    figures: dict[str, float]
    possible: float
    is_exact: bool
    is_exact_in_sum: bool


def places_on(clip: Clip) -> tuple[Place, ...]:
    """An upright line in the middle, downwards, and the right half."""
    (height, width), middle = clip.size, clip.size[1] / 2
    corners = ((middle, 0.0), (width, 0.0), (width, height), (middle, height))
    return (
        Place("line", "line", ((middle, 0.0), (middle, float(height)))),
        Place("half", "zone", tuple((float(x), float(y)) for x, y in corners)),
    )


def expected(clip: Clip) -> Counter[tuple[str, str, int]]:
    """The truth's counts by place, direction and class: each object crosses once."""
    counts: Counter[tuple[str, str, int]] = Counter()
    for mover in clip.movers:
        direction = "in" if mover.velocity[0] > 0 else "out"
        counts["line", direction, mover.class_id] += 1
        counts["half", direction, mover.class_id] += 1
        if direction == "out":
            counts["half", "appeared", mover.class_id] += 1
    return counts


def perfect(truths: Sequence[Truths], class_names: tuple[str, ...]) -> Iterator[Detections]:
    for truth in truths:
        rows = truth.shares >= LEAST_SHARE
        scores = np.full(int(rows.sum()), 0.9, np.float32)
        class_ids = truth.class_ids[rows].astype(np.int32)
        yield Detections(truth.boxes[rows], scores, class_ids, class_names)


def noisy(
    truths: Sequence[Truths], class_names: tuple[str, ...], seed: int
) -> Iterator[Detections]:
    """Boxes off by 5 % of their size; a tenth missing, a tenth weak, a twentieth of another class.

    What is hidden more is missed more; there is an error in every tenth frame.
    """
    rng = np.random.default_rng(seed)
    for found in perfect(truths, class_names):
        rows = rng.random(len(found.scores)) > 0.1
        boxes, class_ids = found.boxes[rows], found.class_ids[rows].copy()
        sizes = np.tile(boxes[:, 2:] - boxes[:, :2], 2)
        boxes = boxes + rng.normal(0, 0.05, boxes.shape) * sizes
        scores = rng.uniform(0.35, 0.95, len(boxes))
        scores[rng.random(len(boxes)) < 0.1] = 0.2
        others = rng.random(len(boxes)) < 0.05
        class_ids[others] = rng.integers(len(class_names), size=int(others.sum()))
        if rng.random() < 0.1:
            corner, side = rng.uniform(0, 200, 2), rng.uniform(40, 80, 2)
            boxes = np.concatenate([boxes, [[*corner, *(corner + side)]]])
            scores, class_ids = np.append(scores, 0.4), np.append(class_ids, 0)
        boxes = boxes.astype(np.float32)
        yield Detections(boxes, scores.astype(np.float32), class_ids.astype(np.int32), class_names)


def follow(
    clip: Clip, found: Iterable[Detections], thresholds: Array, times: Array, rate: float
) -> tuple[list[tuple[Array, Array]], list[Crossing]]:
    """The boxes and numbers of each frame, and all crossings."""
    following = Following(Follow(places_on(clip)), thresholds, rate, clip.size)
    picture = np.zeros((*clip.size, 3), np.uint8)
    tracks, crossings = [], []
    for frame, (detections, seconds) in enumerate(zip(found, times, strict=True)):
        seen = Seen("clip", "", picture, detections, frame=frame, seconds=float(seconds))
        seen = following.see(seen, after_break=False)
        numbers = seen.detections.track_ids
        assert numbers is not None
        rows = numbers > 0
        tracks.append((seen.detections.boxes[rows], numbers[rows]))
        crossings += seen.crossings
    return tracks, crossings


def judged(truths: Sequence[Truths], tracks: Iterable[tuple[Array, Array]]) -> dict[str, float]:
    """motmetrics' figures at an IoU of 0.5; what lies on a hidden object counts for nothing."""
    accumulator = motmetrics.MOTAccumulator(auto_id=True)
    for truth, (boxes, numbers) in zip(truths, tracks, strict=True):
        seen = truth.shares >= LEAST_SHARE
        overlaps = pairwise_iou(truth.boxes[seen], boxes.astype(np.float32))
        hidden = np.concatenate([truth.boxes[~seen], truth.whole[~seen]])
        on_hidden = pairwise_iou(hidden, boxes.astype(np.float32)).max(axis=0, initial=0) > 0.3
        counts = (overlaps.max(axis=0, initial=0) >= 0.5) | ~on_hidden
        far = 1 - overlaps[:, counts]
        far[far > 0.5] = np.nan
        accumulator.update(truth.numbers[seen].tolist(), numbers[counts].tolist(), far)
    found = motmetrics.metrics.create().compute(accumulator, metrics=list(COLUMNS)).iloc[0]
    return {name: float(found[name]) for name in COLUMNS}


def possible(
    truths: Sequence[Truths], found: Iterable[Detections], thresholds: Array
) -> Iterator[tuple[Array, Array]]:
    """The detections above their thresholds that lie on objects, each with its object's number."""
    for truth, detections in zip(truths, found, strict=True):
        strong = detections.scores > thresholds[detections.class_ids]
        boxes = detections.boxes[strong]
        seen = truth.shares >= LEAST_SHARE
        overlaps = pairwise_iou(truth.boxes[seen], boxes.astype(np.float32))
        rows, numbers = [], []
        while overlaps.size and overlaps.max() >= 0.5:
            one, row = np.unravel_index(int(overlaps.argmax()), overlaps.shape)
            rows.append(int(row))
            numbers.append(int(truth.numbers[seen][one]))
            overlaps[one], overlaps[:, row] = 0, 0
        yield boxes[rows], np.array(numbers, np.int32)


def outcome(
    clip: Clip,
    truths: Sequence[Truths],
    found: Sequence[Detections],
    thresholds: Array,
    times: Array,
    rate: float,
) -> Outcome:
    tracks, crossings = follow(clip, found, thresholds, times, rate)
    counts: Counter[tuple[str, str, int]] = Counter(
        (one.place, one.direction, one.class_id) for one in crossings
    )
    truth = expected(clip)
    in_sum = [Counter[tuple[str, str]](), Counter[tuple[str, str]]()]
    for total, each in zip(in_sum, (counts, truth), strict=True):
        for (place, direction, _), count in each.items():
            total[place, direction] += count
    return Outcome(
        judged(truths, tracks),
        judged(truths, possible(truths, found, thresholds))["idf1"],
        counts == truth,
        in_sum[0] == in_sum[1],
    )


def print_row(name: str, rate: float, outcomes: Sequence[Outcome]) -> None:
    means = [float(np.mean([one.figures[key] for one in outcomes])) for key in COLUMNS]
    idf1 = [one.figures["idf1"] for one in outcomes]
    exact = sum(one.is_exact for one in outcomes), sum(one.is_exact_in_sum for one in outcomes)
    print(
        f"{name:12} {rate:3g} fps  IDF1 {means[0]:.3f} (least {min(idf1):.3f}, possible "
        f"{np.mean([one.possible for one in outcomes]):.3f})  MOTA {means[1]:.3f}  switches "
        f"{means[2]:.1f}  recall {means[3]:.3f}  precision {means[4]:.3f}  exact {exact[0]} and "
        f"in sum {exact[1]} of {len(outcomes)}",
        flush=True,
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", type=Path)
    parser.add_argument("--pasted", type=Path, metavar="DATA")
    parser.add_argument("--rates", type=float, nargs="+", default=[12.0, 25.0])
    parser.add_argument("--seeds", default="100-109")
    options = parser.parse_args()
    first, last = (int(word) for word in options.seeds.split("-"))
    detector = None if options.model is None else load(options.model)
    for rate in options.rates:
        times = np.arange(0, UNTIL, 1 / rate)
        outcomes: dict[str, list[Outcome]] = {}
        for seed in range(first, last + 1):
            clip = reef_clip(seed) if options.pasted is None else pasted_clip(options.pasted, seed)
            frames = [clip.frame(float(seconds)) for seconds in times]
            truths = [truth for _, truth in frames]
            flat = np.full(len(clip.class_names), THRESHOLD)
            given = {
                "perfect": (list(perfect(truths, clip.class_names)), flat),
                "noisy": (list(noisy(truths, clip.class_names, seed)), flat),
            }
            if detector is not None:
                weak = with_weak(detector.predictor)
                found = weak.detect(picture for picture, _ in frames)
                given["detector"] = found, thresholds_of(detector.predictor)
            for name, (detections, thresholds) in given.items():
                result = outcome(clip, truths, detections, thresholds, times, rate)
                outcomes.setdefault(name, []).append(result)
        for name, results in outcomes.items():
            print_row(name, rate, results)


if __name__ == "__main__":
    main()

"""Score detections as many as COCO's validation gives: time and memory, beside pycocotools.

    python benchmarks/evaluation.py [--images 5000]

Truths and detections are generated, the same each time: 100 detections an image, 80 classes. Each
side runs in a process of its own and gives the same twelve numbers; the ratios are printed.
Measured on two busy cores of an AMD Zen 5, 5000 images: 8.6 s and 95 MiB, pycocotools 84.5 s and
2447 MiB.
"""

import argparse
import contextlib
import io
import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

from mindssd.types import Array

NUM_CLASSES = 80
DETECTIONS_AN_IMAGE = 100


def write_annotations(path: Path, num_images: int) -> None:
    """Write about seven truths an image in COCO's format."""
    rng = np.random.default_rng(0)
    annotations: list[dict[str, Any]] = []
    for image_id in range(1, num_images + 1):
        for _ in range(int(rng.integers(0, 15))):
            x, y = rng.uniform(0, 400, 2).round(2)
            width, height = rng.uniform(5, 200, 2).round(2)
            annotations.append(
                {
                    "id": len(annotations) + 1,
                    "image_id": image_id,
                    "category_id": int(rng.integers(1, NUM_CLASSES + 1)),
                    "bbox": [x, y, width, height],
                    "area": 0.6 * width * height,
                    "iscrowd": int(rng.random() < 0.01),
                }
            )
    images = [
        {"id": image_id, "file_name": f"{image_id}.jpg", "width": 640, "height": 640}
        for image_id in range(1, num_images + 1)
    ]
    categories = [{"id": number, "name": f"class {number}"} for number in range(1, NUM_CLASSES + 1)]
    contents = {"images": images, "annotations": annotations, "categories": categories}
    path.write_text(json.dumps(contents))
    for image in images:
        (path.parent / str(image["file_name"])).touch()


def make_detections(path: Path, num_images: int) -> tuple[Array, Array, Array, Array]:
    """Find each truth roughly, and fill up with chance: image ids, classes, boxes, scores."""
    rng = np.random.default_rng(1)
    image_ids = np.repeat(np.arange(1, num_images + 1), DETECTIONS_AN_IMAGE)
    class_ids = rng.integers(0, NUM_CLASSES, len(image_ids)).astype(np.int32)
    corners = rng.uniform(0, 400, (len(image_ids), 2))
    boxes = np.concatenate([corners, corners + rng.uniform(5, 200, (len(image_ids), 2))], axis=1)
    scores = (0.5 * rng.random(len(image_ids))).astype(np.float32)
    places = DETECTIONS_AN_IMAGE * np.arange(num_images)
    for annotation in json.loads(path.read_text())["annotations"]:
        place = places[annotation["image_id"] - 1]
        places[annotation["image_id"] - 1] += 1
        x, y, width, height = annotation["bbox"]
        boxes[place] = np.array([x, y, x + width, y + height]) + rng.normal(0, 4, 4)
        class_ids[place] = annotation["category_id"] - 1
        scores[place] = rng.random()
    return image_ids, class_ids, boxes.astype(np.float32), scores


def score_here(path: Path, detections: tuple[Array, Array, Array, Array]) -> list[float]:
    from mindssd.data.formats.coco import load_coco
    from mindssd.evaluation.coco import score
    from mindssd.evaluation.detections import DetectionTable

    dataset = load_coco(path, path.parent)
    result = score(DetectionTable(*detections), dataset, range(len(dataset)))
    return [-1 if value is None else value for value in result.twelve_numbers().values()]


def score_with_pycocotools(
    path: Path, detections: tuple[Array, Array, Array, Array]
) -> list[float]:
    from pycocotools.coco import COCO
    from pycocotools.cocoeval import COCOeval

    image_ids, class_ids, boxes, scores = detections
    boxes = boxes.astype(np.float64)
    rows = np.column_stack([image_ids, boxes[:, :2], boxes[:, 2:] - boxes[:, :2]])
    rows = np.column_stack([rows, scores, class_ids + 1])
    with contextlib.redirect_stdout(io.StringIO()):
        truths = COCO(str(path))
        evaluator = COCOeval(truths, truths.loadRes(rows), "bbox")
        evaluator.evaluate()
        evaluator.accumulate()
        evaluator.summarize()
    return [float(value) for value in evaluator.stats]


def measure(side: str, path: Path, num_images: int) -> dict[str, Any]:
    """Score on one side: seconds, MiB at the peak beyond the detections, and the twelve numbers."""
    detections = make_detections(path, num_images)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    start = time.perf_counter()
    numbers = {"mindssd": score_here, "pycocotools": score_with_pycocotools}[side](path, detections)
    seconds = time.perf_counter() - start
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return {"seconds": seconds, "mebibytes": (peak - before) / 1024, "numbers": numbers}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--images", type=int, default=5000)
    parser.add_argument("--side", choices=["mindssd", "pycocotools"], help=argparse.SUPPRESS)
    parser.add_argument("--annotations", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.side:
        print(json.dumps(measure(options.side, options.annotations, options.images)))
        return
    results = {}
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "instances.json"
        write_annotations(path, options.images)
        for side in ("mindssd", "pycocotools"):
            command = [sys.executable, __file__, "--side", side, "--annotations", str(path)]
            command += ["--images", str(options.images)]
            output = subprocess.run(command, check=True, capture_output=True, text=True).stdout
            results[side] = json.loads(output)
            seconds, mebibytes = results[side]["seconds"], results[side]["mebibytes"]
            print(f"{side:12s} {seconds:6.1f} s   {mebibytes:6.0f} MiB at the peak")
    ours, theirs = results["mindssd"], results["pycocotools"]
    difference = np.abs(np.subtract(ours["numbers"], theirs["numbers"])).max()
    print(
        f"{theirs['seconds'] / ours['seconds']:.1f} times as fast, "
        f"1/{theirs['mebibytes'] / ours['mebibytes']:.1f} of the memory, "
        f"largest difference of the twelve numbers {difference:.1e}"
    )


if __name__ == "__main__":
    main()

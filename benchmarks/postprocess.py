"""Post-processing takes at most 10 ms for 1917 default boxes in 80 classes, all above threshold.

Measures ours beside the reference's way (a sigmoid of everything, then for each class a greedy loop
over its boxes in NumPy) on the same outputs in one run, and prints both times and their ratio. Both
use one core. The scores are drawn so that every one of the 153,360 passes the threshold; a second
line has the reference's own settings, where all of it must be suppressed class by class, and a
third what is shown to people, one class for one thing, where a half of the scores passes.

    python benchmarks/postprocess.py
"""

import argparse
import time
from collections.abc import Callable

import numpy as np

from mindssd.deploy.manifest import FOR_PEOPLE
from mindssd.evaluation.protocol import COCO, MINDCV
from mindssd.geometry.default_boxes import PaperDefaultBoxes
from mindssd.geometry.postprocess import PostProcess, sigmoid
from mindssd.types import Array, ImageSize

GRIDS = tuple((length, length) for length in (19, 10, 5, 3, 2, 1))
IMAGE_SIZE: ImageSize = (480, 640)
NUM_CLASSES = 80


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--images", type=int, default=20, help="images to measure ours on")
    parser.add_argument("--reference-images", type=int, default=3, help="images for the loop")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()

    default_boxes = PaperDefaultBoxes().generate((300, 300), GRIDS)
    rng = np.random.default_rng(arguments.seed)
    images = [outputs(len(default_boxes), rng) for _ in range(arguments.images)]
    selections = {
        "100 detections an image": COCO.selection,
        "the reference's 100 a class": MINDCV.selection,
        "100 things of an image": FOR_PEOPLE,
    }
    for name, selection in selections.items():
        postprocess = PostProcess(default_boxes, selection=selection)
        report(name, postprocess, images, images[: arguments.reference_images])


def report(
    name: str,
    postprocess: PostProcess,
    images: list[tuple[Array, Array]],
    reference_images: list[tuple[Array, Array]],
) -> None:
    """Measure one protocol both ways and print a line."""
    for _, logits in images:
        assert (sigmoid(logits[:, 1:]) > postprocess.selection.score_threshold).mean() > 0.5
    ours = measure(lambda offsets, logits: postprocess(offsets, logits, IMAGE_SIZE), images)
    loop = measure(
        lambda offsets, logits: reference_way(postprocess, offsets, logits),
        reference_images,
    )
    print(
        f"{name}: ours {ours:.1f} ms an image, the reference's way {loop:.1f} ms, "
        f"ratio {loop / ours:.1f}"
    )


def outputs(num_boxes: int, rng: np.random.Generator) -> tuple[Array, Array]:
    """Offsets (A, 4) and logits (A, C + 1) of one image, scores from 0.1 to 0.9."""
    offsets = rng.normal(0, 1, (num_boxes, 4)).astype(np.float32)
    logits = rng.uniform(-2, 2, (num_boxes, NUM_CLASSES + 1)).astype(np.float32)
    return offsets, logits


def measure(function: Callable[[Array, Array], object], images: list[tuple[Array, Array]]) -> float:
    """The median time of an image in ms, after one to warm up."""
    function(*images[0])
    times = []
    for image in images:
        start = time.perf_counter()
        function(*image)
        times.append(time.perf_counter() - start)
    return 1000 * float(np.median(times))


def reference_way(
    postprocess: PostProcess, offsets: Array, logits: Array
) -> list[tuple[int, float, Array]]:
    """All scores by sigmoid, a Python loop over classes and, within it, over kept boxes."""
    centres = postprocess.default_boxes.boxes_cxcywh
    centre = offsets[:, 1::-1] * postprocess.variances[0] * centres[:, 2:] + centres[:, :2]
    half_size = np.exp(offsets[:, 3:1:-1] * postprocess.variances[1]) * centres[:, 2:] / 2
    boxes = np.clip(np.concatenate([centre - half_size, centre + half_size], axis=1), 0, 1)
    height, width = IMAGE_SIZE
    boxes = boxes * np.asarray([width, height, width, height], np.float32)
    scores = 1 / (1 + np.exp(-logits))
    selection = postprocess.selection
    found: list[tuple[int, float, Array]] = []
    for class_id in range(NUM_CLASSES):
        column = scores[:, class_id + 1]
        passed = column > selection.score_threshold
        class_boxes, class_scores = boxes[passed], column[passed]
        for kept in greedy(class_boxes, class_scores, selection.iou_threshold):
            found.append((class_id, float(class_scores[kept]), class_boxes[kept]))
    found.sort(key=lambda detection: -detection[1])
    if selection.across_classes_iou is not None:
        all_boxes, all_scores = (np.array([one[i] for one in found]) for i in (2, 1))
        limit = selection.max_detections or len(found)
        kept_ones = greedy(all_boxes, all_scores, selection.across_classes_iou, limit)
        found = [found[kept] for kept in kept_ones]
    return found[: selection.max_detections]


def greedy(boxes: Array, scores: Array, iou_threshold: float, max_boxes: int = 100) -> list[int]:
    """One class: the best box left is kept, and removes what overlaps it, until none is left."""
    x1, y1, x2, y2 = boxes.T
    areas = (x2 - x1 + 1) * (y2 - y1 + 1)
    order = np.argsort(-scores)
    kept: list[int] = []
    while len(order) > 0 and len(kept) < max_boxes:
        best, rest = order[0], order[1:]
        kept.append(int(best))
        width = np.maximum(0, np.minimum(x2[best], x2[rest]) - np.maximum(x1[best], x1[rest]) + 1)
        height = np.maximum(0, np.minimum(y2[best], y2[rest]) - np.maximum(y1[best], y1[rest]) + 1)
        intersection = width * height
        iou = intersection / (areas[best] + areas[rest] - intersection)
        order = rest[iou <= iou_threshold]
    return kept


if __name__ == "__main__":
    main()

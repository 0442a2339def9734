"""Whether a deployed file gives what the engine gives: boxes, scores, detections and mAP."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from rich.console import Console

from mindssd.build.evaluation import evaluate_with_bar
from mindssd.data.dataset import DetectionDataset
from mindssd.deploy.samples import drawn_images, readable_images
from mindssd.errors import MindSSDError
from mindssd.evaluation.protocol import Protocol
from mindssd.evaluation.scores import Evaluation
from mindssd.geometry.boxes import pairwise_iou
from mindssd.geometry.postprocess import PostProcess, PostProcessDecoded, PostProcessSelected
from mindssd.geometry.refinement import Refinement
from mindssd.geometry.selection import Selection
from mindssd.inference.predictor import Predictor
from mindssd.types import Array, Detections

BOX_TOLERANCE = 0.05
"""Pixels of the network's image."""
SCORE_TOLERANCE = 1e-4
FLOAT16_SCORE_TOLERANCE = 0.05
"""Weights of 11 bits through a hundred layers."""
IOU_TOLERANCE = 2e-4
AP_TOLERANCE = 1e-3

SAMPLE_IMAGES = 8


@dataclass(frozen=True)
class Difference:
    """The largest difference of a box in pixels and of a score, and detections without a partner.

    Over all default boxes of the images, or where NMS is inside, over the detections of both.
    """

    num_images: int
    box: float
    score: float
    num_detections: int
    num_unmatched: int

    def within_tolerance(self) -> bool:
        return (
            self.box <= BOX_TOLERANCE and self.score <= SCORE_TOLERANCE and self.num_unmatched == 0
        )

    def __str__(self) -> str:
        return (
            f"{self.num_images} images: boxes differ by at most {self.box:.2g} pixels, scores by "
            f"{self.score:.2g}, {self.num_unmatched} of {self.num_detections} detections"
        )


@dataclass(frozen=True, eq=False)
class Reference:
    """The engine's network, which an exported file is compared with, and what it is compared on.

    Without a `dataset` on drawn images.
    """

    predictor: Predictor
    dataset: DetectionDataset | None
    protocol: Protocol
    console: Console

    def require_same_detections(self, deployed: Predictor, name: str) -> None:
        """MindSSDError, which calls the file `name`, where one is another beyond rounding."""
        difference = compare(self.predictor, deployed, self.samples())
        self._say(str(difference))
        if not difference.within_tolerance():
            raise MindSSDError(
                f"{name} is not the engine's network: {difference}; nothing was written"
            )

    def require_near_detections(self, deployed: Predictor, name: str) -> None:
        """Tell how far off it is; MindSSDError where float16's rounding does not explain that."""
        difference = compare(self.predictor, deployed, self.samples())
        self._say(f"float16: {difference}")
        if difference.score > FLOAT16_SCORE_TOLERANCE:
            raise MindSSDError(f"{name}: float16 changes it: {difference}; nothing was written")

    def require_same_precision(self, deployed: Predictor, name: str) -> None:
        """MindSSDError where the mAP on the data set is another beyond rounding."""
        ours, theirs = (
            average_precision(self.evaluation(predictor))
            for predictor in (self.predictor, deployed)
        )
        self._say(f"mAP {ours:.4f} by the engine, {theirs:.4f} by the file")
        if abs(ours - theirs) > AP_TOLERANCE:
            raise MindSSDError(f"{name} has another mAP; nothing was written")

    def evaluation(self, predictor: Predictor) -> Evaluation:
        """Evaluate on the data set, which there must be."""
        assert self.dataset is not None
        return evaluate_with_bar(predictor, self.dataset, self.protocol, self.console)

    def samples(self) -> list[Array]:
        """Read or draw the images that files are compared on, (H, W, 3) uint8 RGB."""
        if self.dataset is None:
            return drawn_images(SAMPLE_IMAGES)
        return list(readable_images(self.dataset, SAMPLE_IMAGES, self._say))

    def _say(self, text: str) -> None:
        self.console.print(text, highlight=False, markup=False, soft_wrap=True)


def compare(engine: Predictor, deployed: Predictor, images: Sequence[Array]) -> Difference:
    """Run the same images through both, one by one. Both detect by the same thresholds.

    Soft-NMS and box voting are left out: of two candidates with scores as good as equal rounding
    decides which lowers the other's, and so many others'. What they work on is compared instead.
    """
    if _refinement(engine) != _refinement(deployed):
        raise ValueError("the two refine their detections differently")
    engine, deployed = _unrefined(engine), _unrefined(deployed)
    box = score = 0.0
    num_detections = num_unmatched = 0
    height, width = engine.image_size
    pixels = np.array([width, height, width, height], np.float32)
    for image in images:
        if isinstance(deployed.postprocess, PostProcessDecoded):
            assert isinstance(engine.postprocess, PostProcess)
            boxes, scores = engine.postprocess.decode_all(*engine.outputs(image))
            others, other_scores = deployed.outputs(image)
            box = max(box, float(np.abs((boxes - others) * pixels).max(initial=0)))
            score = max(score, float(np.abs(scores - other_scores).max(initial=0)))
        (ours,), (theirs,) = engine.detect([image]), deployed.detect([image])
        rows, columns = engine.filled((image.shape[0], image.shape[1]))
        scale = np.array([columns / image.shape[1], rows / image.shape[0]] * 2, np.float32)
        pairs, unmatched = _pair(ours, theirs, scale, engine.postprocess.selection)
        num_detections += len(ours)
        num_unmatched += unmatched
        for i, j in pairs:
            box = max(box, float(np.abs((ours.boxes[i] - theirs.boxes[j]) * scale).max()))
            score = max(score, float(abs(ours.scores[i] - theirs.scores[j])))
    return Difference(len(images), box, score, num_detections, num_unmatched)


def _refinement(predictor: Predictor) -> Refinement:
    """A predictor's; none where NMS is inside."""
    postprocess = predictor.postprocess
    return Refinement() if isinstance(postprocess, PostProcessSelected) else postprocess.refinement


def _unrefined(predictor: Predictor) -> Predictor:
    postprocess = predictor.postprocess
    if isinstance(postprocess, PostProcessSelected):
        return predictor
    return replace(predictor, postprocess=replace(postprocess, refinement=Refinement()))


def _pair(
    ours: Detections, theirs: Detections, scale: Array, limits: Selection
) -> tuple[list[tuple[int, int]], int]:
    """Pair detections of a class that are the same but for rounding; count the others.

    Rounding decides what lies on the edge, and that does not count: a score at the threshold or at
    that of the last one kept, which of two overlapping boxes of equal scores is kept, and a box
    whose overlap with a better one is at the IoU threshold.
    """
    free = set(range(len(theirs)))
    pairs = []
    alone: list[tuple[Detections, int, Detections]] = []
    for i in range(len(ours)):
        distance = {
            j: float(np.abs((ours.boxes[i] - theirs.boxes[j]) * scale).max())
            for j in free
            if ours.class_ids[i] == theirs.class_ids[j]
        }
        nearest = min(distance, key=lambda j: distance[j], default=None)
        if nearest is None or distance[nearest] > 1.0:  # a pixel: another one
            alone.append((ours, i, theirs))
            continue
        free.remove(nearest)
        pairs.append((i, nearest))
    alone += [(theirs, j, ours) for j in free]
    return pairs, sum(not _on_an_edge(*one, limits) for one in alone)


def _on_an_edge(detections: Detections, row: int, others: Detections, limits: Selection) -> bool:
    score, rounding = float(detections.scores[row]), 2 * SCORE_TOLERANCE
    lowest = limits.score_threshold
    for found in (detections, others):
        if len(found) == limits.max_detections:
            lowest = max(lowest, float(found.scores.min()))
    if score <= lowest + rounding:
        return True
    overlaps = pairwise_iou(detections.boxes[row : row + 1], others.boxes)[0]
    over = overlaps - limits.iou_threshold
    equal = np.abs(others.scores - score) <= rounding
    better = others.scores >= score - rounding
    return bool((equal & (over > -IOU_TOLERANCE) | better & (np.abs(over) <= IOU_TOLERANCE)).any())


def average_precision(evaluation: Evaluation) -> float:
    """Its mAP, 0 where there are no truths."""
    return evaluation.ap or 0.0

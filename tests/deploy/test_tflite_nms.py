"""NMS inside a TensorFlow Lite file, against our own, box by box."""

import numpy as np
import pytest

from mindssd.deploy.manifest import InGraphNMS
from mindssd.deploy.targets.tflite_file import TFLiteFile
from mindssd.deploy.targets.tflite_nms import select
from mindssd.geometry.nms import class_wise_nms
from mindssd.types import Array

pytest.importorskip("ai_edge_litert")


def by_the_file(boxes: Array, scores: Array, nms: InGraphNMS, threads: int = 1) -> list[Array]:
    """What a file of NMS alone gives for one image: boxes (M, 4), scores (M,), class ids (M,)."""
    from ai_edge_litert.interpreter import Interpreter

    file = TFLiteFile()
    inputs = [
        file.tensor(name, (1, *value.shape), "FLOAT32")
        for name, value in (("all_boxes", boxes), ("all_scores", scores))
    ]
    outputs = select(file, *inputs, nms)
    content = file.content(inputs, list(outputs.values()), "nms", {})
    interpreter = Interpreter(model_content=content, num_threads=threads)
    interpreter.allocate_tensors()
    for number, value in zip(interpreter.get_input_details(), (boxes, scores), strict=True):
        interpreter.set_tensor(number["index"], value[None])
    interpreter.invoke()
    return [interpreter.get_tensor(x["index"])[0] for x in interpreter.get_output_details()]


def expected(boxes: Array, scores: Array, nms: InGraphNMS) -> tuple[Array, Array, Array]:
    rows, classes = class_wise_nms(
        boxes,
        scores,
        nms.iou_threshold,
        score_threshold=nms.score_threshold,
        max_detections=nms.max_detections,
    )
    return boxes[rows], scores[rows, classes], classes


def candidates(seed: int, number: int, num_classes: int) -> tuple[Array, Array]:
    """Boxes that overlap, clipped to the image, and scores of few values within a class."""
    rng = np.random.default_rng(seed)
    centre, size = rng.uniform(-0.1, 1.1, (number, 2)), rng.uniform(0.01, 0.5, (number, 2))
    boxes = np.concatenate([centre - size / 2, centre + size / 2], axis=1).clip(0, 1)
    # Equal scores within a class, and none across them.
    scores = rng.integers(0, 40, (number, num_classes)) / 50 + np.arange(num_classes) / 1000
    return boxes.astype(np.float32), scores.astype(np.float32)


@pytest.mark.parametrize("threads", [1, 3])
@pytest.mark.parametrize(("score", "iou", "rows"), [(0.01, 0.6, 300), (0.3, 0.5, 20), (0.5, 0, 9)])
def test_it_keeps_what_ours_keeps_ties_included(
    score: float, iou: float, rows: int, threads: int
) -> None:
    nms = InGraphNMS(score, iou, rows)
    for seed in range(3):
        given = candidates(seed, 200, 5)
        boxes, scores, class_ids = by_the_file(*given, nms, threads)
        kept, best, classes = expected(*given, nms)
        assert (boxes.shape, scores.shape, class_ids.shape) == ((rows, 4), (rows,), (rows,))
        assert class_ids.dtype == np.int32 and boxes.min() >= 0 and boxes.max() <= 1
        count = len(kept)
        assert (class_ids[:count] == classes).all() and (scores[:count] == best).all()
        np.testing.assert_allclose(boxes[:count], kept, atol=2e-7)
        assert (class_ids[count:] == -1).all() and not scores[count:].any()
        assert not boxes[count:].any()


def test_a_box_without_area_is_never_kept_and_a_score_at_the_threshold_neither() -> None:
    boxes = np.array(
        [[0, 0, 0.5, 0.5], [1, 0.2, 1, 0.9], [0, 0, 0, 0], [0.6, 0.6, 0.9, 0.9]], np.float32
    )
    scores = np.array([[0.3], [0.9], [0.8], [0.4]], np.float32)
    for threshold, kept in ((0.3, [3]), (0.0, [3, 0]), (0.9, [])):
        found = by_the_file(boxes, scores, InGraphNMS(threshold, 0.5, 4))
        assert found[2].tolist() == [0] * len(kept) + [-1] * (4 - len(kept))
        np.testing.assert_allclose(found[0][: len(kept)], boxes[kept].reshape(-1, 4), atol=2e-7)

"""NMS inside a TensorFlow Lite file: by `TFLite_Detection_PostProcess`, which its runtimes bring.

The operator decodes boxes too, but without limits. So it is given boxes that are decoded, as
anchors that nothing moves. It takes both axes alike, so that x may come before y.

Each class has an operator of its own: with several threads one for all classes leaves a class out,
that whose number is the number of threads (LiteRT 2.3; tensorflow's issue 56058).
"""

from collections.abc import Sequence

import numpy as np

from mindssd.deploy.manifest import BOXES, CLASS_IDS, SCORES, InGraphNMS
from mindssd.deploy.targets.tflite_file import TFLiteFile

_OPERATOR = "TFLite_Detection_PostProcess"
_LEAST = float(np.finfo(np.float32).tiny)
_TABLES = {
    "CONCATENATION": "Concatenation",
    "FLOOR_DIV": "FloorDiv",
    "MAXIMUM": "MaximumMinimum",
    "MINIMUM": "MaximumMinimum",
    "REDUCE_MIN": "Reducer",
    "TOPK_V2": "TopKV2",
}
"""Of the schema's tables of options those that are called otherwise than their operator."""


def select(file: TFLiteFile, boxes: int, scores: int, nms: InGraphNMS) -> dict[str, int]:
    """Append class-wise NMS behind boxes (1, A, 4) and scores (1, A, C): the outputs by name.

    They are those of `Manifest`. Of equal scores the earlier class goes first, and in it the
    earlier box.
    """
    _, count, num_classes = file.shape(scores)
    rows, nodes = nms.max_detections, _Nodes(file)
    low, high = (nodes.part(boxes, first, 2) for first in (0, 2))  # (1, A, 2)
    sides = nodes.add("SUB", [high, low], (1, count, 2))
    sums = nodes.add("ADD", [high, low], (1, count, 2))
    centres = nodes.add("MUL", [sums, nodes.float32(0.5)], (1, count, 2))
    anchors = nodes.add("CONCATENATION", [centres, sides], (1, count, 4), axis=2)
    anchors = nodes.add("RESHAPE", [anchors, nodes.int32([count, 4])], (count, 4))
    offsets = nodes.add("MUL", [boxes, nodes.float32(0.0)], (1, count, 4))
    # A box without area is never kept; the operator would keep it.
    side = nodes.add("REDUCE_MIN", [sides, nodes.int32([2])], (1, count, 1), keepDims=True)
    ranks = nodes.add("MUL", [scores, nodes.is_positive(side)], (1, count, num_classes))
    classes = [
        nodes.of_a_class(offsets, nodes.part(ranks, index, 1), anchors, nms)
        for index in range(num_classes)
    ]
    places = num_classes * rows
    kept, kept_scores = (list(parts) for parts in zip(*classes, strict=True))
    kept_boxes = nodes.add("CONCATENATION", kept, (1, places, 4), axis=1)
    kept_boxes = nodes.add("RESHAPE", [kept_boxes, nodes.int32([places, 4])], (places, 4))
    joined = nodes.add("CONCATENATION", kept_scores, (1, places), axis=1)
    best, chosen = nodes.tensor((1, rows)), nodes.tensor((1, rows), "INT32")
    file.operator("TOPK_V2", [joined, nodes.int32(rows)], best, _options("TOPK_V2"), [chosen])
    result = nodes.add("GATHER", [kept_boxes, chosen], (1, rows, 4))
    # Rounding may have led out of the image.
    for kind, limit in (("MINIMUM", 1.0), ("MAXIMUM", 0.0)):
        result = nodes.add(kind, [result, nodes.float32(limit)], (1, rows, 4))
    class_ids = nodes.add("FLOOR_DIV", [chosen, nodes.int32(rows)], (1, rows), "INT32")
    # Of what is left over -1, as (class + 1) · 0 - 1.
    found = nodes.add("CAST", [nodes.is_positive(best)], (1, rows), "INT32")
    for kind, number in (("ADD", nodes.int32(1)), ("MUL", found), ("SUB", nodes.int32(1))):
        class_ids = nodes.add(kind, [class_ids, number], (1, rows), "INT32")
    return {BOXES: result, SCORES: best, CLASS_IDS: class_ids}


class _Nodes:
    """Appends operators, and names what they give."""

    def __init__(self, file: TFLiteFile) -> None:
        self._file = file
        self._count = 0

    def add(
        self,
        kind: str,
        inputs: Sequence[int],
        shape: Sequence[int],
        type: str = "FLOAT32",
        **options: object,
    ) -> int:
        result = self.tensor(shape, type)
        return self._file.operator(kind, inputs, result, _options(kind, **options))

    def part(self, value: int, first: int, number: int) -> int:
        """So many columns of a value (1, A, n)."""
        shape = (*self._file.shape(value)[:2], number)
        return self.add("SLICE", [value, self.int32([0, 0, first]), self.int32(shape)], shape)

    def is_positive(self, value: int) -> int:
        """1 where a number 0..1 is not 0."""
        return self._file.operator("CEIL", [value], self.tensor(self._file.shape(value)))

    def of_a_class(
        self, offsets: int, scores: int, anchors: int, nms: InGraphNMS
    ) -> tuple[int, int]:
        """What greedy NMS keeps of a class: boxes (1, M, 4) and scores (1, M), best first."""
        rows = nms.max_detections
        outputs = [self.tensor(shape) for shape in ((1, rows, 4), (1, rows), (1, rows), (1,))]
        # It takes scores from its threshold on, ours are above it; and no IoU of 0.
        threshold = float(np.nextafter(np.float32(nms.score_threshold), np.float32(2)))
        options = {
            "max_detections": rows,
            "max_classes_per_detection": 1,
            "detections_per_class": rows,
            "use_regular_nms": True,
            "nms_score_threshold": max(threshold, _LEAST),
            "nms_iou_threshold": max(nms.iou_threshold, _LEAST),
            "num_classes": 1,
            **{f"{axis}_scale": 1.0 for axis in "yxhw"},
        }
        boxes, *others = outputs
        self._file.operator(_OPERATOR, [offsets, scores, anchors], boxes, options, others)
        return boxes, others[1]

    def tensor(self, shape: Sequence[int], type: str = "FLOAT32") -> int:
        return self._file.tensor(self._name(), shape, type)

    def float32(self, value: float) -> int:
        return self._file.constant(self._name(), np.array(value, np.float32))

    def int32(self, value: int | Sequence[int]) -> int:
        return self._file.constant(self._name(), np.array(value, np.int32))

    def _name(self) -> str:
        self._count += 1
        return f"nms/{self._count}"


def _options(kind: str, **options: object) -> dict[str, object]:
    return {"table": f"{_TABLES.get(kind, kind.title())}Options", **options}

"""int8 by static quantisation: measured ranges, and float32 for the layers that suffer most.

Convolutions become int8, weights channel by channel, activations as QDQ pairs with ranges seen on
training images (arXiv:1712.05877). Decoding and the sigmoid are not in the raw graph, so they stay
float32. Which layers suffer is measured: each alone in int8, how far off are the outputs?
"""

import tempfile
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import onnx

from mindssd.deploy.graph import LOGITS, OFFSETS
from mindssd.deploy.manifest import INPUT
from mindssd.geometry.postprocess import sigmoid
from mindssd.types import Array

CALIBRATION_IMAGES = 100
RANKING_IMAGES = 8
_SHOWS, _OFFSET_WEIGHT = 0.1, 0.1
"""A score that shows something; offsets are of the order of 1 where scores differ by 0.1."""
_SHAPE_KINDS = frozenset({"Transpose", "Reshape", "Concat", "Flatten", "Identity", "Unsqueeze"})
_KINDS = ("Conv", "Add", "Clip", "MaxPool")
"""Operators between which tensors stay int8."""


@dataclass(frozen=True, eq=False)
class Quantizer:
    """Makes int8 graphs of one raw float32 graph, once its activations' ranges are known."""

    model: onnx.ModelProto
    ranges: Any
    """onnxruntime's `TensorsData`."""

    @classmethod
    def calibrated(cls, raw: onnx.ModelProto, images: Iterable[Array]) -> "Quantizer":
        """Measure ranges on prepared images (3, H, W), one after the other."""
        from onnxruntime.quantization import CalibrationMethod, create_calibrator
        from onnxruntime.quantization.shape_inference import quant_pre_process

        with tempfile.TemporaryDirectory() as folder:
            before, after = Path(folder) / "raw.onnx", Path(folder) / "prepared.onnx"
            onnx.save(raw, before)
            quant_pre_process(str(before), str(after), skip_symbolic_shape=True)
            calibrator = create_calibrator(
                str(after),
                list(_KINDS),
                augmented_model_path=str(Path(folder) / "augmented.onnx"),
                calibrate_method=CalibrationMethod.MinMax,
            )
            calibrator.collect_data(_Reader(images))
            return cls(onnx.load(after), calibrator.compute_data())

    def layers(self) -> list[str]:
        """The names of the convolutions that may be int8, in the graph's order.

        The heads' last ones never are: 256 steps are too few for logits and offsets, and they cost
        next to nothing.
        """
        users = _users(self.model.graph)
        return [
            node.name
            for node in self.model.graph.node
            if node.op_type == "Conv" and not _leads_to_outputs(node, users)
        ]

    def limits(self) -> dict[str, tuple[float, float]]:
        """The lowest and highest number of each tensor whose range was measured."""
        return {
            name: (float(seen.lowest.min()), float(seen.highest.max()))
            for name, seen in self.ranges.items()
        }

    def quantized(self, float_layers: Sequence[str] = ()) -> onnx.ModelProto:
        """The graph in int8, but for these layers."""
        from onnxruntime.quantization import QuantType
        from onnxruntime.quantization.qdq_quantizer import QDQQuantizer

        model = onnx.ModelProto()
        model.CopyFrom(self.model)
        convolutions = {n.name: n for n in model.graph.node if n.op_type == "Conv"}
        left_out = set(convolutions) - (set(self.layers()) - set(float_layers))
        left_out |= _clips_in_float(model.graph, left_out)
        quantizer = QDQQuantizer(
            model,
            per_channel=True,
            reduce_range=False,
            weight_qType=QuantType.QInt8,
            activation_qType=QuantType.QUInt8,  # U8 × S8 is what VNNI multiplies
            tensors_range=self.ranges,
            nodes_to_quantize=[],
            nodes_to_exclude=sorted(left_out),
            op_types_to_quantize=list(_KINDS),
            extra_options={"DedicatedQDQPair": False, "QDQKeepRemovableActivations": True},
        )
        quantizer.quantize_model()
        quantizer.model.topological_sort()
        result: onnx.ModelProto = quantizer.model.model
        return result

    def costs(self, images: Sequence[Array]) -> Iterator[tuple[str, float]]:
        """Each layer with what it costs, as it is measured on prepared images (3, H, W).

        The cost is how far off the outputs are with that layer alone in int8.
        """
        wanted = [_Outputs.of(run) for run in map(_runner(self.model), images)]
        layers = self.layers()
        for layer in layers:
            others = [name for name in layers if name != layer]
            yield layer, self._error(others, images, wanted)

    def _error(
        self, float_layers: Sequence[str], images: Sequence[Array], wanted: "Sequence[_Outputs]"
    ) -> float:
        run = _runner(self.quantized(float_layers))
        pairs = zip(map(run, images), wanted, strict=True)
        return sum(_Outputs.of(outputs).distance(right) for outputs, right in pairs)


@dataclass(frozen=True, eq=False)
class _Outputs:
    """One image's offsets (A, 4), scores (A, C) and which boxes (A,) show something."""

    offsets: Array
    scores: Array
    shows: Array

    @classmethod
    def of(cls, outputs: Sequence[Array]) -> "_Outputs":
        offsets, logits = (output[0] for output in outputs)
        scores = sigmoid(logits[:, 1:])
        return cls(offsets, scores, scores.max(axis=1) > _SHOWS)

    def distance(self, right: "_Outputs") -> float:
        """Squared differences, summed: all boxes' scores, and the offsets of boxes that matter."""
        boxes = ((self.offsets - right.offsets)[right.shows] * _OFFSET_WEIGHT) ** 2
        return float(((self.scores - right.scores) ** 2).sum() + boxes.sum())


def _clips_in_float(graph: onnx.GraphProto, float_layers: Collection[str]) -> set[str]:
    """The clips that must stay: those behind and before a layer in float32.

    onnxruntime 1.28 drops a Clip where the int8 range behind it clips as well, and then drops that
    range too where a layer in float32 follows.
    """
    made_by = {output: node for node in graph.node for output in node.output}
    clips = set()
    for node in graph.node:
        if node.op_type == "Clip":
            before = made_by.get(node.input[0])
            if before is not None and before.name in float_layers:
                clips.add(node.name)
        elif node.name in float_layers:
            before = made_by.get(node.input[0])
            if before is not None and before.op_type == "Clip":
                clips.add(before.name)
    return clips


def _users(graph: onnx.GraphProto) -> dict[str, list[onnx.NodeProto]]:
    users: dict[str, list[onnx.NodeProto]] = {}
    for node in graph.node:
        for name in node.input:
            users.setdefault(name, []).append(node)
    return users


def _leads_to_outputs(node: onnx.NodeProto, users: dict[str, list[onnx.NodeProto]]) -> bool:
    """Whether nothing but a change of shape lies between a convolution and the graph's outputs."""
    following = [user for output in node.output for user in users.get(output, [])]
    return all(
        user.op_type == "Shape" or (user.op_type in _SHAPE_KINDS and _leads_to_outputs(user, users))
        for user in following
    )


class _Reader:
    """onnxruntime's CalibrationDataReader."""

    def __init__(self, images: Iterable[Array]) -> None:
        self._images = iter(images)

    def get_next(self) -> dict[str, Array] | None:
        image = next(self._images, None)
        return None if image is None else {INPUT: image[None]}


def _runner(model: onnx.ModelProto) -> Callable[[Array], list[Array]]:
    import onnxruntime as ort

    options = ort.SessionOptions()
    options.log_severity_level = 3
    session = ort.InferenceSession(
        model.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )

    def run(image: Array) -> list[Array]:
        outputs: list[Array] = session.run([OFFSETS, LOGITS], {INPUT: image[None]})
        return outputs

    return run

"""From an engine's raw ONNX graph to one that decodes its boxes, and selects them if asked.

An engine writes `images` to `offsets` and `logits`. What comes behind is written here, once for all
engines, in operators that every runtime has: the formulas of `geometry/coding.py`, the sigmoid, and
ONNX's NonMaxSuppression with all five inputs. Beside its output, whose length NMS alone knows,
every shape is static but for the batch, or with it: that is what OpenCV and compilers for Ascend
and others ask for. `portable` writes all of it in operators that they have in common.
"""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from mindssd.deploy.manifest import BOXES, CLASS_IDS, INPUT, SCORES, InGraphNMS, Manifest
from mindssd.deploy.onnx_nodes import drop_unused, fix_batch
from mindssd.deploy.portable import make_portable, spell_out_activations
from mindssd.geometry.coding import MAX_LOG_SIZE_RATIO, Variances
from mindssd.types import Array, ImageSize

OFFSETS, LOGITS = "offsets", "logits"
"""The outputs of a raw graph, (B, A, 4) and (B, A, C + 1)."""

BATCH = "batch"

_NO_SIZE = 80.0
"""exp(-80) of a default box is no pixel, and not yet a denormal number."""


def read_raw(content: bytes, image_size: ImageSize) -> onnx.ModelProto:
    """An engine's raw graph from its bytes, made portable, BatchNorm folded into the convolutions.

    Notes of the exporter at nodes are left out: PyTorch's 2.13 name the paths of its code on this
    machine. ValueError where it is no such graph.
    """
    model = onnx.load_from_string(content)
    graph = model.graph
    for part in (*graph.node, *graph.value_info):
        part.ClearField("metadata_props")
    _name_constants(graph)
    fold_batch_norms(graph)
    names = [x.name for x in graph.input], [x.name for x in graph.output]
    if names != ([INPUT], [OFFSETS, LOGITS]):
        raise ValueError(f"the graph has {names}; expected {INPUT} to {OFFSETS} and {LOGITS}")
    dims = [d.dim_param or d.dim_value for d in graph.input[0].type.tensor_type.shape.dim]
    if not isinstance(dims[0], str) or dims[1:] != [3, *image_size]:
        raise ValueError(f"{INPUT} has shape {dims}; expected a free batch, 3 and {image_size}")
    kinds = [node.op_type for node in graph.node]
    if "BatchNormalization" in kinds:
        raise ValueError(f"{kinds.count('BatchNormalization')} BatchNorms cannot be folded")
    make_portable(model)
    return model


def _name_constants(graph: onnx.GraphProto) -> None:
    """Give constants to those who use them: PyTorch passes equal ones on by Identity nodes."""
    constants = {constant.name for constant in graph.initializer}
    same = {}
    for node in [n for n in graph.node if n.op_type == "Identity" and n.input[0] in constants]:
        same[node.output[0]] = node.input[0]
        graph.node.remove(node)
    for node in graph.node:
        for index, name in enumerate(node.input):
            node.input[index] = same.get(name, name)


def fold_batch_norms(graph: onnx.GraphProto) -> None:
    """Put each BatchNorm behind a convolution into its weights and bias, in double precision.

    A convolution whose weights are shared, as a head's over its levels, has a copy for each.
    """
    constants = {x.name: x for x in graph.initializer}
    made_by = {output: node for node in graph.node for output in node.output}
    num_uses = Counter(name for node in graph.node for name in node.input)
    for node in [node for node in graph.node if node.op_type == "BatchNormalization"]:
        convolution = made_by.get(node.input[0])
        if convolution is None or convolution.op_type != "Conv" or num_uses[node.input[0]] > 1:
            continue
        gamma, beta, mean, variance = (
            numpy_helper.to_array(constants[name]).astype(np.float64) for name in node.input[1:5]
        )
        epsilon = next((a.f for a in node.attribute if a.name == "epsilon"), 1e-5)
        weight = numpy_helper.to_array(constants[convolution.input[1]])
        bias = np.zeros(len(weight))
        if len(convolution.input) > 2:
            bias = numpy_helper.to_array(constants[convolution.input[2]]).astype(np.float64)
        scale = gamma / np.sqrt(variance + epsilon)
        folded = {
            f"{node.output[0]}.weight": weight * scale[:, None, None, None],
            f"{node.output[0]}.bias": beta + (bias - mean) * scale,
        }
        for name, value in folded.items():
            graph.initializer.append(numpy_helper.from_array(value.astype(np.float32), name))
        del convolution.input[1:]
        convolution.input.extend(folded)
        convolution.output[0] = node.output[0]
        graph.node.remove(node)
    drop_unused(graph)


def finish(
    raw: onnx.ModelProto,
    default_boxes_cxcywh: Array,
    variances: Variances,
    num_classes: int,
    nms: InGraphNMS | None,
    batch: int | None = None,
    spell_out: bool = True,
) -> onnx.ModelProto:
    """Append decoding, and NMS if given, to a copy of a raw graph.

    `default_boxes_cxcywh` (A, 4) as fractions of the image. The outputs are those of `Manifest`.
    With `batch` they are of so many images, no more and no fewer. Without `spell_out` hard-swish
    and hard-sigmoid are operators of their own.
    """
    model = onnx.ModelProto()
    model.CopyFrom(raw)
    num_boxes = len(default_boxes_cxcywh)
    nodes = _Nodes(model.graph)
    boxes = _decode(nodes, default_boxes_cxcywh, variances)
    foreground = nodes.columns(LOGITS, 1, num_classes + 1)
    del model.graph.output[:]
    float32, int32 = TensorProto.FLOAT, TensorProto.INT32
    if nms is None:
        nodes.add("Identity", boxes, output=BOXES)
        nodes.add("Sigmoid", foreground, output=SCORES)
        _output(model.graph, BOXES, float32, [num_boxes, 4])
        _output(model.graph, SCORES, float32, [num_boxes, num_classes])
    else:
        _select(nodes, boxes, nodes.add("Sigmoid", foreground), nms, batch)
        _output(model.graph, BOXES, float32, [nms.max_detections, 4])
        _output(model.graph, SCORES, float32, [nms.max_detections])
        _output(model.graph, CLASS_IDS, int32, [nms.max_detections])
    if spell_out:
        spell_out_activations(model.graph)
    if batch is not None:
        fix_batch(model.graph, batch)
    onnx.checker.check_model(model, full_check=True)
    return model


def describe(model: onnx.ModelProto, manifest: Manifest, path: Path) -> None:
    """Write the manifest into the model; `path` is for the error where it cannot be text."""
    model.producer_name = "mindssd"
    model.producer_version = manifest.metadata.mindssd_version
    model.graph.name = manifest.recipe or "ssd"
    helper.set_model_props(model, manifest.to_strings(path))


def _decode(nodes: "_Nodes", default_boxes_cxcywh: Array, variances: Variances) -> str:
    """The boxes of `geometry.coding.decode`, clipped to the image: (B, A, 4)."""
    # (y, x) and (height, width), as offsets are (ty, tx, th, tw).
    centre, size = (default_boxes_cxcywh[None, :, part] for part in ([1, 0], [3, 2]))
    shift = nodes.add("Mul", nodes.columns(OFFSETS, 0, 2), nodes.float32(variances[0] * size))
    shift = nodes.add("Add", shift, nodes.float32(centre))  # (B, A, 2)
    growth = nodes.add("Mul", nodes.columns(OFFSETS, 2, 4), nodes.float32(variances[1]))
    # Limits on both sides, so that no reader meets a missing input.
    limits = (nodes.float32(x) for x in (-_NO_SIZE, MAX_LOG_SIZE_RATIO))
    growth = nodes.add("Exp", nodes.add("Clip", growth, *limits))
    half = nodes.add("Mul", growth, nodes.float32(size / 2))
    corners = [nodes.add(kind, shift, half) for kind in ("Sub", "Add")]
    sides = [nodes.columns(corner, x, x + 1) for corner in corners for x in (1, 0)]
    boxes = nodes.add("Concat", *sides, axis=2)
    return nodes.add("Clip", boxes, nodes.float32(0.0), nodes.float32(1.0))


def _select(
    nodes: "_Nodes", boxes: str, scores: str, nms: InGraphNMS, fixed_batch: int | None
) -> None:
    """Class-wise NMS and the best `max_detections` of each image, M rows whatever was found."""
    most = nms.max_detections
    # A box without area is never kept; NonMaxSuppression would keep it.
    sides = nodes.add("Sub", nodes.columns(boxes, 2, 4), nodes.columns(boxes, 0, 2))
    width, height = (nodes.add("Gather", sides, nodes.int64([i]), axis=2) for i in (0, 1))
    smallest = nodes.add("Min", width, height)  # (B, A, 1)
    proper = nodes.add("Greater", smallest, nodes.float32(0.0))
    ranks = nodes.add("Where", proper, scores, nodes.float32(0.0))
    ranks = nodes.add("Transpose", ranks, perm=[0, 2, 1])  # (B, C, A)
    selected = nodes.add(
        "NonMaxSuppression",
        boxes,
        ranks,
        nodes.int64([most]),
        nodes.float32([nms.iou_threshold]),
        nodes.float32([nms.score_threshold]),
    )  # (K, 3): image, class and box of each one kept, whatever image it is of
    # With room for M more, which are of no image. It may be empty: OpenCV 5 dies of a Gather then.
    room = nodes.int64([0, 0, most, 0])
    padded, of_none = (nodes.add("Pad", selected, room, nodes.int64(x)) for x in (0, -1))
    images = nodes.add("Gather", of_none, nodes.int64(0), axis=1)  # (K + M,)
    kept = nodes.add("GatherND", ranks, padded)  # (K + M,)
    # Row b of a table has the scores of image b's and -1 for the others'.
    numbers = _numbers(nodes, boxes, fixed_batch)  # (B, 1)
    table = nodes.add("Where", nodes.add("Equal", numbers, images), kept, nodes.float32(-1.0))
    best, places = nodes.add_two("TopK", table, nodes.int64([most]), axis=1)  # (B, M)
    rows = nodes.add("Gather", padded, places, axis=0)  # (B, M, 3)
    found = nodes.add("Greater", best, nodes.float32(0.0))
    class_ids = nodes.add("Gather", rows, nodes.int64(1), axis=2)
    class_ids = nodes.add("Where", found, class_ids, nodes.int64(-1))
    nodes.add("Cast", class_ids, to=TensorProto.INT32, output=CLASS_IDS)
    # By image and box: OpenCV 5 and CoreML have no `batch_dims`.
    places = nodes.add("Gather", rows, nodes.int64([0, 2]), axis=2)  # (B, M, 2)
    chosen = nodes.add("GatherND", boxes, places)  # (B, M, 4)
    found_column = nodes.add("Unsqueeze", found, nodes.int64([2]))
    nodes.add("Where", found_column, chosen, nodes.float32(0.0), output=BOXES)
    nodes.add("Max", best, nodes.float32(0.0), output=SCORES)


def _numbers(nodes: "_Nodes", boxes: str, fixed_batch: int | None) -> str:
    """0, 1, … for the images of a batch."""
    if fixed_batch is not None:
        return nodes.int64([[number] for number in range(fixed_batch)])
    batch = nodes.add("Gather", nodes.add("Shape", boxes), nodes.int64(0), axis=0)
    numbers = nodes.add("Range", nodes.int64(0), batch, nodes.int64(1))
    return nodes.add("Unsqueeze", numbers, nodes.int64([1]))


class _Nodes:
    """Appends nodes and constants to a graph, and names them."""

    def __init__(self, graph: onnx.GraphProto) -> None:
        self._graph = graph
        self._count = 0

    def add(self, kind: str, *inputs: str, output: str | None = None, **attributes: Any) -> str:
        name = output or self._name(kind)
        self._append(kind, inputs, [name], attributes)
        return name

    def add_two(self, kind: str, *inputs: str, **attributes: Any) -> tuple[str, str]:
        first, second = self._name(kind), self._name(kind)
        self._append(kind, inputs, [first, second], attributes)
        return first, second

    def columns(self, name: str, first: int, last: int) -> str:
        """Some columns of a value (B, A, n), `last` not among them."""
        return self.add("Slice", name, *(self.int64([x]) for x in (first, last, 2)))

    def int64(self, value: int | Sequence[int] | Sequence[Sequence[int]]) -> str:
        return self._constant(np.asarray(value, np.int64))

    def float32(self, value: float | Sequence[float] | Array) -> str:
        return self._constant(np.asarray(value, np.float32))

    def _constant(self, value: Array) -> str:
        name = self._name("constant")
        self._graph.initializer.append(numpy_helper.from_array(value, name))
        return name

    def _append(
        self, kind: str, inputs: Sequence[str], outputs: Sequence[str], attributes: dict[str, Any]
    ) -> None:
        node = helper.make_node(kind, inputs, outputs, name=f"{outputs[0]}_node", **attributes)
        self._graph.node.append(node)

    def _name(self, kind: str) -> str:
        self._count += 1
        return f"mindssd/{kind.lower()}_{self._count}"


def _output(graph: onnx.GraphProto, name: str, kind: int, shape: list[int]) -> None:
    graph.output.append(helper.make_tensor_value_info(name, kind, [BATCH, *shape]))

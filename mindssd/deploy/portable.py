"""A graph in the shapes and operators that all readers of ONNX take, without another result.

OpenCV, ONNX Runtime's mobile operators, and the compilers for CoreML, TensorRT, RKNN and Ascend
each take a part of ONNX. What PyTorch writes is brought into what they have in common: no shape
that the graph computes, an opset that is in all their lists, and no operator that can be said in
older ones. What each of them has stands in `tests/deploy/operators.yaml`.
"""

import math
from collections.abc import Sequence

import numpy as np
import onnx
from onnx import helper, numpy_helper

from mindssd.deploy.onnx_nodes import (
    Wiring,
    attribute_of,
    drop_unused,
    make_node,
    set_attributes,
    shapes_of,
)
from mindssd.types import Array

OPSET, IR_VERSION = 15, 8
"""The newest opset that each of them names, and the format's version of that time (ONNX 1.10)."""

_NOT_NEGATIVE = frozenset({"Relu", "Sigmoid"})


def make_portable(model: onnx.ModelProto) -> None:
    """Simplify an engine's raw graph in place, BatchNorms folded, and lower it to `OPSET`.

    ValueError where a shape is left that is computed, or unknown but for the batch.
    """
    graph = model.graph
    shapes = shapes_of(model)
    _resize_by_scales(graph, shapes)
    _average_globally(graph)
    _pad_inside_pools(graph)
    _crop_kernels(graph, shapes)
    _use_default_reshapes(graph)
    drop_unused(graph)
    # None of what is left has changed since but for attributes whose defaults do the same.
    model.ir_version = min(model.ir_version, IR_VERSION)
    for opset in model.opset_import:
        opset.version = min(opset.version, OPSET)
    del graph.value_info[:]
    graph.value_info.extend(onnx.shape_inference.infer_shapes(model, True, True).graph.value_info)
    unknown = [name for name, shape in shapes_of(model).items() if not all(shape[1:])]
    unknown += [node.output[0] for node in graph.node if node.op_type == "Shape"]
    if unknown:
        raise ValueError(f"the shape of {unknown[0]} is not known before the graph runs")


def spell_out_activations(graph: onnx.GraphProto) -> None:
    """Write hard-swish and hard-sigmoid as sums, limits and products.

    ONNX Runtime's mobile operators and CoreML have no HardSwish, and OpenCV takes any product with
    a HardSigmoid for one.
    """
    wiring = Wiring.of(graph)
    nodes: list[onnx.NodeProto] = []
    for node in graph.node:
        if node.op_type == "HardSwish":
            nodes += _hard_swish(graph, wiring, node)
        elif node.op_type == "HardSigmoid":
            alpha, beta = (float(attribute_of(node, *x)) for x in (("alpha", 0.2), ("beta", 0.5)))
            nodes += _limited(graph, node, beta / alpha, 1 / alpha, f"{node.output[0]}.limited")
            nodes.append(
                make_node(graph, "Mul", [f"{node.output[0]}.limited", alpha], node.output[0])
            )
        else:
            nodes.append(node)
    del graph.node[:]
    graph.node.extend(nodes)
    drop_unused(graph)


def _resize_by_scales(graph: onnx.GraphProto, shapes: dict[str, list[int]]) -> None:
    """Enlarge by a rule that ONNX has and PyTorch has not: output i looks at i · old / new.

    PyTorch needs a row and column more, corners aligned, and a cut, in sizes from the graph's own
    computation (`engines.torch.necks.resize`).
    """
    wiring = Wiring.of(graph)
    for node in [x for x in graph.node if x.op_type == "Resize"]:
        pad, cuts = wiring.maker(node.input[0], "Pad"), _cuts_behind(node, wiring)
        if pad is None or not cuts or not _is_enlarged_by_corners(pad, node, cuts, wiring):
            continue
        result = cuts[-1].output[0]
        old, padded, resized, new = (
            shapes[name][2:] for name in (pad.input[0], node.input[0], node.output[0], result)
        )
        if padded != [x + 1 for x in old] or resized != [x + 1 for x in new]:
            continue
        scales = np.array([1, 1, *map(_scale, old, new)], np.float32)
        graph.initializer.append(numpy_helper.from_array(scales, f"{result}.scales"))
        replacement = helper.make_node(
            "Resize",
            [pad.input[0], "", f"{result}.scales"],
            [result],
            node.name,
            mode="linear",
            coordinate_transformation_mode="asymmetric",
        )
        for cut in cuts:
            graph.node.remove(cut)
        node.CopyFrom(replacement)


def _cuts_behind(node: onnx.NodeProto, wiring: Wiring) -> list[onnx.NodeProto]:
    cuts: list[onnx.NodeProto] = []
    users = wiring.users.get(node.output[0], [])
    while len(users) == 1 and users[0].op_type == "Slice":
        cuts.append(users[0])
        users = wiring.users.get(users[0].output[0], [])
    return cuts


def _is_enlarged_by_corners(
    pad: onnx.NodeProto, resize: onnx.NodeProto, cuts: Sequence[onnx.NodeProto], wiring: Wiring
) -> bool:
    return (
        attribute_of(pad, "mode", b"constant") == b"edge"
        and wiring.values(pad, 1) == [0] * 6 + [1, 1]
        and attribute_of(resize, "mode", b"nearest") == b"linear"
        and attribute_of(resize, "coordinate_transformation_mode", b"") == b"align_corners"
        and all(set(wiring.values(cut, 1) or [1]) == {0} for cut in cuts)
    )


def _scale(old: int, new: int) -> np.float32:
    """The float32 at or above new / old: readers round old · scale down, each in its own type."""
    scale = np.float32(new / old)
    if float(scale) * old < new:
        scale = np.nextafter(scale, np.float32(np.inf))
    return scale


def _average_globally(graph: onnx.GraphProto) -> None:
    """Means over height and width are pooling; opset 18 gives ReduceMean its axes as an input."""
    wiring = Wiring.of(graph)
    for node in graph.node:
        if node.op_type != "ReduceMean" or not attribute_of(node, "keepdims", 1):
            continue
        axes = attribute_of(node, "axes", None) or wiring.values(node, 1)
        if axes is not None and sorted(axes) in ([2, 3], [-2, -1]):
            pool = helper.make_node("GlobalAveragePool", [node.input[0]], node.output, node.name)
            node.CopyFrom(pool)


def _pad_inside_pools(graph: onnx.GraphProto) -> None:
    """Zeros around what is never negative change no maximum: the pooling pads by itself."""
    wiring = Wiring.of(graph)
    for node in [x for x in graph.node if x.op_type == "MaxPool"]:
        pad = wiring.maker(node.input[0], "Pad")
        if pad is None or attribute_of(pad, "mode", b"constant") != b"constant":
            continue
        source = wiring.makers.get(pad.input[0])
        added, kernel = wiring.values(pad, 1), attribute_of(node, "kernel_shape", [])
        if (
            source is None
            or source.op_type not in _NOT_NEGATIVE
            or added is None
            or any(wiring.values(pad, 2) or ())
            or any((*added[:2], *added[4:6], *attribute_of(node, "pads", ())))
            or attribute_of(node, "auto_pad", b"NOTSET") != b"NOTSET"
        ):
            continue
        ends = added[2:4] + added[6:8]
        if max(ends) < min(kernel):
            set_attributes(node, pads=ends)
            node.input[0] = pad.input[0]


def _crop_kernels(graph: onnx.GraphProto, shapes: dict[str, list[int]]) -> None:
    """Of a kernel over a map of one cell only the value over it counts.

    OpenCV 4.11 takes others for a depthwise kernel of 3×3.
    """
    wiring = Wiring.of(graph)
    for node in [x for x in graph.node if x.op_type == "Conv"]:
        weight = wiring.constants.get(node.input[1])
        kernel = list(weight.dims[2:]) if weight is not None else [1, 1]
        over_one = all(shapes[name][2:] == [1, 1] for name in (node.input[0], node.output[0]))
        explicit = attribute_of(node, "auto_pad", b"NOTSET") == b"NOTSET"
        undilated = set(attribute_of(node, "dilations", [1, 1])) == {1}
        if kernel == [1, 1] or not (over_one and explicit and undilated):
            continue
        row, column = attribute_of(node, "pads", [0] * 4)[:2]
        name = f"{node.output[0]}.cell"
        cell = wiring.constant(node.input[1])[:, :, row : row + 1, column : column + 1]
        graph.initializer.append(numpy_helper.from_array(np.ascontiguousarray(cell), name))
        node.input[1] = name
        set_attributes(node, kernel_shape=[1, 1], pads=[0] * 4, strides=[1, 1])


def _use_default_reshapes(graph: onnx.GraphProto) -> None:
    """Leave out what `allowzero` says of zeros where a shape has none."""
    wiring = Wiring.of(graph)
    for node in graph.node:
        sizes = wiring.values(node, 1) if node.op_type == "Reshape" else None
        if sizes and 0 not in sizes:
            del node.attribute[:]


def _hard_swish(
    graph: onnx.GraphProto, wiring: Wiring, node: onnx.NodeProto
) -> list[onnx.NodeProto]:
    """x · limit(x + 3, 0, 6) / 6; behind a convolution u · limit(u + 3/√6, 0, √6), with u = x/√6.

    The convolution's weights give u, which saves a product over a whole map. The sum is a
    convolution of its own, of each channel alone: ONNX Runtime takes the limit into it, and keeps
    maps in the order of its convolutions, where it leaves that order for a sum with a number.
    """
    source, output = node.input[0], node.output[0]
    limited = f"{output}.limited"
    convolution = wiring.maker(source, "Conv")
    alone = len(wiring.users[source]) == 1
    if convolution is not None and alone and set(convolution.input[1:]) <= set(wiring.constants):
        root = math.sqrt(6)
        depth = wiring.constants[convolution.input[1]].dims[0]
        for index, name in enumerate(convolution.input[1:], start=1):
            scaled = (wiring.constant(name).astype(np.float64) / root).astype(np.float32)
            convolution.input[index] = f"{output}.input_{index}"
            graph.initializer.append(numpy_helper.from_array(scaled, convolution.input[index]))
        shift: list[str | Array] = [source, np.ones((depth, 1, 1, 1)), np.full(depth, 3 / root)]
        shifted = make_node(graph, "Conv", shift, f"{output}.shifted")
        set_attributes(shifted, group=depth, kernel_shape=[1, 1])
        return [
            shifted,
            make_node(graph, "Clip", [f"{output}.shifted", 0, root], limited),
            make_node(graph, "Mul", [source, limited], output),
        ]
    return [
        *_limited(graph, node, 3, 6, limited),
        make_node(graph, "Mul", [limited, 1 / 6], f"{output}.share"),
        make_node(graph, "Mul", [source, f"{output}.share"], output),
    ]


def _limited(
    graph: onnx.GraphProto, node: onnx.NodeProto, shift: float, limit: float, output: str
) -> list[onnx.NodeProto]:
    """A node's input plus `shift`, between 0 and `limit`."""
    shifted = f"{node.output[0]}.shifted"
    return [
        make_node(graph, "Add", [node.input[0], shift], shifted),
        make_node(graph, "Clip", [shifted, 0, limit], output),
    ]

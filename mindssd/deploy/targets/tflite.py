"""A finished ONNX graph as a TensorFlow Lite file, in float32, float16 or int8.

Written operator by operator, for the operators that SSD's networks have: it needs the runtime
alone. Images come height by width by channel there, as is the custom, and so does every map of the
network. A file takes one image.
"""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
from onnx import shape_inference

from mindssd.deploy.manifest import BOXES, INPUT, SCORES, InGraphNMS, Manifest
from mindssd.deploy.onnx_nodes import attributes_of
from mindssd.deploy.sessions.litert_session import NOTE
from mindssd.deploy.targets.tflite_network import ACTIVATIONS, Network
from mindssd.deploy.targets.tflite_nms import select
from mindssd.deploy.targets.tflite_values import MAP_AXES, Int8
from mindssd.deploy.targets.tflite_windows import convolve, mean, pool
from mindssd.errors import EngineError


def write_tflite(
    model: onnx.ModelProto, manifest: Manifest, target: Path, int8: Int8 | None = None
) -> None:
    """Write a finished graph of one image with its manifest, whose precision is the weights' too.

    The graph has no NMS inside; the file has where the manifest says so. EngineError where the
    graph has an operator that is not written here.
    """
    notes = {f"{NOTE}{key}": text.encode() for key, text in manifest.to_strings(target).items()}
    graph = shape_inference.infer_shapes(model, strict_mode=True, data_prop=True).graph
    net = Network(graph, manifest.precision == "float16", int8)
    target.write_bytes(_content(net, manifest.recipe or "ssd", notes, manifest.nms))


def _content(net: Network, name: str, notes: dict[str, bytes], nms: InGraphNMS | None) -> bytes:
    """The file's bytes: an operator after the other, in the graph's order."""
    images = net.values.computed(INPUT, is_map=True)
    for node in net.graph.node:
        if node.output[0] in net.done:
            continue
        write = _WAYS.get(node.op_type)
        if write is None:
            raise EngineError(
                f"{node.op_type} ({node.name}) is none of the operators that mindssd writes "
                "for TensorFlow Lite; `--format onnx` has all"
            )
        write(net, node)
    outputs = {output.name: net.values.floats(output.name) for output in net.graph.output}
    if nms is not None:
        for output, number in outputs.items():
            net.file.rename(number, f"{output}/all")
        outputs = select(net.file, outputs[BOXES], outputs[SCORES], nms)
    for output, number in outputs.items():
        net.file.rename(number, output)
    return net.file.content([images], list(outputs.values()), name, notes)


def _elementwise(net: Network, node: onnx.NodeProto) -> None:
    kind = _ELEMENTWISE[node.op_type]
    is_map = any(map(net.values.is_map, node.input))
    has_constant = any(name in net.values.constants for name in node.input)
    int8 = node.op_type in ("Add", "Mul") and not has_constant and net.goes_on_in_int8(node)
    inputs = [net.values.taken(name, int8, is_map) for name in node.input]
    output, options = node.output[0], None
    if kind in ("ADD", "SUB", "MUL"):
        output, activation = net.with_activation(node, int8)
        options = {
            "table": f"{kind.title()}Options",
            "fusedActivationFunction": activation,
        }
    elif kind in ("MAXIMUM", "MINIMUM"):
        options = {"table": "MaximumMinimumOptions"}
    result = net.values.computed(output, is_map, int8)
    net.file.operator(kind, inputs, result, options)


def _hard_swish(net: Network, node: onnx.NodeProto) -> None:
    int8 = net.goes_on_in_int8(node)
    taken = net.values.taken(node.input[0], int8)
    result = net.values.computed(node.output[0], net.values.is_map(node.input[0]), int8)
    net.file.operator("HARD_SWISH", [taken], result, {"table": "HardSwishOptions"})


def _hard_sigmoid(net: Network, node: onnx.NodeProto) -> None:
    """min(max(alpha x + beta, 0), 1), as relu6(6 alpha x + 6 beta) / 6."""
    options = attributes_of(node)
    output, is_map = node.output[0], net.values.is_map(node.input[0])
    value = net.values.floats(node.input[0])
    six = {"alpha": 6 * options.get("alpha", 0.2), "beta": 6 * options.get("beta", 0.5)}
    for kind, number, activation in (
        ("MUL", six["alpha"], 0),
        ("ADD", six["beta"], ACTIVATIONS["RELU6"]),
        ("MUL", 1 / 6, 0),
    ):
        factor = net.file.constant(f"{output}/{kind}", np.array(number, np.float32))
        result = net.values.computed(output, is_map)
        table = {"table": f"{kind.title()}Options", "fusedActivationFunction": activation}
        value = net.file.operator(kind, [value, factor], result, table)


def _limit(net: Network, node: onnx.NodeProto) -> None:
    """Relu or Clip that no other operator has taken in."""
    output, is_map = node.output[0], net.values.is_map(node.input[0])
    kind = net.activation(node)
    if kind is not None:
        int8 = net.goes_on_in_int8(node)
        taken = net.values.taken(node.input[0], int8)
        net.file.operator(kind, [taken], net.values.computed(output, is_map, int8))
        return
    value = net.values.floats(node.input[0])
    for kind, limit in zip(("MAXIMUM", "MINIMUM"), net.clip(node), strict=True):
        if limit is not None:
            number = net.file.constant(f"{output}/{kind}", limit.astype(np.float32))
            result = net.values.computed(output, is_map)
            options = {"table": "MaximumMinimumOptions"}
            value = net.file.operator(kind, [value, number], result, options)


def _grow(net: Network, node: onnx.NodeProto) -> None:
    """Resize, bilinear, by the rule that `portable` writes."""
    options = attributes_of(node)
    mode = options.get("coordinate_transformation_mode", b"half_pixel")
    if options.get("mode") != b"linear" or mode not in (b"asymmetric", b"half_pixel"):
        raise EngineError(f"{node.name}: not written for TensorFlow Lite: Resize of {options}")
    output = node.output[0]
    height, width = net.values.shapes[output][2:]
    inputs = [
        net.values.floats(node.input[0]),
        net.values.integers(f"{output}/sizes", height, width),
    ]
    table = {"table": "ResizeBilinearOptions", "halfPixelCenters": mode == b"half_pixel"}
    result = net.values.computed(output, is_map=True)
    net.file.operator("RESIZE_BILINEAR", inputs, result, table)


def _slice(net: Network, node: onnx.NodeProto) -> None:
    output = node.output[0]
    starts, ends, axes, *steps = (net.values.constants[name] for name in node.input[1:])
    is_map = net.values.is_map(node.input[0])
    sizes = net.values.shapes[node.input[0]]
    begin, shape = [0] * len(sizes), list(net.values.shapes[output])
    if any((step != 1).any() for step in steps):
        raise EngineError(f"{node.name}: not written for TensorFlow Lite: Slice by steps")
    for start, _, axis in zip(starts, ends, axes, strict=True):
        begin[axis] = int(start) if start >= 0 else int(start) + sizes[axis]
    if is_map:
        begin, shape = ([values[axis] for axis in MAP_AXES] for values in (begin, shape))
    inputs = [
        net.values.floats(node.input[0]),
        net.values.integers(f"{output}/begin", *begin),
        net.values.integers(f"{output}/size", *shape),
    ]
    result = net.values.computed(output, is_map)
    net.file.operator("SLICE", inputs, result, {"table": "SliceOptions"})


def _join(net: Network, node: onnx.NodeProto) -> None:
    """Concat."""
    is_map = net.values.is_map(node.input[0])
    axis = attributes_of(node)["axis"]
    inputs = [net.values.floats(name) for name in node.input]
    table = {
        "table": "ConcatenationOptions",
        "axis": MAP_AXES.index(axis) if is_map else axis,
    }
    result = net.values.computed(node.output[0], is_map)
    net.file.operator("CONCATENATION", inputs, result, table)


def _transpose(net: Network, node: onnx.NodeProto) -> None:
    perm = list(attributes_of(node)["perm"])
    name, output = node.input[0], node.output[0]
    axes = list(MAP_AXES) if net.values.is_map(name) else list(range(len(perm)))
    order = [axes.index(axis) for axis in perm]
    if order == sorted(order):
        net.values.same(output, name, is_map=False)
        return
    inputs = [
        net.values.floats(name),
        net.values.integers(f"{output}/order", *order),
    ]
    result = net.values.computed(output, is_map=False)
    net.file.operator("TRANSPOSE", inputs, result, {"table": "TransposeOptions"})


def _reshape(net: Network, node: onnx.NodeProto) -> None:
    name, output = node.input[0], node.output[0]
    if net.values.is_map(name):
        raise EngineError(f"{node.name}: not written for TensorFlow Lite: a map reshaped")
    shape = net.values.shapes[output]
    inputs = [
        net.values.floats(name),
        net.values.integers(f"{output}/shape", *shape),
    ]
    result = net.values.computed(output, is_map=False)
    table = {"table": "ReshapeOptions", "newShape": list(shape)}
    net.file.operator("RESHAPE", inputs, result, table)


def _same(net: Network, node: onnx.NodeProto) -> None:
    name = node.input[0]
    net.values.same(node.output[0], name, net.values.is_map(name))


_ELEMENTWISE = {
    "Add": "ADD",
    "Exp": "EXP",
    "Max": "MAXIMUM",
    "Min": "MINIMUM",
    "Mul": "MUL",
    "Sigmoid": "LOGISTIC",
    "Sub": "SUB",
}
_WAYS: dict[str, Callable[[Network, onnx.NodeProto], None]] = {
    **dict.fromkeys(_ELEMENTWISE, _elementwise),
    "Clip": _limit,
    "Concat": _join,
    "Conv": convolve,
    "GlobalAveragePool": mean,
    "HardSigmoid": _hard_sigmoid,
    "HardSwish": _hard_swish,
    "Identity": _same,
    "MaxPool": pool,
    "Relu": _limit,
    "Reshape": _reshape,
    "Resize": _grow,
    "Slice": _slice,
    "Transpose": _transpose,
}

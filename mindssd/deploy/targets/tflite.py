"""A finished ONNX graph as a TensorFlow Lite file, in float32, float16 or int8.

Written operator by operator, for the operators that SSD's networks have: it needs the runtime
alone. Images come height by width by channel there, as is the custom, and so does every map of the
network. A file takes one image.
"""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import helper, shape_inference

from mindssd.deploy.manifest import BOXES, INPUT, SCORES, InGraphNMS, Manifest
from mindssd.deploy.sessions.litert_session import NOTE
from mindssd.deploy.targets.tflite_file import Scale
from mindssd.deploy.targets.tflite_nms import select
from mindssd.deploy.targets.tflite_values import MAP_AXES, Int8, Values
from mindssd.errors import EngineError
from mindssd.types import Array

_SAME, _VALID = 0, 1  # the schema's Padding
_SYMMETRIC = 1  # its MirrorPadMode
_ACTIVATIONS = {"RELU": 1, "RELU6": 3}  # its ActivationFunctionType
_LOWEST = np.array(np.finfo(np.float32).min)


def write_tflite(
    model: onnx.ModelProto, manifest: Manifest, target: Path, int8: Int8 | None = None
) -> None:
    """Write a finished graph of one image with its manifest, whose precision is the weights' too.

    The graph has no NMS inside; the file has where the manifest says so. EngineError where the
    graph has an operator that is not written here.
    """
    notes = {f"{NOTE}{key}": text.encode() for key, text in manifest.to_strings(target).items()}
    graph = shape_inference.infer_shapes(model, strict_mode=True, data_prop=True).graph
    writer = _Writer(graph, manifest.precision == "float16", int8)
    target.write_bytes(writer.content(manifest.recipe or "ssd", notes, manifest.nms))


class _Writer:
    """Goes through a graph in its order, an operator after the other."""

    def __init__(self, graph: onnx.GraphProto, half: bool, int8: Int8 | None) -> None:
        self._graph = graph
        self._values = Values(graph, half, int8)
        self._file = self._values.file
        self._users: dict[str, list[onnx.NodeProto]] = {}
        for node in graph.node:
            for name in node.input:
                self._users.setdefault(name, []).append(node)
        self._done: set[str] = set()
        """Outputs of nodes that another operator has taken in."""

    def content(self, name: str, notes: dict[str, bytes], nms: InGraphNMS | None) -> bytes:
        """The file's bytes."""
        images = self._values.computed(INPUT, is_map=True)
        for node in self._graph.node:
            if node.output[0] in self._done:
                continue
            write = _WAYS.get(node.op_type)
            if write is None:
                raise EngineError(
                    f"{node.op_type} ({node.name}) is none of the operators that mindssd writes "
                    "for TensorFlow Lite; `--format onnx` has all"
                )
            write(self, node)
        outputs = {output.name: self._values.floats(output.name) for output in self._graph.output}
        if nms is not None:
            for output, number in outputs.items():
                self._file.rename(number, f"{output}/all")
            outputs = select(self._file, outputs[BOXES], outputs[SCORES], nms)
        for output, number in outputs.items():
            self._file.rename(number, output)
        return self._file.content([images], list(outputs.values()), name, notes)

    # What an operator needs to know.

    def _goes_on_in_int8(self, node: onnx.NodeProto) -> bool:
        """Whether something it takes is int8 already, and the ranges of all are known."""
        names = [name for name in node.input if name not in self._values.constants]
        return any(map(self._values.is_int8, names)) and all(
            name in self._values.ranges for name in (*names, node.output[0])
        )

    def _clip(self, node: onnx.NodeProto) -> tuple[Array | None, Array | None]:
        limits = [self._values.constants.get(name) for name in (*node.input[1:], "", "")]
        return limits[0], limits[1]

    def _activation(self, node: onnx.NodeProto) -> str | None:
        """The kind of a Relu or Clip that an operator of the file does too."""
        if node.op_type == "Relu":
            return "RELU"
        if node.op_type != "Clip":
            return None
        low, high = self._clip(node)
        if low is None or low != 0 or (high is not None and high != 6):
            return None
        return "RELU" if high is None else "RELU6"

    def _with_activation(self, node: onnx.NodeProto, int8: bool) -> tuple[str, int]:
        """An operator's output and activation: those of a Relu or Clip that alone uses it."""
        output = node.output[0]
        users = self._users.get(output, [])
        kind = self._activation(users[0]) if len(users) == 1 else None
        if kind is None or (int8 and users[0].output[0] not in self._values.ranges):
            return output, 0
        self._done.add(users[0].output[0])
        return users[0].output[0], _ACTIVATIONS[kind]

    # The operators.

    def _convolve(self, node: onnx.NodeProto) -> None:
        options = _attributes(node)
        weight = self._values.constants[node.input[1]]
        bias = np.zeros(len(weight), np.float32)
        if len(node.input) > 2:
            bias = self._values.constants[node.input[2]]
        groups = options.get("group", 1)
        depthwise = groups > 1 and weight.shape[1] == 1
        kernel = weight.transpose((1, 2, 3, 0) if depthwise else MAP_AXES)
        int8 = node.name in self._values.int8_layers
        image = self._values.taken(node.input[0], int8)
        image, window = self._window(node, image, weight.shape[2:], np.zeros(()))
        output, activation = self._with_activation(node, int8)
        if int8:
            weights = self._int8_weights(node, output, kernel, bias, 3 if depthwise else 0)
        else:
            weights = [
                self._values.constant(node.input[1], kernel),
                self._file.constant(f"{output}/bias", bias.astype(np.float32)),
            ]
        rows, columns = options.get("dilations", [1, 1])
        window |= {"dilationHFactor": rows, "dilationWFactor": columns}
        window |= {"fusedActivationFunction": activation, "table": "Conv2DOptions"}
        if depthwise:
            window |= {"table": "DepthwiseConv2DOptions", "depthMultiplier": len(weight) // groups}
        kind = "DEPTHWISE_CONV_2D" if depthwise else "CONV_2D"
        result = self._values.computed(output, is_map=True, int8=int8)
        self._file.operator(kind, [image, *weights], result, window)

    def _int8_weights(
        self, node: onnx.NodeProto, output: str, kernel: Array, bias: Array, axis: int
    ) -> list[int]:
        """Weights with a scale for each channel, and the bias in the product's steps."""
        step = self._values.scale(node.input[0]).scales[0]
        largest = np.abs(kernel).max(axis=tuple(i for i in range(4) if i != axis))
        scales = np.where(largest > 0, largest / 127, 1.0).astype(np.float64)
        shape = [-1 if i == axis else 1 for i in range(4)]
        weights = np.rint(kernel / scales.reshape(shape)).clip(-127, 127).astype(np.int8)
        limit = 2**31 - 1
        steps = np.rint(bias / (scales * step)).clip(-limit, limit).astype(np.int32)
        return [
            self._file.constant(f"{output}/weight", weights, Scale(tuple(scales), axis=axis)),
            self._file.constant(f"{output}/bias", steps, Scale(tuple(scales * step))),
        ]

    def _window(
        self, node: onnx.NodeProto, image: int, kernel: Sequence[int], filling: Array
    ) -> tuple[int, dict[str, Any]]:
        """The image, padded by an operator of its own where the file's padding is another."""
        options = _attributes(node)
        pads, strides = options.get("pads", [0, 0, 0, 0]), options.get("strides", [1, 1])
        reaches = [
            (size - 1) * step + 1
            for size, step in zip(kernel, options.get("dilations", [1, 1]), strict=True)
        ]
        window = {"padding": _VALID, "strideH": strides[0], "strideW": strides[1]}
        if not any(pads):
            return image, window
        sizes = self._file.shape(image)[1:3]
        same = [
            max((-(-size // stride) - 1) * stride + reach - size, 0)
            for size, stride, reach in zip(sizes, strides, reaches, strict=True)
        ]
        if pads == [*(total // 2 for total in same), *(total - total // 2 for total in same)]:
            return image, window | {"padding": _SAME}
        return self._widened(node.output[0], image, pads, filling), window

    def _widened(self, name: str, image: int, sides: Sequence[int], filling: Array) -> int:
        """An image with `sides`, top, left, bottom and right, of a number, in int8 the lowest."""
        top, left, bottom, right = sides
        batch, height, width, depth = self._file.shape(image)
        shape = (batch, height + top + bottom, width + left + right, depth)
        padded = self._file.like(image, f"{name}/padded", shape)
        widths = np.array([[0, 0], [top, bottom], [left, right], [0, 0]], np.int32)
        inputs = [image, self._file.constant(f"{name}/pads", widths)]
        if not filling.any():
            return self._file.operator("PAD", inputs, padded, {"table": "PadOptions"})
        lowest = np.array(-128, np.int8) if self._file.is_int8(image) else filling
        inputs.append(self._file.constant_like(image, f"{name}/filling", lowest))
        return self._file.operator("PADV2", inputs, padded, {"table": "PadV2Options"})

    def _pool(self, node: onnx.NodeProto) -> None:
        kernel = _attributes(node)["kernel_shape"]
        int8 = self._goes_on_in_int8(node)
        image = self._values.taken(node.input[0], int8)
        image, window = self._window(node, image, kernel, _LOWEST)
        window |= {"filterHeight": kernel[0], "filterWidth": kernel[1], "table": "Pool2DOptions"}
        if int8:
            self._values.keep_scale(node.output[0], of=node.input[0])
        result = self._values.computed(node.output[0], is_map=True, int8=int8)
        self._file.operator("MAX_POOL_2D", [image], result, window)

    def _mean(self, node: onnx.NodeProto) -> None:
        """GlobalAveragePool."""
        int8 = self._goes_on_in_int8(node)
        image = self._values.taken(node.input[0], int8)
        inputs = [image, self._values.integers(f"{node.output[0]}/axes", 1, 2)]
        result = self._values.computed(node.output[0], is_map=True, int8=int8)
        self._file.operator("MEAN", inputs, result, {"table": "ReducerOptions", "keepDims": True})

    def _elementwise(self, node: onnx.NodeProto) -> None:
        kind = _ELEMENTWISE[node.op_type]
        is_map = any(map(self._values.is_map, node.input))
        has_constant = any(name in self._values.constants for name in node.input)
        int8 = node.op_type in ("Add", "Mul") and not has_constant and self._goes_on_in_int8(node)
        inputs = [self._values.taken(name, int8, is_map) for name in node.input]
        output, options = node.output[0], None
        if kind in ("ADD", "SUB", "MUL"):
            output, activation = self._with_activation(node, int8)
            options = {
                "table": f"{kind.title()}Options",
                "fusedActivationFunction": activation,
            }
        elif kind in ("MAXIMUM", "MINIMUM"):
            options = {"table": "MaximumMinimumOptions"}
        result = self._values.computed(output, is_map, int8)
        self._file.operator(kind, inputs, result, options)

    def _hard_swish(self, node: onnx.NodeProto) -> None:
        int8 = self._goes_on_in_int8(node)
        taken = self._values.taken(node.input[0], int8)
        result = self._values.computed(node.output[0], self._values.is_map(node.input[0]), int8)
        self._file.operator("HARD_SWISH", [taken], result, {"table": "HardSwishOptions"})

    def _hard_sigmoid(self, node: onnx.NodeProto) -> None:
        """min(max(alpha x + beta, 0), 1), as relu6(6 alpha x + 6 beta) / 6."""
        options = _attributes(node)
        output, is_map = node.output[0], self._values.is_map(node.input[0])
        value = self._values.floats(node.input[0])
        six = {"alpha": 6 * options.get("alpha", 0.2), "beta": 6 * options.get("beta", 0.5)}
        for kind, number, activation in (
            ("MUL", six["alpha"], 0),
            ("ADD", six["beta"], _ACTIVATIONS["RELU6"]),
            ("MUL", 1 / 6, 0),
        ):
            factor = self._file.constant(f"{output}/{kind}", np.array(number, np.float32))
            result = self._values.computed(output, is_map)
            table = {"table": f"{kind.title()}Options", "fusedActivationFunction": activation}
            value = self._file.operator(kind, [value, factor], result, table)

    def _limit(self, node: onnx.NodeProto) -> None:
        """Relu or Clip that no other operator has taken in."""
        output, is_map = node.output[0], self._values.is_map(node.input[0])
        kind = self._activation(node)
        if kind is not None:
            int8 = self._goes_on_in_int8(node)
            taken = self._values.taken(node.input[0], int8)
            self._file.operator(kind, [taken], self._values.computed(output, is_map, int8))
            return
        value = self._values.floats(node.input[0])
        for kind, limit in zip(("MAXIMUM", "MINIMUM"), self._clip(node), strict=True):
            if limit is not None:
                number = self._file.constant(f"{output}/{kind}", limit.astype(np.float32))
                result = self._values.computed(output, is_map)
                options = {"table": "MaximumMinimumOptions"}
                value = self._file.operator(kind, [value, number], result, options)

    def _grow(self, node: onnx.NodeProto) -> None:
        """Resize, bilinear, by the rule that `portable` writes."""
        options = _attributes(node)
        mode = options.get("coordinate_transformation_mode", b"half_pixel")
        if options.get("mode") != b"linear" or mode not in (b"asymmetric", b"half_pixel"):
            raise EngineError(f"{node.name}: not written for TensorFlow Lite: Resize of {options}")
        output = node.output[0]
        height, width = self._values.shapes[output][2:]
        inputs = [
            self._values.floats(node.input[0]),
            self._values.integers(f"{output}/sizes", height, width),
        ]
        table = {"table": "ResizeBilinearOptions", "halfPixelCenters": mode == b"half_pixel"}
        result = self._values.computed(output, is_map=True)
        self._file.operator("RESIZE_BILINEAR", inputs, result, table)

    def _slice(self, node: onnx.NodeProto) -> None:
        output = node.output[0]
        starts, ends, axes, *steps = (self._values.constants[name] for name in node.input[1:])
        is_map = self._values.is_map(node.input[0])
        sizes = self._values.shapes[node.input[0]]
        begin, shape = [0] * len(sizes), list(self._values.shapes[output])
        if any((step != 1).any() for step in steps):
            raise EngineError(f"{node.name}: not written for TensorFlow Lite: Slice by steps")
        for start, _, axis in zip(starts, ends, axes, strict=True):
            begin[axis] = int(start) if start >= 0 else int(start) + sizes[axis]
        if is_map:
            begin, shape = ([values[axis] for axis in MAP_AXES] for values in (begin, shape))
        inputs = [
            self._values.floats(node.input[0]),
            self._values.integers(f"{output}/begin", *begin),
            self._values.integers(f"{output}/size", *shape),
        ]
        result = self._values.computed(output, is_map)
        self._file.operator("SLICE", inputs, result, {"table": "SliceOptions"})

    def _join(self, node: onnx.NodeProto) -> None:
        """Concat."""
        is_map = self._values.is_map(node.input[0])
        axis = _attributes(node)["axis"]
        inputs = [self._values.floats(name) for name in node.input]
        table = {
            "table": "ConcatenationOptions",
            "axis": MAP_AXES.index(axis) if is_map else axis,
        }
        result = self._values.computed(node.output[0], is_map)
        self._file.operator("CONCATENATION", inputs, result, table)

    def _transpose(self, node: onnx.NodeProto) -> None:
        perm = list(_attributes(node)["perm"])
        name, output = node.input[0], node.output[0]
        axes = list(MAP_AXES) if self._values.is_map(name) else list(range(len(perm)))
        order = [axes.index(axis) for axis in perm]
        if order == sorted(order):
            self._values.same(output, name, is_map=False)
            return
        inputs = [
            self._values.floats(name),
            self._values.integers(f"{output}/order", *order),
        ]
        result = self._values.computed(output, is_map=False)
        self._file.operator("TRANSPOSE", inputs, result, {"table": "TransposeOptions"})

    def _reshape(self, node: onnx.NodeProto) -> None:
        name, output = node.input[0], node.output[0]
        if self._values.is_map(name):
            raise EngineError(f"{node.name}: not written for TensorFlow Lite: a map reshaped")
        shape = self._values.shapes[output]
        inputs = [
            self._values.floats(name),
            self._values.integers(f"{output}/shape", *shape),
        ]
        result = self._values.computed(output, is_map=False)
        table = {"table": "ReshapeOptions", "newShape": list(shape)}
        self._file.operator("RESHAPE", inputs, result, table)

    def _same(self, node: onnx.NodeProto) -> None:
        name = node.input[0]
        self._values.same(node.output[0], name, self._values.is_map(name))


def _attributes(node: onnx.NodeProto) -> dict[str, Any]:
    return {a.name: helper.get_attribute_value(a) for a in node.attribute}


_ELEMENTWISE = {
    "Add": "ADD",
    "Exp": "EXP",
    "Max": "MAXIMUM",
    "Min": "MINIMUM",
    "Mul": "MUL",
    "Sigmoid": "LOGISTIC",
    "Sub": "SUB",
}
_WAYS: dict[str, Callable[[_Writer, onnx.NodeProto], None]] = {
    **dict.fromkeys(_ELEMENTWISE, _Writer._elementwise),
    "Clip": _Writer._limit,
    "Concat": _Writer._join,
    "Conv": _Writer._convolve,
    "GlobalAveragePool": _Writer._mean,
    "HardSigmoid": _Writer._hard_sigmoid,
    "HardSwish": _Writer._hard_swish,
    "Identity": _Writer._same,
    "MaxPool": _Writer._pool,
    "Relu": _Writer._limit,
    "Reshape": _Writer._reshape,
    "Resize": _Writer._grow,
    "Slice": _Writer._slice,
    "Transpose": _Writer._transpose,
}

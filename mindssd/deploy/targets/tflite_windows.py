"""Convolutions and pooling as TensorFlow Lite has them: windows that go over a map."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import onnx

from mindssd.deploy.onnx_nodes import attributes_of
from mindssd.deploy.targets.tflite_file import Scale
from mindssd.deploy.targets.tflite_network import Network
from mindssd.deploy.targets.tflite_values import MAP_AXES
from mindssd.types import Array

_SAME, _VALID = 0, 1  # the schema's Padding
_LOWEST = np.array(np.finfo(np.float32).min)


def convolve(net: Network, node: onnx.NodeProto) -> None:
    options = attributes_of(node)
    weight = net.values.constants[node.input[1]]
    bias = np.zeros(len(weight), np.float32)
    if len(node.input) > 2:
        bias = net.values.constants[node.input[2]]
    groups = options.get("group", 1)
    depthwise = groups > 1 and weight.shape[1] == 1
    kernel = weight.transpose((1, 2, 3, 0) if depthwise else MAP_AXES)
    int8 = node.name in net.values.int8_layers
    image = net.values.taken(node.input[0], int8)
    image, window = _window(net, node, image, weight.shape[2:], np.zeros(()))
    output, activation = net.with_activation(node, int8)
    if int8:
        weights = _int8_weights(net, node, output, kernel, bias, 3 if depthwise else 0)
    else:
        weights = [
            net.values.constant(node.input[1], kernel),
            net.file.constant(f"{output}/bias", bias.astype(np.float32)),
        ]
    rows, columns = options.get("dilations", [1, 1])
    window |= {"dilationHFactor": rows, "dilationWFactor": columns}
    window |= {"fusedActivationFunction": activation, "table": "Conv2DOptions"}
    if depthwise:
        window |= {"table": "DepthwiseConv2DOptions", "depthMultiplier": len(weight) // groups}
    kind = "DEPTHWISE_CONV_2D" if depthwise else "CONV_2D"
    result = net.values.computed(output, is_map=True, int8=int8)
    net.file.operator(kind, [image, *weights], result, window)


def _int8_weights(
    net: Network, node: onnx.NodeProto, output: str, kernel: Array, bias: Array, axis: int
) -> list[int]:
    """Weights with a scale for each channel, and the bias in the product's steps."""
    step = net.values.scale(node.input[0]).scales[0]
    largest = np.abs(kernel).max(axis=tuple(i for i in range(4) if i != axis))
    scales = np.where(largest > 0, largest / 127, 1.0).astype(np.float64)
    shape = [-1 if i == axis else 1 for i in range(4)]
    weights = np.rint(kernel / scales.reshape(shape)).clip(-127, 127).astype(np.int8)
    limit = 2**31 - 1
    steps = np.rint(bias / (scales * step)).clip(-limit, limit).astype(np.int32)
    return [
        net.file.constant(f"{output}/weight", weights, Scale(tuple(scales), axis=axis)),
        net.file.constant(f"{output}/bias", steps, Scale(tuple(scales * step))),
    ]


def _window(
    net: Network, node: onnx.NodeProto, image: int, kernel: Sequence[int], filling: Array
) -> tuple[int, dict[str, Any]]:
    """The image, padded by an operator of its own where the file's padding is another."""
    options = attributes_of(node)
    pads, strides = options.get("pads", [0, 0, 0, 0]), options.get("strides", [1, 1])
    reaches = [
        (size - 1) * step + 1
        for size, step in zip(kernel, options.get("dilations", [1, 1]), strict=True)
    ]
    window = {"padding": _VALID, "strideH": strides[0], "strideW": strides[1]}
    if not any(pads):
        return image, window
    sizes = net.file.shape(image)[1:3]
    same = [
        max((-(-size // stride) - 1) * stride + reach - size, 0)
        for size, stride, reach in zip(sizes, strides, reaches, strict=True)
    ]
    if pads == [*(total // 2 for total in same), *(total - total // 2 for total in same)]:
        return image, window | {"padding": _SAME}
    return _widened(net, node.output[0], image, pads, filling), window


def _widened(net: Network, name: str, image: int, sides: Sequence[int], filling: Array) -> int:
    """An image with `sides`, top, left, bottom and right, of a number, in int8 the lowest."""
    top, left, bottom, right = sides
    batch, height, width, depth = net.file.shape(image)
    shape = (batch, height + top + bottom, width + left + right, depth)
    padded = net.file.like(image, f"{name}/padded", shape)
    widths = np.array([[0, 0], [top, bottom], [left, right], [0, 0]], np.int32)
    inputs = [image, net.file.constant(f"{name}/pads", widths)]
    if not filling.any():
        return net.file.operator("PAD", inputs, padded, {"table": "PadOptions"})
    lowest = np.array(-128, np.int8) if net.file.is_int8(image) else filling
    inputs.append(net.file.constant_like(image, f"{name}/filling", lowest))
    return net.file.operator("PADV2", inputs, padded, {"table": "PadV2Options"})


def pool(net: Network, node: onnx.NodeProto) -> None:
    kernel = attributes_of(node)["kernel_shape"]
    int8 = net.goes_on_in_int8(node)
    image = net.values.taken(node.input[0], int8)
    image, window = _window(net, node, image, kernel, _LOWEST)
    window |= {"filterHeight": kernel[0], "filterWidth": kernel[1], "table": "Pool2DOptions"}
    if int8:
        net.values.keep_scale(node.output[0], of=node.input[0])
    result = net.values.computed(node.output[0], is_map=True, int8=int8)
    net.file.operator("MAX_POOL_2D", [image], result, window)


def mean(net: Network, node: onnx.NodeProto) -> None:
    """GlobalAveragePool."""
    int8 = net.goes_on_in_int8(node)
    image = net.values.taken(node.input[0], int8)
    inputs = [image, net.values.integers(f"{node.output[0]}/axes", 1, 2)]
    result = net.values.computed(node.output[0], is_map=True, int8=int8)
    net.file.operator("MEAN", inputs, result, {"table": "ReducerOptions", "keepDims": True})

"""The tensors of an ONNX graph as a TensorFlow Lite file has them: in floats, in int8, or both."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import onnx
from onnx import numpy_helper

from mindssd.deploy.targets.tflite_file import Scale, TFLiteFile
from mindssd.types import Array

MAP_AXES = (0, 2, 3, 1)
"""ONNX's axes of a map (B, C, H, W) in the file's order."""
_HALVED = 64
"""Constants of at least so many numbers are float16 where float16 is asked for."""


@dataclass(frozen=True)
class Int8:
    """Which convolutions are int8, and the ranges of what is computed, by ONNX's names."""

    layers: frozenset[str]
    ranges: Mapping[str, tuple[float, float]]


@dataclass
class _Value:
    """A tensor's numbers in the file."""

    is_map: bool
    """Whether its axes are those of `MAP_AXES`."""
    floats: int | None = None
    int8: int | None = None
    scale: Scale | None = None


class Values:
    """What has been computed, by ONNX's names; quantising and widening are written on demand."""

    def __init__(self, graph: onnx.GraphProto, half: bool, int8: Int8 | None) -> None:
        self.file = TFLiteFile()
        self.int8_layers = int8.layers if int8 else frozenset[str]()
        self.ranges = dict(int8.ranges) if int8 else {}
        for node in graph.node:
            self._follow_range(node)
        self.constants = {x.name: numpy_helper.to_array(x) for x in graph.initializer}
        self.shapes = {
            x.name: tuple(d.dim_value for d in x.type.tensor_type.shape.dim)
            for x in (*graph.value_info, *graph.input, *graph.output)
        }
        self._half = half
        self._constants: dict[str, int] = {}
        self._values: dict[str, _Value] = {}

    def _follow_range(self, node: onnx.NodeProto) -> None:
        """The range behind an activation, by the one before it; few were measured."""
        name, output = node.input[0], node.output[0]
        if node.op_type == "HardSigmoid" and self.ranges:
            self.ranges[output] = (0.0, 1.0)
        elif name in self.ranges and output not in self.ranges:
            _, high = self.ranges[name]
            if node.op_type == "Relu":
                self.ranges[output] = (0.0, max(high, 0.0))
            elif node.op_type == "HardSwish":  # whose least is at -1.5
                self.ranges[output] = (-0.375, max(high, 0.0))

    def computed(self, name: str, is_map: bool, int8: bool = False) -> int:
        """A new tensor of the file for this one of the graph."""
        shape = self.shapes[name]
        if is_map:
            shape = tuple(shape[axis] for axis in MAP_AXES)
        value = self._values.setdefault(name, _Value(is_map))
        if int8:
            value.scale = value.scale or Scale.of_range(*self.ranges[name])
            value.int8 = self.file.tensor(name, shape, "INT8", value.scale)
            return value.int8
        value.floats = self.file.tensor(name, shape, "FLOAT32")
        return value.floats

    def same(self, name: str, other: str, is_map: bool) -> None:
        """Another name of what is there, whose axes are called otherwise."""
        value = self._values[other]
        self._values[name] = _Value(is_map, value.floats, value.int8, value.scale)
        if other in self.ranges:
            self.ranges.setdefault(name, self.ranges[other])

    def is_map(self, name: str) -> bool:
        return name in self._values and self._values[name].is_map

    def is_int8(self, name: str) -> bool:
        """Whether a tensor is there in int8, though it may be in floats too."""
        return name in self._values and self._values[name].int8 is not None

    def keep_scale(self, name: str, of: str) -> None:
        """The int8 of one tensor as of another, as those operators need that move numbers alone."""
        self._values[name] = _Value(self.is_map(of), scale=self._values[of].scale)

    def taken(self, name: str, int8: bool, like_map: bool = False) -> int:
        """A tensor to compute with; `like_map` is how a constant's four axes are to be."""
        if name in self.constants:
            value = self.constants[name]
            if like_map and value.ndim == len(MAP_AXES):
                value = value.transpose(MAP_AXES)
            return self.constant(name, value)
        return self._in_int8(name) if int8 else self.floats(name)

    def floats(self, name: str) -> int:
        """A computed tensor in float32."""
        value = self._values[name]
        if value.floats is None:
            assert value.int8 is not None
            shape = self.file.shape(value.int8)
            value.floats = self.file.tensor(f"{name}/floats", shape, "FLOAT32")
            self.file.operator("DEQUANTIZE", [value.int8], value.floats)
        return value.floats

    def _in_int8(self, name: str) -> int:
        value = self._values[name]
        if value.int8 is None:
            assert value.floats is not None
            value.scale = Scale.of_range(*self.ranges[name])
            shape = self.file.shape(value.floats)
            value.int8 = self.file.tensor(f"{name}/int8", shape, "INT8", value.scale)
            self.file.operator("QUANTIZE", [value.floats], value.int8)
        return value.int8

    def scale(self, name: str) -> Scale:
        """How the int8 of a tensor stands for numbers."""
        scale = self._values[name].scale
        assert scale is not None
        return scale

    def constant(self, name: str, value: Array) -> int:
        """A constant in float32, or where that is asked for as float16 that is widened.

        Those of a name are the same, and are written once.
        """
        if name not in self._constants:
            self._constants[name] = self._constant(name, value)
        return self._constants[name]

    def _constant(self, name: str, value: Array) -> int:
        if not self._half or value.size < _HALVED:
            return self.file.constant(name, value.astype(np.float32))
        halved = self.file.constant(f"{name}/float16", value.astype(np.float16))
        widened = self.file.tensor(name, value.shape, "FLOAT32")
        return self.file.operator("DEQUANTIZE", [halved], widened)

    def integers(self, name: str, *numbers: int) -> int:
        return self.file.constant(name, np.array(numbers, np.int32))

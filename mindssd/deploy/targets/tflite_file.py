"""A TensorFlow Lite file, put together tensor by tensor and operator by operator.

The schema is the one that the runtime brings (`ai_edge_litert.schema_py_generated`), so that
nothing is installed for writing that is not there for running.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from mindssd.deploy.sessions.litert_session import import_schema
from mindssd.types import Array

_VERSION, _IDENTIFIER = 3, b"TFL3"
_ALIGNMENT = 16
"""Bytes, at which the format has the data of its buffers begin."""
_INT8_VERSIONS = {"CONV_2D": 3, "DEPTHWISE_CONV_2D": 3, "DEQUANTIZE": 2}
"""The version of an operator that first takes int8; of all others it is 2, or 1."""
_INT8_FROM_1 = frozenset({"QUANTIZE", "HARD_SWISH"})


@dataclass(frozen=True)
class Scale:
    """How int8 stands for numbers: `(value - zero) * scale`; of weights one for each channel."""

    scales: tuple[float, ...]
    zero: int = 0
    axis: int = 0

    @classmethod
    def of_range(cls, low: float, high: float) -> "Scale":
        """256 steps over a range, one of which is 0."""
        low, high = min(low, 0.0), max(high, 0.0)
        step = (high - low) / 255 or 1.0
        return cls((step,), round(-128 - low / step))


class TFLiteFile:
    """One graph; tensors are known by their numbers."""

    def __init__(self) -> None:
        self._schema = import_schema()
        self._buffers: list[Any] = [self._schema.BufferT()]  # the empty one, of what is computed
        self._tensors: list[Any] = []
        self._operators: list[Any] = []
        self._codes: dict[tuple[str, int], int] = {}

    def tensor(self, name: str, shape: Sequence[int], kind: str, scale: Scale | None = None) -> int:
        """A tensor that is computed; `kind` is the schema's: FLOAT32, INT8 and so on."""
        return self._tensor(name, shape, kind, scale, 0)

    def constant(self, name: str, value: Array, scale: Scale | None = None) -> int:
        """A tensor that is in the file: float32, float16, int32 or int8."""
        # `ascontiguousarray` would make a scalar a vector.
        data = np.frombuffer(value.tobytes(), np.uint8)
        return self._tensor(name, value.shape, value.dtype.name.upper(), scale, self._buffer(data))

    def shape(self, number: int) -> tuple[int, ...]:
        return tuple(self._tensors[number].shape)

    def is_int8(self, number: int) -> bool:
        kind: int = self._schema.TensorType.INT8
        return bool(self._tensors[number].type == kind)

    def like(self, number: int, name: str, shape: Sequence[int]) -> int:
        """A tensor that is computed, of the same kind and scale as another."""
        return self._like(number, name, shape, 0)

    def constant_like(self, number: int, name: str, value: Array) -> int:
        data = np.frombuffer(value.tobytes(), np.uint8)
        return self._like(number, name, value.shape, self._buffer(data))

    def rename(self, number: int, name: str) -> None:
        self._tensors[number].name = name

    def operator(
        self,
        kind: str,
        inputs: Sequence[int],
        output: int,
        options: Mapping[str, Any] | None = None,
        others: Sequence[int] = (),
    ) -> int:
        """Append an operator, by its name in the schema, and give its first output back.

        `options` are those of the schema's table for it, beside `table`, which is that table. An
        operator that is none of the schema's takes its options as flexbuffers have them. `others`
        are outputs behind the first.
        """
        from flatbuffers import flexbuffers

        schema = self._schema
        operator = schema.OperatorT()
        operator.inputs, operator.outputs = list(inputs), [output, *others]
        in_int8 = any(self._tensors[i].type == schema.TensorType.INT8 for i in (*inputs, output))
        in_float16 = any(self._tensors[i].type == schema.TensorType.FLOAT16 for i in inputs)
        version = 3 if in_float16 else 1
        if in_int8 and kind not in _INT8_FROM_1:
            version = _INT8_VERSIONS.get(kind, 2)
        operator.opcodeIndex = self._codes.setdefault((kind, version), len(self._codes))
        values = dict(options or {})
        if self._builtin(kind) is None:
            operator.customOptions = np.frombuffer(flexbuffers.Dumps(values), np.uint8)
        elif values:
            table = values.pop("table")
            operator.builtinOptionsType = getattr(schema.BuiltinOptions, table)
            operator.builtinOptions = getattr(schema, f"{table}T")()
            for name, value in values.items():
                setattr(operator.builtinOptions, name, value)
        self._operators.append(operator)
        return output

    def content(
        self, inputs: Sequence[int], outputs: Sequence[int], name: str, notes: Mapping[str, bytes]
    ) -> bytes:
        """The file's bytes, with `notes` as its metadata."""
        import flatbuffers

        schema = self._schema
        graph = schema.SubGraphT()
        graph.name, graph.tensors, graph.operators = name, self._tensors, self._operators
        graph.inputs, graph.outputs = list(inputs), list(outputs)
        model = schema.ModelT()
        model.version, model.description, model.subgraphs = _VERSION, "mindssd", [graph]
        model.operatorCodes = [self._code(kind, version) for kind, version in self._codes]
        model.metadata = []
        for key, note in notes.items():
            entry = schema.MetadataT()
            entry.name, entry.buffer = key, self._buffer(np.frombuffer(note, np.uint8))
            model.metadata.append(entry)
        model.buffers = self._buffers
        size = sum(len(buffer.data) for buffer in self._buffers if buffer.data is not None)
        builder = flatbuffers.Builder(size + 2**20)
        builder.Finish(model.Pack(builder), file_identifier=_IDENTIFIER)
        return bytes(builder.Output())

    def _builtin(self, kind: str) -> int | None:
        """The schema's number of an operator; None for one that is none of its."""
        number: int | None = getattr(self._schema.BuiltinOperator, kind, None)
        return number

    def _code(self, kind: str, version: int) -> Any:
        code = self._schema.OperatorCodeT()
        code.builtinCode = self._builtin(kind)
        if code.builtinCode is None:
            code.builtinCode, code.customCode = self._schema.BuiltinOperator.CUSTOM, kind
        # The old field, of a byte; 127 says to look at the new one.
        code.deprecatedBuiltinCode = min(code.builtinCode, 127)
        code.version = version
        return code

    def _tensor(
        self, name: str, shape: Sequence[int], kind: str, scale: Scale | None, buffer: int
    ) -> int:
        tensor = self._schema.TensorT()
        tensor.name, tensor.shape, tensor.buffer = name, [int(size) for size in shape], buffer
        tensor.type = getattr(self._schema.TensorType, kind)
        if scale is not None:
            tensor.quantization = self._schema.QuantizationParametersT()
            tensor.quantization.scale = list(scale.scales)
            tensor.quantization.zeroPoint = [scale.zero] * len(scale.scales)
            tensor.quantization.quantizedDimension = scale.axis
        self._tensors.append(tensor)
        return len(self._tensors) - 1

    def _like(self, number: int, name: str, shape: Sequence[int], buffer: int) -> int:
        copy = self._tensor(name, shape, "FLOAT32", None, buffer)
        other, tensor = self._tensors[number], self._tensors[copy]
        tensor.type, tensor.quantization = other.type, other.quantization
        return copy

    def _buffer(self, data: Array) -> int:
        buffer = self._schema.BufferT()
        buffer.data = data
        # Flatbuffers' Python code knows no alignment but a type's own.
        buffer.Pack = lambda builder: _pack(self._schema, builder, data)
        self._buffers.append(buffer)
        return len(self._buffers) - 1


def _pack(schema: Any, builder: Any, data: Array) -> int:
    builder.StartVector(1, len(data), _ALIGNMENT)
    builder.head -= len(data)
    builder.Bytes[builder.Head() : builder.Head() + len(data)] = data.tobytes()
    vector = builder.EndVector()
    schema.BufferStart(builder)
    schema.BufferAddData(builder, vector)
    end: int = schema.BufferEnd(builder)
    return end

"""What an ONNX file says of itself, read without ONNX, protobuf or a runtime.

A file is looked at before any runtime's parser sees it: is it one of ours, whole, and does it point
at other files? Only the lengths of a message's fields are followed, so weights cost nothing. The
field numbers are those of `onnx.proto` (IR version 10).
"""

import os
from collections.abc import Iterator
from pathlib import Path

from mindssd.errors import WeightsError

_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5
_MODEL_GRAPH, _MODEL_METADATA, _MODEL_FUNCTIONS = 7, 14, 25
_ENTRY_KEY, _ENTRY_VALUE = 1, 2
_TENSOR_EXTERNAL_DATA = 13

# Where tensors may stand, message by message: field number to the kind of message in it.
_WITH_TENSORS: dict[str, dict[int, str]] = {
    "model": {_MODEL_GRAPH: "graph", _MODEL_FUNCTIONS: "function"},
    "graph": {1: "node", 5: "tensor", 15: "sparse"},
    "function": {7: "node", 11: "attribute"},
    "node": {5: "attribute"},
    "attribute": {5: "tensor", 10: "tensor", 6: "graph", 11: "graph", 22: "sparse", 23: "sparse"},
    "sparse": {1: "tensor", 2: "tensor"},
}
_MAX_DEPTH = 32


class _DamagedError(ValueError):
    """The bytes are no protobuf message."""


def read_metadata(path: Path, content: bytes) -> dict[str, str]:
    """The file's metadata by key; WeightsError where the bytes are no whole ONNX file."""
    found: dict[str, str] = {}
    has_graph = False
    try:
        for number, value in _fields(memoryview(content)):
            has_graph |= number == _MODEL_GRAPH and isinstance(value, memoryview)
            if number == _MODEL_METADATA and isinstance(value, memoryview):
                key, text = _entry(value)
                found[key] = text
    except ValueError as error:  # UnicodeDecodeError is one
        raise WeightsError(
            f"{path}: is not an ONNX file, or truncated or damaged ({error}); export it again"
        ) from error
    if not has_graph:
        raise WeightsError(f"{path}: is not an ONNX file; `mindssd export` writes one")
    return found


def external_files(path: Path, content: bytes) -> list[Path]:
    """The other files that hold the model's tensors: they must lie in its folder, or WeightsError.

    As ONNX has it, their names are relative to the folder. Links are followed before that is
    judged, so that none leads out of it.
    """
    folder = path.resolve().parent
    found: dict[Path, None] = {}
    for location in _locations(memoryview(content), "model", 0):
        target = Path(os.path.realpath(folder / location))
        if Path(location).is_absolute() or not target.is_relative_to(folder):
            raise WeightsError(
                f"{path}: keeps tensors in {location!r}, outside its folder; such a file is not "
                "opened: export the model again, into one file"
            )
        if not target.is_file():
            raise WeightsError(f"{path}: keeps tensors in {location!r}, which is not beside it")
        found[target] = None
    return list(found)


def _locations(message: memoryview, kind: str, depth: int) -> Iterator[str]:
    if depth > _MAX_DEPTH:
        raise _DamagedError(f"messages within messages, {depth} deep")
    for number, value in _fields(message):
        if not isinstance(value, memoryview):
            continue
        if kind == "tensor":
            if number == _TENSOR_EXTERNAL_DATA:
                key, text = _entry(value)
                if key == "location":
                    yield text
        elif number in _WITH_TENSORS[kind]:
            yield from _locations(value, _WITH_TENSORS[kind][number], depth + 1)


def _entry(message: memoryview) -> tuple[str, str]:
    """A key and its text: ONNX's StringStringEntryProto."""
    entry = dict(_fields(message))
    key, text = (entry.get(number, memoryview(b"")) for number in (_ENTRY_KEY, _ENTRY_VALUE))
    if isinstance(key, int) or isinstance(text, int):
        raise _DamagedError("an entry is no text")
    return bytes(key).decode(), bytes(text).decode()


def _fields(message: memoryview) -> Iterator[tuple[int, int | memoryview]]:
    """Each field of a protobuf message: its number, and an integer or its bytes."""
    position = 0
    while position < len(message):
        key, position = _varint(message, position)
        number, wire_type = key >> 3, key & 7
        if number == 0:
            raise _DamagedError("a field of number 0")
        if wire_type == _VARINT:
            value, position = _varint(message, position)
            yield number, value
            continue
        if wire_type == _BYTES:
            length, position = _varint(message, position)
        elif wire_type in (_FIXED32, _FIXED64):
            length = 4 if wire_type == _FIXED32 else 8
        else:
            raise _DamagedError(f"a field of wire type {wire_type}")
        if position + length > len(message):
            raise _DamagedError(f"{length} bytes are announced and {len(message) - position} left")
        yield number, message[position : position + length]
        position += length


def _varint(message: memoryview, position: int) -> tuple[int, int]:
    number = 0
    for shift in range(0, 70, 7):
        if position >= len(message):
            raise _DamagedError("it ends within a number")
        byte = message[position]
        position += 1
        number |= (byte & 0x7F) << shift
        if byte < 0x80:
            return number, position
    raise _DamagedError("a number of more than 64 bits")

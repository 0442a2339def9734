"""Read and write MindSpore's `.ckpt` without MindSpore.

The format, read off MindSpore 2.10.0's `checkpoint.proto`:

    message Checkpoint {
      message Value {
        required string tag = 1;
        oneof value { TensorProto tensor = 2; MapTensorProto maptensor = 3; }
      }
      repeated Value value = 1;
    }
    message TensorProto {
      repeated int64 dims = 1; required string tensor_type = 2; required bytes tensor_content = 3;
    }

A tensor of more than 512 MB comes as several consecutive values with one tag, each with the dims of
the whole. With `crc_check=True` MindSpore appends the seven bytes `crc_num` and a CRC-32 of all
before them, in ten bytes. A file cut off between two values still is a valid message: such a cut
shows only when the names are compared with a network's (`weights/transfer.py`).
"""

import binascii
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from mindssd.errors import WeightsError
from mindssd.types import Array
from mindssd.weights.atomic import atomic_writer, read_bytes

_TENSOR_TYPES: dict[str, str] = {
    "Bool": "?",
    "Int8": "<i1",
    "Int16": "<i2",
    "Int32": "<i4",
    "Int64": "<i8",
    "UInt8": "<u1",
    "UInt16": "<u2",
    "UInt32": "<u4",
    "UInt64": "<u8",
    "Float16": "<f2",
    "BFloat16": "<u2",  # the upper half of a float32; NumPy has no type of its own for it
    "Float32": "<f4",
    "Float64": "<f8",
    "str": "<u4",  # UTF-32, as NumPy stores `U`
}
_TYPE_NAMES = {
    np.dtype(code): name for name, code in _TENSOR_TYPES.items() if name not in ("BFloat16", "str")
}
_VALUE_FIELD = 0x0A  # field 1, length-delimited
_CHECKSUM_MARK = b"crc_num"
_CHECKSUM_BYTES = 10
_ENCRYPTED_MARKS = (b"\xd8^:\x7f", b"\xd9^:\x7f", b"\xda^:\x7f")  # AES-GCM, AES-CBC, SM4-CBC
_ZIP_MARK = b"PK\x03\x04"
SLICE_BYTES = 512 * 1024 * 1024
_AGAIN = "copy or download it again"


@cache
def _value_class() -> Any:
    """The message class of `Checkpoint.Value`, in a pool of its own.

    MindSpore registers its `checkpoint.proto` in protobuf's default pool, where a second definition
    of the same name would clash.
    """
    from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

    kinds = descriptor_pb2.FieldDescriptorProto
    file = descriptor_pb2.FileDescriptorProto(name="checkpoint.proto", syntax="proto2")
    tensor = file.message_type.add(name="TensorProto")
    tensor.field.add(name="dims", number=1, type=kinds.TYPE_INT64, label=kinds.LABEL_REPEATED)
    for name, number, kind in (
        ("tensor_type", 2, kinds.TYPE_STRING),
        ("tensor_content", 3, kinds.TYPE_BYTES),
    ):
        tensor.field.add(name=name, number=number, type=kind, label=kinds.LABEL_REQUIRED)
    map_tensor = file.message_type.add(name="MapTensorProto")
    map_tensor.field.add(
        name="tensor",
        number=1,
        type=kinds.TYPE_MESSAGE,
        label=kinds.LABEL_REPEATED,
        type_name=".TensorProto",
    )
    value = file.message_type.add(name="Value")
    value.field.add(name="tag", number=1, type=kinds.TYPE_STRING, label=kinds.LABEL_REQUIRED)
    value.oneof_decl.add(name="value")
    for number, name in ((2, "tensor"), (3, "maptensor")):
        value.field.add(
            name=name,
            number=number,
            type=kinds.TYPE_MESSAGE,
            label=kinds.LABEL_OPTIONAL,
            type_name=".TensorProto" if name == "tensor" else ".MapTensorProto",
            oneof_index=0,
        )
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName("Value"))


@dataclass
class _Pieces:
    """One tensor while its values are being collected."""

    dims: tuple[int, ...]
    tensor_type: str
    contents: list[bytes] = field(default_factory=list)


def read_checkpoint(path: str | Path) -> dict[str, Array]:
    """Read every tensor of a `.ckpt`, in the file's order, under the file's names.

    BFloat16 becomes float32, a scalar has shape (), a string is a 0-d array of type `U`. Raises
    WeightsError that names the file and the way out where it is missing, empty, truncated, damaged,
    encrypted or not a MindSpore checkpoint.
    """
    path = Path(path)
    content = _without_checksum(path, read_bytes(path))
    _refuse_other_formats(path, content)
    collected: dict[str, _Pieces] = {}
    for value in _values(path, content):
        if value.WhichOneof("value") != "tensor":
            raise WeightsError(
                f"{path}: {value.tag!r} is a MapParameter (a hash table), which no detector has"
            )
        tensor = value.tensor
        found = collected.setdefault(value.tag, _Pieces(tuple(tensor.dims), tensor.tensor_type))
        if (found.dims, found.tensor_type) != (tuple(tensor.dims), tensor.tensor_type):
            raise WeightsError(f"{path}: {value.tag!r} comes twice with unlike shapes; {_AGAIN}")
        found.contents.append(tensor.tensor_content)
    return {tag: _to_array(path, tag, pieces) for tag, pieces in collected.items()}


def _without_checksum(path: Path, content: bytes) -> bytes:
    """Check and cut off MindSpore's CRC, if the file has one."""
    start = len(content) - len(_CHECKSUM_MARK) - _CHECKSUM_BYTES
    if start < 0 or content[start:-_CHECKSUM_BYTES] != _CHECKSUM_MARK:
        return content
    expected = int.from_bytes(content[-_CHECKSUM_BYTES:], "big")
    content = content[:start]
    if binascii.crc32(content) != expected:
        raise WeightsError(f"{path}: is damaged: its checksum does not fit; {_AGAIN}")
    return content


def _refuse_other_formats(path: Path, content: bytes) -> None:
    if not content:
        raise WeightsError(f"{path}: is empty: writing it was interrupted; {_AGAIN}")
    if content[:4] in _ENCRYPTED_MARKS:
        raise WeightsError(
            f"{path}: is encrypted; decrypt it first with MindSpore: "
            "ms.save_checkpoint(ms.load_checkpoint(PATH, dec_key=KEY), NEW_PATH)"
        )
    if content[:4] == _ZIP_MARK:
        raise WeightsError(f"{path}: is a zip archive (PyTorch's?), not a MindSpore checkpoint")
    if content[0] != _VALUE_FIELD:
        raise WeightsError(
            f"{path}: is neither a mindssd model nor a MindSpore checkpoint; its first byte is "
            f"{content[0]:#04x}"
        )


def _values(path: Path, content: bytes) -> Iterator[Any]:
    """Yield the file's values one by one: protobuf itself stops at 2 GB for a whole message."""
    from google.protobuf.message import DecodeError

    value_class = _value_class()
    position, num_values = 0, 0
    while position < len(content):
        length, start = _read_varint(content, position + 1)
        if content[position] != _VALUE_FIELD or length is None or start + length > len(content):
            raise WeightsError(
                f"{path}: breaks off or is damaged after {num_values} tensors, at byte {position} "
                f"of {len(content)}; {_AGAIN}"
            )
        damaged = WeightsError(
            f"{path}: is damaged after {num_values} tensors, at byte {position}; {_AGAIN}"
        )
        try:
            value = value_class.FromString(content[start : start + length])
            is_text = isinstance(value.tag, str)
        except (DecodeError, UnicodeDecodeError) as error:
            raise damaged from error
        if not is_text:  # protobuf's C implementation gives bytes for a name that is not UTF-8
            raise damaged
        yield value
        position, num_values = start + length, num_values + 1


def _read_varint(content: bytes, position: int) -> tuple[int | None, int]:
    """Protobuf's integer of variable length at `position`, and its end; None if it breaks off."""
    number = 0
    for index in range(10):
        if position + index >= len(content):
            break
        byte = content[position + index]
        number |= (byte & 0x7F) << (7 * index)
        if byte < 0x80:
            return number, position + index + 1
    return None, position


def _varint(number: int) -> bytes:
    """Inverse of `_read_varint`."""
    encoded = bytearray()
    while number >= 0x80:
        encoded.append(number & 0x7F | 0x80)
        number >>= 7
    encoded.append(number)
    return bytes(encoded)


def _to_array(path: Path, tag: str, pieces: _Pieces) -> Array:
    if pieces.tensor_type not in _TENSOR_TYPES:
        raise WeightsError(
            f"{path}: {tag!r} has type {pieces.tensor_type!r}; mindssd reads "
            f"{', '.join(_TENSOR_TYPES)}"
        )
    dtype = np.dtype(_TENSOR_TYPES[pieces.tensor_type])
    content = b"".join(pieces.contents)
    if pieces.tensor_type == "str":
        return np.array(content[: len(content) // 4 * 4].decode("utf-32-le", errors="replace"))
    dims = pieces.dims
    if dims == (0,) and len(content) == dtype.itemsize:
        dims = ()  # how MindSpore before 2.0 wrote a scalar
    expected = math.prod(dims) * dtype.itemsize
    if len(content) != expected or min(dims, default=0) < 0:
        raise WeightsError(
            f"{path}: {tag!r} holds {len(content)} bytes; its shape {dims} of {pieces.tensor_type} "
            f"needs {expected}: the file is truncated or damaged; {_AGAIN}"
        )
    array = np.frombuffer(content, dtype).reshape(dims)
    if pieces.tensor_type == "BFloat16":
        return (array.astype(np.uint32) << 16).view(np.float32)
    return array.astype(dtype.newbyteorder("="))  # a copy: `frombuffer` is read-only


def write_checkpoint(
    path: str | Path, parameters: Mapping[str, Array], slice_bytes: int = SLICE_BYTES
) -> None:
    """Write arrays as a `.ckpt` that `mindspore.load_checkpoint` reads, atomically.

    Inverse of `read_checkpoint` for every NumPy number type and bool; another type, or no array at
    all, is a WeightsError. Tensors above `slice_bytes` are split as MindSpore splits them.
    """
    path = Path(path)
    if not parameters:
        raise WeightsError(f"{path}: there are no parameters to write")
    for name, array in parameters.items():
        if array.dtype.newbyteorder("=") not in _TYPE_NAMES:
            raise WeightsError(f"{path}: {name!r} has type {array.dtype}; no .ckpt can hold it")
    with atomic_writer(path) as file:
        for name, array in parameters.items():
            for value in _to_values(name, array, slice_bytes):
                encoded = value.SerializeToString()
                file.write(bytes([_VALUE_FIELD]) + _varint(len(encoded)) + encoded)


def _to_values(name: str, array: Array, slice_bytes: int) -> Iterator[Any]:
    dtype = array.dtype.newbyteorder("=")
    content = array.astype(dtype.newbyteorder("<"), copy=False).tobytes()
    for start in range(0, max(len(content), 1), slice_bytes):
        value = _value_class()(tag=name)
        value.tensor.dims.extend(array.shape)
        value.tensor.tensor_type = _TYPE_NAMES[dtype]
        value.tensor.tensor_content = content[start : start + slice_bytes]
        yield value

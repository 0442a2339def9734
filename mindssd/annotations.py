"""COCO annotation files decoded into the columns that a reader asks for."""

import json
from pathlib import Path
from typing import Annotated, TypeVar

import msgspec

from mindssd.errors import DatasetError

Id = Annotated[int, msgspec.Meta(ge=-(2**63) + 1, le=2**63 - 1)]
"""A number that NumPy's int64 holds; 1.0 and "1", as some tools write ids, are 1 too."""

_Decoded = TypeVar("_Decoded")


def decode_annotations(path: Path, kind: type[_Decoded]) -> _Decoded:
    """Decode a JSON file as the msgspec structure `kind`; other keys are passed over.

    DatasetError, in one line that names the file and place, where it cannot be read, is not UTF-8,
    not JSON or not of this structure.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise DatasetError(f"{path}: cannot be read: {error.strerror or error}") from error
    try:
        try:
            return msgspec.json.decode(data, type=kind, strict=False)
        except msgspec.ValidationError:
            raise
        except msgspec.DecodeError:
            # Python's own decoder, ten times slower, also takes the NaN and Infinity that its
            # encoder writes for a box that is not finite.
            return msgspec.convert(json.loads(data), kind, strict=False)
    except msgspec.ValidationError as error:
        raise DatasetError(f"{path}: not COCO annotations: {error} (docs/data.md)") from error
    except UnicodeDecodeError as error:
        raise DatasetError(
            f"{path}: not UTF-8 ({error.object[error.start : error.start + 1]!r} is none); "
            "save it as UTF-8, as with `iconv -f latin1 -t utf-8`"
        ) from error
    except ValueError as error:
        raise DatasetError(f"{path}: not JSON, or cut short: {error}") from error
    except RecursionError as error:
        raise DatasetError(f"{path}: nested too deeply for COCO annotations") from error

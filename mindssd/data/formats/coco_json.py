"""COCO's JSON decoded: what detection needs, of whatever types a file has there.

Segmentations, nine tenths of COCO's own file, are skipped over.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from mindssd.data.formats.json_kinds import read_json
from mindssd.errors import DatasetError
from mindssd.types import Array


# Not traced by the garbage collector (gc=False): a million of them would slow each collection, and
# none can be part of a cycle.
class CocoImage(msgspec.Struct, gc=False):
    id: Any = None
    file_name: Any = None
    width: Any = None
    height: Any = None


class CocoAnnotation(msgspec.Struct, gc=False):
    image_id: Any = None
    category_id: Any = None
    bbox: Any = None
    area: Any = None
    iscrowd: Any = None


class CocoCategory(msgspec.Struct, gc=False):
    id: Any = None
    name: Any = None
    supercategory: Any = None


class CocoFile(msgspec.Struct):
    images: list[CocoImage]
    annotations: list[CocoAnnotation | None]
    categories: list[CocoCategory]


def decode(path: Path) -> CocoFile:
    """Decode an annotation file; other keys are passed over.

    DatasetError, in one line that names the file and place, where it cannot be read, is not UTF-8,
    not JSON or not three lists of objects.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise DatasetError(f"{path}: cannot be read: {error.strerror or error}") from error
    try:
        return read_json(data, CocoFile)
    except msgspec.ValidationError as error:
        raise DatasetError(f"{path}: not COCO annotations: {error} (docs/data.md)") from error
    except UnicodeDecodeError as error:
        raise DatasetError(
            f"{path}: not UTF-8 (at the byte {error.object[error.start : error.start + 1]!r}); "
            "save it as UTF-8, as with `iconv -f latin1 -t utf-8`"
        ) from error
    except ValueError as error:
        raise DatasetError(f"{path}: not JSON, or cut short: {error}") from error
    except RecursionError as error:
        raise DatasetError(f"{path}: nested too deeply for COCO annotations") from error


def number(value: Any) -> float | None:
    """A number, also written as text; None where it is none. Infinite where no float holds it."""
    if type(value) is float or type(value) is int or isinstance(value, str):
        try:
            return float(value)
        except OverflowError:
            return float("inf")
        except ValueError:
            return None
    return None


def numbers(values: Sequence[Any]) -> Array:
    """Numbers as a column (n,) float64, NaN for what is none."""
    if set(map(type, values)) <= {float, int}:
        try:
            return np.fromiter(values, np.float64, len(values))
        except OverflowError:
            pass
    found = map(number, values)
    return np.fromiter((np.nan if x is None else x for x in found), np.float64, len(values))


def crowds(values: Sequence[Any]) -> Array:
    """Whether each annotation is a crowd, (n,) bool: what is absent, null or 0 is none."""
    if set(map(type, values)) <= {int, bool, float, type(None)}:
        return np.fromiter(map(bool, values), np.bool_, len(values))
    none = ("", "0", "false", "no", "none", "null")
    return np.fromiter(
        (v.strip().casefold() not in none if isinstance(v, str) else bool(v) for v in values),
        np.bool_,
        len(values),
    )

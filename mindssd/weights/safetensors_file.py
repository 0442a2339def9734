"""A trained model as one self-describing file: safetensors with its description in the metadata.

Any safetensors reader opens it. The metadata is a map of strings; ours holds `format` = "mindssd"
and one JSON text for each field of `ModelMetadata`, so that a person can read it too.
"""

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from mindssd.config.versions import FORMAT_VERSION, KEY, read_version
from mindssd.errors import WeightsError
from mindssd.types import Array, ImageSize
from mindssd.weights.atomic import atomic_writer, describe_read_error

FORMAT = "mindssd"

_LATER = (KEY, "origin", "thresholds", "thresholds_by", "temperature")
"""What a description of before has not."""


@dataclass(frozen=True)
class ModelMetadata:
    """All that prediction needs beside the parameters, and where they come from."""

    config: dict[str, Any]
    """The resolved configuration of the run, as plain values of `format_version`."""
    class_names: tuple[str, ...]
    category_ids: tuple[int, ...]
    """The annotation file's id of each class, in the order of `class_names`."""
    image_size: ImageSize
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    """Normalisation in 0..1 units: (x / 255 - mean) / std."""
    grids: tuple[tuple[int, int], ...]
    """(rows, columns) of each level, so that default boxes need no network."""
    metrics: dict[str, float] = field(default_factory=dict)
    """What the evaluation of these parameters gave; empty where there was none. NaN is kept."""
    engine: str = ""
    origin: dict[str, str] = field(default_factory=dict)
    """Of a model that was trained elsewhere: its source, licence and what else is known."""
    thresholds: dict[str, float] = field(default_factory=dict)
    """By each class's name the score above which its detections are shown to people, as chosen on
    validation images; empty: the usual one."""
    thresholds_by: str = ""
    """What they were chosen by, for people, as `precision 0.95 on 72 images`."""
    temperature: float = 1.0
    """What the logits that the network was trained to give have been divided by, in its class
    layers, so that scores are frequencies (arXiv:1706.04599)."""
    mindssd_version: str = field(default_factory=lambda: version("mindssd"))
    format_version: int = FORMAT_VERSION


def write_model(path: str | Path, parameters: Mapping[str, Array], metadata: ModelMetadata) -> None:
    """Write a model file atomically: readers meet the old file or the whole new one."""
    path = Path(path).expanduser()
    tensors = {name: np.asarray(value, np.float32, order="C") for name, value in parameters.items()}
    try:
        content = save(tensors, metadata=to_strings(path, metadata))
    except SafetensorError as error:
        raise WeightsError(f"{path}: cannot be written as safetensors: {error}") from error
    with atomic_writer(path) as file:
        file.write(content)


def read_model(path: str | Path) -> tuple[dict[str, Array], ModelMetadata]:
    """Read a model file: parameters in canonical names, float32, and their description.

    WeightsError where the file is missing, truncated, not safetensors or not written by mindssd;
    VersionError where a newer mindssd wrote it.
    """
    path = Path(path).expanduser()
    metadata = read_metadata(path)
    return read_tensors(path), metadata


def read_metadata(path: str | Path) -> ModelMetadata:
    """Read the description alone: the file's header, not its tensors."""
    path = Path(path).expanduser()
    strings = read_raw_metadata(path)
    if strings.get("format") != FORMAT:
        raise WeightsError(
            f"{path}: is safetensors, but not a model written by mindssd (format "
            f"{strings.get('format')!r}); give a recipe with --config to use its tensors"
        )
    return from_strings(path, strings)


def read_raw_metadata(path: Path) -> dict[str, str]:
    """The metadata of any safetensors file; an absent one is empty."""
    with _Opened(path) as file:
        return dict(file.metadata() or {})


def read_tensors(path: Path) -> dict[str, Array]:
    """The tensors of any safetensors file as float32, by name, whoever wrote it."""
    with _Opened(path) as file:
        tensors: dict[str, Array] = {}
        for name in file.keys():  # noqa: SIM118, `safe_open` is no mapping
            try:
                tensors[name] = np.array(file.get_tensor(name), np.float32)
            except (TypeError, AttributeError) as error:  # bfloat16 and float8 have no NumPy type
                kind = file.get_slice(name).get_dtype()
                raise WeightsError(
                    f"{path}: {name!r} has type {kind}; save it as float32 (F32) first"
                ) from error
        return tensors


def is_safetensors(path: Path) -> bool:
    """Whether the file begins as safetensors does: a header's length, then the header's brace.

    A `.ckpt` cannot pass: its first eight bytes, read as a length, exceed any file.
    """
    try:
        with path.open("rb") as file:
            start = file.read(9)
    except OSError as error:
        raise describe_read_error(path, error) from error
    length = int.from_bytes(start[:8], "little")
    return len(start) == 9 and start[8:] == b"{" and length < 2**32


class _Opened:
    """`safetensors.safe_open` whose every failure is a WeightsError with the file's name."""

    def __init__(self, path: Path) -> None:
        try:
            with path.open("rb"):
                pass  # Python's own errors tell a folder from a missing file
        except OSError as error:
            raise describe_read_error(path, error) from error
        try:
            self._file = safe_open(str(path), framework="np")
        except SafetensorError as error:
            if is_safetensors(path):
                raise WeightsError(
                    f"{path}: is truncated or damaged ({error}); copy or download it again"
                ) from error
            raise WeightsError(f"{path}: is not a safetensors file ({error})") from error

    def __enter__(self) -> Any:
        return self._file

    def __exit__(self, *details: object) -> None:
        del self._file  # unmaps it


def to_strings(path: Path, metadata: ModelMetadata) -> dict[str, str]:
    """A description as text under text keys, for any format's metadata; `path` is for errors."""
    if len(metadata.class_names) != len(metadata.category_ids):
        raise WeightsError(
            f"{path}: {len(metadata.class_names)} class names and {len(metadata.category_ids)} "
            "category ids; they must be as many"
        )
    strings = {"format": FORMAT}
    for entry in fields(metadata):
        value = getattr(metadata, entry.name)
        if entry.name == "metrics":  # JSON has no NaN and no infinity
            value = {name: float(x) if math.isfinite(x) else None for name, x in value.items()}
        try:
            # ASCII, so that even a class name with half a surrogate pair survives.
            strings[entry.name] = json.dumps(value, allow_nan=False)
        except (TypeError, ValueError) as error:
            raise WeightsError(
                f"{path}: the model's {entry.name} cannot be written as JSON: {error}"
            ) from error
    return strings


DAMAGE = (KeyError, TypeError, ValueError, AttributeError, OverflowError, RecursionError)
"""What reading values out of JSON can raise, whatever is in it."""


def from_strings(path: Path, strings: Mapping[str, str]) -> ModelMetadata:
    """The inverse of `to_strings`; WeightsError for a damaged description, VersionError a newer."""
    try:
        writer = json.loads(strings["mindssd_version"])
        format_version = read_version(json.loads(strings.get(KEY, "null")), str(path), writer)
        names = [entry.name for entry in fields(ModelMetadata) if entry.name not in _LATER]
        values = {name: json.loads(strings[name]) for name in names}
        thresholds = _thresholds(json.loads(strings.get("thresholds", "{}")), values["class_names"])
        height, width = values["image_size"]
        metrics = {name: math.nan if x is None else x for name, x in values["metrics"].items()}
        return ModelMetadata(
            config=values["config"],
            class_names=tuple(values["class_names"]),
            category_ids=tuple(values["category_ids"]),
            image_size=(height, width),
            mean=_three(values["mean"]),
            std=_three(values["std"]),
            grids=tuple((rows, columns) for rows, columns in values["grids"]),
            metrics=metrics,
            engine=values["engine"],
            origin=_texts(json.loads(strings.get("origin", "{}"))),
            thresholds=thresholds,
            thresholds_by=str(json.loads(strings.get("thresholds_by", '""'))),
            temperature=float(json.loads(strings.get("temperature", "1.0"))),
            mindssd_version=writer,
            format_version=format_version,
        )
    except DAMAGE as error:
        raise WeightsError(f"{path}: its description is damaged ({error!r})") from error


def _thresholds(values: dict[str, float], class_names: list[str]) -> dict[str, float]:
    """One for each class or none at all; ValueError for anything else."""
    found = {str(name): float(value) for name, value in values.items()}
    if found and found.keys() != set(class_names):
        raise ValueError(f"thresholds of {', '.join(found)}")
    for value in found.values():
        if not 0 <= value <= 1:
            raise ValueError(f"threshold {value}")
    return found


def _texts(values: dict[str, str]) -> dict[str, str]:
    return {str(name): str(text) for name, text in values.items()}


def _three(values: list[float]) -> tuple[float, float, float]:
    first, second, third = values
    return first, second, third

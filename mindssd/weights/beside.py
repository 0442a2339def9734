"""Which files make one model: some formats have several, called alike beside each other."""

from pathlib import PurePath
from typing import TypeVar

_P = TypeVar("_P", bound=PurePath)

_BESIDE = {".xml": (".bin",), ".param": (".bin", ".json")}
"""OpenVINO's weights; ncnn's weights, and what the file says of itself."""


def beside(path: _P) -> tuple[_P, ...]:
    """The files that belong to a model's file, whether they are there or not; most have none."""
    return tuple(path.with_suffix(suffix) for suffix in _BESIDE.get(path.suffix, ()))

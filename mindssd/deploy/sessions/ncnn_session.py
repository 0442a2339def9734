"""Deployed files by ncnn: a .param of text, and beside it weights as .bin, the manifest as .json.

A .param is read line by line by ncnn itself; its layers are ncnn's own, and none reads files.
"""

import hashlib
import json
from pathlib import Path

import numpy as np

from mindssd.deploy.manifest import INPUT, Manifest
from mindssd.deploy.sessions.session import (
    Calls,
    RuntimeSettings,
    Session,
    faults,
    refused,
    require_interface,
)
from mindssd.errors import ConfigError, EngineError, WeightsError
from mindssd.platform import available_cores
from mindssd.types import Array

PARAM_HASH, WEIGHT_BYTES = "param_sha256", "weight_bytes"
"""What the .json says of the two others, beside the manifest."""

_calls = Calls("ncnn")


def open_ncnn(path: Path, content: bytes, settings: RuntimeSettings) -> Session:
    """Open a .param's content with what lies beside it; see `opening.open_session`."""
    if settings.device is not None and settings.device.lower() not in ("cpu", "auto"):
        raise EngineError(f"device={settings.device}: mindssd runs ncnn on the CPU alone")
    if settings.precision not in (None, "float32"):
        raise ConfigError(f"precision={settings.precision}: mindssd runs ncnn in float32 alone")
    with faults(path, "ncnn"):
        import ncnn
    weights, notes = (path.with_suffix(suffix) for suffix in (".bin", ".json"))
    for file in (weights, notes):
        _require_beside(path, file)
    strings = _read_notes(notes)
    manifest = Manifest.from_strings(path, strings)
    if strings.get(PARAM_HASH) != hashlib.sha256(content).hexdigest():
        raise WeightsError(f"{path}: was changed, or {notes.name} is another's; export it again")
    size = weights.stat().st_size
    if strings.get(WEIGHT_BYTES) != str(size):
        raise WeightsError(
            f"{path}: its weights, {weights.name}, are of {size} bytes, not of "
            f"{strings.get(WEIGHT_BYTES)}: truncated or another file's; export it again"
        )
    net = ncnn.Net()
    net.opt.num_threads = max(1, (settings.threads or available_cores()) // settings.parallel)
    net.opt.use_vulkan_compute = False
    for option in ("fp16_packed", "fp16_storage", "fp16_arithmetic", "bf16_storage"):
        setattr(net.opt, f"use_{option}", False)
    for loaded in (net.load_param(str(path)), net.load_model(str(weights))):
        if loaded != 0:
            raise refused(path, "ncnn", RuntimeError(f"status {loaded}"))
    outputs = list(manifest.postprocess().output_shapes(len(manifest.metadata.class_names)))
    found_outputs = sorted(net.output_names(), key=lambda name: (name not in outputs, name))
    require_interface(path, manifest, list(net.input_names()), found_outputs)

    def one(image: Array) -> list[Array]:
        """An image (3, H, W)."""
        extractor = net.create_extractor()
        contiguous = np.ascontiguousarray(image, np.float32)  # which ncnn's matrix does not keep
        extractor.input(INPUT, ncnn.Mat(contiguous))
        found: list[Array] = []
        for name in outputs:
            status, matrix = extractor.extract(name)
            if status != 0:
                raise RuntimeError(f"{name}: status {status}")
            found.append(np.array(matrix))
        return found

    def forward(images: Array) -> tuple[Array, ...]:
        with _calls.one(path):
            found = [one(image) for image in images]
        return tuple(np.stack(parts) for parts in zip(*found, strict=True))

    return Session(manifest, forward, f"ncnn {ncnn.__version__}, CPU, {manifest.precision}")


def _require_beside(path: Path, file: Path) -> None:
    """WeightsError where a file that belongs to `path` is not in its folder."""
    if not file.is_file():
        raise WeightsError(f"{path}: {file.name} is not beside it")
    if not file.resolve().is_relative_to(path.resolve().parent):
        raise WeightsError(
            f"{path}: {file.name} is a link out of its folder; such a file is not opened: copy it "
            "there"
        )


def _read_notes(path: Path) -> dict[str, str]:
    try:
        notes = json.loads(path.read_bytes())
    except (ValueError, RecursionError) as error:
        raise WeightsError(f"{path}: is damaged ({error}); export it again") from error
    if not isinstance(notes, dict) or not all(isinstance(x, str) for x in notes.values()):
        raise WeightsError(f"{path}: is no description of a model; export it again")
    return notes

"""Open a deployed file with a runtime that is there and reads it, as a plain `forward`.

A `forward` may be called from several threads at once. Nothing of a file is executed but its graph:
the description is JSON, the weights are numbers, and a file that keeps tensors outside its own
folder is refused before a runtime sees it.
"""

from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path

import numpy as np

from mindssd.deploy.manifest import Manifest
from mindssd.deploy.sessions.litert_session import open_litert
from mindssd.deploy.sessions.ncnn_session import open_ncnn
from mindssd.deploy.sessions.onnx_file import external_files, read_metadata
from mindssd.deploy.sessions.onnxruntime_session import open_onnxruntime
from mindssd.deploy.sessions.openvino_session import open_openvino, open_openvino_file
from mindssd.deploy.sessions.session import RuntimeSettings, Session
from mindssd.errors import ConfigError, EngineError, WeightsError
from mindssd.types import Array
from mindssd.weights.atomic import read_bytes
from mindssd.weights.safetensors_file import is_safetensors

RUNTIMES = {
    "onnxruntime": "ONNX Runtime",
    "openvino": "OpenVINO",
    "litert": "LiteRT",
    "ncnn": "ncnn",
}
"""What is called so in settings; of those that read a file the first that is installed is taken."""
_PACKAGES = {"litert": "ai_edge_litert"}
"""Of a runtime whose package is called otherwise."""
_EXTRAS = {"onnxruntime": "runtime", "litert": "tflite"}
_READERS = {
    "ONNX": ("onnxruntime", "openvino"),
    "OpenVINO": ("openvino",),
    "TensorFlow Lite": ("litert",),
    "ncnn": ("ncnn",),
}
"""The runtimes that read a format."""

PRECISIONS = ("float32", "bfloat16", "float16")

_ONNX_START = b"\x08"  # the field `ir_version`
_XML_START = b"<?xml"
_TFLITE_MARK, _MARK_AT = b"TFL3", slice(4, 8)
_PARAM_START = b"7767517"
_SUFFIXES = {".onnx": "ONNX", ".xml": "OpenVINO", ".tflite": "TensorFlow Lite", ".param": "ncnn"}


def is_deployed(path: str | Path) -> bool:
    """Whether a file is one of a runtime's, by its content or, if unreadable, its suffix."""
    path = Path(path).expanduser()
    if path.suffix.lower() in _SUFFIXES:
        return True
    if not path.is_file() or is_safetensors(path):  # whose first byte may be any
        return False
    with path.open("rb") as file:
        start = file.read(_MARK_AT.stop)
    starts = (_XML_START, _ONNX_START, _PARAM_START)
    return start.startswith(starts) or start[_MARK_AT] == _TFLITE_MARK


def installed_runtimes() -> list[str]:
    return [name for name in RUNTIMES if find_spec(_PACKAGES.get(name, name)) is not None]


def open_session(path: str | Path, settings: RuntimeSettings | None = None) -> Session:
    """Open a file of `mindssd export`, for any number of images at once.

    WeightsError where it is missing, broken, not ours, or points out of its folder; EngineError
    where no runtime is installed, or it fails; ConfigError where the settings are not to be had.
    """
    session = _open(Path(path).expanduser(), settings or RuntimeSettings())
    return _in_batches(session, session.manifest.batch) if session.manifest.batch else session


def _open(path: Path, settings: RuntimeSettings) -> Session:
    _check(settings)
    content = read_bytes(path)
    if not content:
        raise WeightsError(f"{path}: is empty: writing it was interrupted; export it again")
    format = _format_of(path, content)
    runtime = _choose_runtime(path, settings, format)
    if format == "OpenVINO":
        return open_openvino_file(path, settings)
    if format == "TensorFlow Lite":
        return open_litert(path, content, settings)
    if format == "ncnn":
        return open_ncnn(path, content, settings)
    manifest = Manifest.from_strings(path, read_metadata(path, content))
    try:
        outside = external_files(path, content)
    except ValueError as error:
        raise WeightsError(f"{path}: is damaged ({error}); export it again") from error
    model = str(path) if outside else content
    if runtime == "openvino":
        return open_openvino(path, model, manifest, settings)
    return open_onnxruntime(path, model, manifest, settings)


def _in_batches(session: Session, size: int) -> Session:
    """The session of a graph of `size` images: the last ones are filled up, and left out again."""

    def forward(images: Array) -> tuple[Array, ...]:
        found = []
        for start in range(0, max(1, len(images)), size):
            part = images[start : start + size]
            missing = np.zeros((size - len(part), *part.shape[1:]), part.dtype)
            outputs = session.forward(np.concatenate([part, missing]))
            found.append([output[: len(part)] for output in outputs])
        return tuple(np.concatenate(outputs) for outputs in zip(*found, strict=True))

    return replace(session, forward=forward)


def _check(settings: RuntimeSettings) -> None:
    if settings.runtime is not None and settings.runtime not in RUNTIMES:
        raise ConfigError(f"runtime={settings.runtime}: expected {', '.join(RUNTIMES)}")
    if settings.precision is not None and settings.precision not in PRECISIONS:
        raise ConfigError(
            f"precision={settings.precision}: expected {', '.join(PRECISIONS)}; int8 is made by "
            "`mindssd export --int8`"
        )
    if settings.threads is not None and settings.threads < 1:
        raise ConfigError(f"threads={settings.threads}: expected at least 1")


def _format_of(path: Path, content: bytes) -> str:
    """The name of a file's format by its content, or where that tells nothing by its suffix."""
    if content.lstrip()[: len(_XML_START)] == _XML_START:
        return "OpenVINO"
    if content.startswith(_PARAM_START):
        return "ncnn"
    if content[_MARK_AT] == _TFLITE_MARK:
        return "TensorFlow Lite"
    return "ONNX" if content.startswith(_ONNX_START) else _SUFFIXES.get(path.suffix.lower(), "ONNX")


def _choose_runtime(path: Path, settings: RuntimeSettings, format: str) -> str:
    readers, wanted = _READERS[format], settings.runtime
    if wanted is not None and wanted not in readers:
        raise ConfigError(
            f"{path}: is {format}'s format, which {RUNTIMES[wanted]} does not read; leave runtime "
            f"out or give {' or '.join(readers)}"
        )
    installed = [name for name in installed_runtimes() if name in readers]
    if wanted in installed:
        return str(wanted)
    # Asked for another precision than the file's, the runtime that has it is meant.
    if wanted is None and settings.precision not in (None, "float32") and "openvino" in installed:
        return "openvino"
    if wanted is None and installed:
        return installed[0]
    missing = wanted or readers[0]
    raise EngineError(
        f"{path}: {RUNTIMES[missing]} is not installed; "
        f"pip install 'mindssd[{_EXTRAS.get(missing, missing)}]'"
    )

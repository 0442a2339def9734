"""Open a deployed file with ONNX Runtime or OpenVINO, whichever is there, as a plain `forward`.

A `forward` may be called from several threads at once. Nothing of a file is executed but its graph:
the description is JSON, the weights are numbers, and a file that keeps tensors outside its own
folder is refused before a runtime sees it.
"""

from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path

import numpy as np

from mindssd.deploy.manifest import Manifest
from mindssd.deploy.sessions.onnx_file import external_files, read_metadata
from mindssd.deploy.sessions.onnxruntime_session import open_onnxruntime
from mindssd.deploy.sessions.openvino_session import open_openvino, open_openvino_file
from mindssd.deploy.sessions.session import RuntimeSettings, Session
from mindssd.errors import ConfigError, EngineError, WeightsError
from mindssd.types import Array
from mindssd.weights.atomic import read_bytes
from mindssd.weights.safetensors_file import is_safetensors

RUNTIMES = {"onnxruntime": "ONNX Runtime", "openvino": "OpenVINO"}
"""By the name of the package; the first that is installed is taken."""

PRECISIONS = ("float32", "bfloat16", "float16")

_ONNX_START = b"\x08"  # the field `ir_version`
_XML_START = b"<?xml"
_SUFFIXES = (".onnx", ".xml")


def is_deployed(path: str | Path) -> bool:
    """Whether a file is an ONNX or OpenVINO model, by its content or, if unreadable, its suffix."""
    path = Path(path).expanduser()
    if path.suffix.lower() in _SUFFIXES:
        return True
    if not path.is_file() or is_safetensors(path):  # whose first byte may be any
        return False
    with path.open("rb") as file:
        start = file.read(len(_XML_START))
    return start == _XML_START or start[:1] == _ONNX_START


def installed_runtimes() -> list[str]:
    return [name for name in RUNTIMES if find_spec(name) is not None]


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
    is_openvino = content.lstrip()[: len(_XML_START)] == _XML_START
    runtime = _choose_runtime(path, settings, is_openvino)
    if is_openvino:
        return open_openvino_file(path, settings)
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
        raise ConfigError(f"runtime={settings.runtime}: expected {' or '.join(RUNTIMES)}")
    if settings.precision is not None and settings.precision not in PRECISIONS:
        raise ConfigError(
            f"precision={settings.precision}: expected {', '.join(PRECISIONS)}; int8 is made by "
            "`mindssd export --int8`"
        )
    if settings.threads is not None and settings.threads < 1:
        raise ConfigError(f"threads={settings.threads}: expected at least 1")


def _choose_runtime(path: Path, settings: RuntimeSettings, is_openvino: bool) -> str:
    installed = installed_runtimes()
    if is_openvino:
        if settings.runtime == "onnxruntime":
            raise ConfigError(f"{path}: is OpenVINO's format; ONNX Runtime reads only .onnx")
        installed = [name for name in installed if name == "openvino"]
    wanted = settings.runtime or ("openvino" if is_openvino else None)
    if wanted in installed:
        return str(wanted)
    # Asked for another precision than the file's, the runtime that has it is meant.
    if wanted is None and settings.precision not in (None, "float32") and "openvino" in installed:
        return "openvino"
    if wanted is None and installed:
        return installed[0]
    extra = "openvino" if wanted == "openvino" else "runtime"
    raise EngineError(
        f"{path}: {RUNTIMES[wanted or 'onnxruntime']} is not installed; "
        f"pip install 'mindssd[{extra}]'"
    )

"""Deployed files by LiteRT, the runtime of TensorFlow Lite's format."""

from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from mindssd.deploy.manifest import Manifest
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

NOTE = "mindssd."
"""What the names of our notes in a file's metadata begin with."""

_calls = Calls("LiteRT")


def import_schema() -> Any:
    """The format's tables, as the runtime brings them."""
    from ai_edge_litert import schema_py_generated

    return schema_py_generated


def open_litert(path: Path, content: bytes, settings: RuntimeSettings) -> Session:
    """Open a file's content; see `opening.open_session`."""
    if settings.device is not None and settings.device.lower() not in ("cpu", "auto"):
        raise EngineError(f"device={settings.device}: LiteRT's package runs on the CPU alone")
    if settings.precision not in (None, "float32"):
        raise ConfigError(
            f"precision={settings.precision}: LiteRT computes in the file's own precision; "
            "`mindssd export --format tflite` has --float16 and --int8"
        )
    with faults(path, "LiteRT"):
        from ai_edge_litert.interpreter import Interpreter
    manifest = Manifest.from_strings(path, read_notes(path, content))
    threads = max(1, (settings.threads or available_cores()) // settings.parallel)

    def opened() -> Any:
        interpreter = Interpreter(model_content=content, num_threads=threads)
        interpreter.allocate_tensors()
        return interpreter

    try:
        first = opened()
        inputs, outputs = first.get_input_details(), first.get_output_details()
    except Exception as error:
        raise refused(path, "LiteRT", error) from error
    require_interface(
        path, manifest, *([tensor["name"] for tensor in tensors] for tensors in (inputs, outputs))
    )
    idle = [first]

    def one(interpreter: Any, image: Array) -> list[Array]:
        """An image (3, H, W); the file takes (1, H, W, 3)."""
        turned = np.ascontiguousarray(image.transpose(1, 2, 0)[None], np.float32)
        interpreter.set_tensor(inputs[0]["index"], turned)
        interpreter.invoke()
        return [interpreter.get_tensor(output["index"])[0] for output in outputs]

    def forward(images: Array) -> tuple[Array, ...]:
        with _calls.one(path):
            try:
                interpreter = idle.pop()
            except IndexError:  # as many as there are threads at once
                interpreter = opened()
            found = [one(interpreter, image) for image in images]
        idle.append(interpreter)  # but not one that has failed
        return tuple(np.stack(outputs) for outputs in zip(*found, strict=True))

    description = f"LiteRT {version('ai-edge-litert')}, CPU, {manifest.precision}"
    return Session(manifest, forward, description, is_shared=True)


def read_notes(path: Path, content: bytes) -> dict[str, str]:
    """A file's notes by key; WeightsError where the bytes are no whole file of the format."""
    try:
        model = import_schema().Model.GetRootAs(content)
        entries = [model.Metadata(index) for index in range(model.MetadataLength())]
        notes = {
            entry.Name().decode(): model.Buffers(entry.Buffer()).DataAsNumpy() for entry in entries
        }
        return {
            name.removeprefix(NOTE): note.tobytes().decode()
            for name, note in notes.items()
            if name.startswith(NOTE)
        }
    except Exception as error:  # flatbuffers follows damaged offsets wherever they lead
        raise WeightsError(
            f"{path}: is not a TensorFlow Lite file, or truncated or damaged ({error!r}); export "
            "it again"
        ) from error

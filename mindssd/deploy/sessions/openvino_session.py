"""Deployed files by OpenVINO, in its own format or as ONNX."""

import os
import sys
from pathlib import Path
from typing import Any

import numpy as np

from mindssd.deploy.manifest import INPUT, Manifest
from mindssd.deploy.sessions.session import (
    Calls,
    Forward,
    RuntimeSettings,
    Session,
    faults,
    refused,
    require_interface,
)
from mindssd.errors import ConfigError, EngineError, WeightsError
from mindssd.platform import available_cores
from mindssd.types import Array

RT_INFO = "mindssd"
"""Where OpenVINO's files keep the manifest."""
_TYPES = {"float32": "f32", "bfloat16": "bf16", "float16": "f16"}
_CAPABILITIES = {"float32": "FP32", "bfloat16": "BF16", "float16": "FP16"}


def import_openvino() -> Any:
    """OpenVINO without its telemetry, unless the program has imported it itself.

    That tells Intel of each import, from a fork of this process, unless it is told not to.
    """
    unwanted = "openvino_telemetry"
    if "openvino" not in sys.modules and unwanted not in sys.modules:
        sys.modules[unwanted] = None  # type: ignore[assignment]  # as if it were not installed
        try:
            import openvino
        finally:
            sys.modules.pop(unwanted, None)
    import openvino

    return openvino


_cores: dict[int, Any] = {}
"""By the process's id."""


def process_core(path: Path) -> Any:
    """This process's OpenVINO Core, which is never let go.

    The plugin for CPUs gives the thread that first uses it a stack for signal handlers, and frees
    that with its Core, in whatever thread that is (2026.4). Where it is another one, the first
    thread's next signal, such as Ctrl-C's, is a segmentation fault.

    EngineError, about the file at `path`, in a forked child of a process that has one: OpenVINO
    may compile there on threads of the parent, and wait for them for ever.
    """
    process_id = os.getpid()
    if _cores and process_id not in _cores:
        raise EngineError(
            f"{path}: this process was forked from one that had used OpenVINO, whose threads it "
            "lacks; load models before the fork, or start children by multiprocessing's spawn"
        )
    with faults(path, "OpenVINO"):
        ov = import_openvino()
        return _cores.get(process_id) or _cores.setdefault(process_id, ov.Core())


_calls = Calls("OpenVINO")


def open_openvino_file(path: Path, settings: RuntimeSettings) -> Session:
    """Open OpenVINO's own format, whose weights lie beside it; see `opening.open_session`."""
    core = process_core(path)
    weights = path.with_suffix(".bin")
    if not weights.is_file():
        raise WeightsError(f"{path}: its weights, {weights.name}, are not beside it")
    if not weights.resolve().is_relative_to(path.resolve().parent):
        raise WeightsError(
            f"{path}: its weights, {weights.name}, are a link out of its folder; such a file is "
            "not opened: copy them there"
        )
    try:
        model = core.read_model(str(path))
    except Exception as error:
        raise refused(path, "OpenVINO", error) from error
    strings = {}
    if model.has_rt_info(RT_INFO):
        entries = model.get_rt_info(RT_INFO).value
        strings = {key: str(getattr(value, "value", value)) for key, value in entries.items()}
    return open_openvino(path, model, Manifest.from_strings(path, strings), settings)


def open_openvino(path: Path, model: Any, manifest: Manifest, settings: RuntimeSettings) -> Session:
    """Open a model, a path, its content or OpenVINO's own object; see `opening.open_session`."""
    core = process_core(path)
    with _calls.one(path, "OpenVINO"):
        devices = core.available_devices
        device = "CPU" if settings.device in (None, "auto") else str(settings.device).upper()
        known = device.split(".")[0] in {name.split(".")[0] for name in devices}
        offered = core.get_property(device, "OPTIMIZATION_CAPABILITIES") if known else []
    if not known:
        raise EngineError(f"device={settings.device}: OpenVINO offers {', '.join(devices)} here")
    precision = settings.precision or "float32"
    if device == "CPU" and _CAPABILITIES[precision] not in offered:
        raise ConfigError(f"precision={precision}: this CPU has no arithmetic for it")
    try:
        if isinstance(model, bytes):
            model = core.read_model(model=model, weights=b"")
        elif isinstance(model, str):
            model = core.read_model(model)
    except Exception as error:
        raise refused(path, "OpenVINO", error) from error
    config = {"PERFORMANCE_HINT": "LATENCY", "INFERENCE_PRECISION_HINT": _TYPES[precision]}
    if device == "CPU":
        config["INFERENCE_NUM_THREADS"] = str(settings.threads or available_cores())
        if settings.parallel > 1:
            config["NUM_STREAMS"] = str(settings.parallel)
    with _calls.one(path, f"OpenVINO in {precision}"):
        compiled = core.compile_model(model, device, config)
        inputs = [x.get_any_name() for x in compiled.inputs]
        outputs = [x.get_any_name() for x in compiled.outputs]
    require_interface(path, manifest, inputs, outputs)
    forward = _forward(compiled, len(outputs), path, f"OpenVINO in {precision}")
    if precision != "float32":
        # It offers what ONEDNN_MAX_CPU_ISA takes away, and fails when it is run.
        size = (manifest.batch or 1, 3, *manifest.metadata.image_size)
        forward(np.zeros(size, np.float32))
    arithmetic = "int8" if manifest.precision == "int8" else precision
    version = import_openvino().get_version().split("-")[0]
    description = f"OpenVINO {version}, {device}, {arithmetic}"
    return Session(manifest, forward, description, is_shared=device == "CPU")


def _forward(compiled: Any, num_outputs: int, path: Path, runtime: str) -> Forward:
    """Run a compiled model. A request takes one call at a time: each call takes an idle one."""
    idle: list[Any] = []

    def forward(images: Array) -> tuple[Array, ...]:
        with _calls.one(path, runtime):
            try:
                request = idle.pop()
            except IndexError:  # as many as there are threads at once
                request = compiled.create_infer_request()
            request.infer({INPUT: images}, share_inputs=True)
            # Copies: the next call writes over the tensors.
            found = tuple(np.array(request.get_output_tensor(i).data) for i in range(num_outputs))
        idle.append(request)  # but not one that has failed
        return found

    return forward

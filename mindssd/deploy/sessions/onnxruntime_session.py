"""Deployed files by ONNX Runtime."""

import threading
from collections.abc import Sequence
from contextlib import nullcontext
from pathlib import Path

from mindssd.deploy.manifest import INPUT, Manifest
from mindssd.deploy.sessions.session import (
    Calls,
    RuntimeSettings,
    Session,
    faults,
    refused,
    require_interface,
)
from mindssd.errors import ConfigError, EngineError
from mindssd.platform import available_cores
from mindssd.types import Array

# Those that are faster than the CPU without further ado, in the order to try them.
_PROVIDERS = ("CUDAExecutionProvider", "ROCMExecutionProvider", "DmlExecutionProvider")

_SPIN_US = 50
"""How long its threads spin for each other's work before they sleep, in microseconds.

By its own default they spin a million times, milliseconds: where other work has the cores, a thread
then spins for one that cannot run (`benchmarks/busy_cores.py`).
"""

_calls = Calls("ONNX Runtime")


def open_onnxruntime(
    path: Path, model: str | bytes, manifest: Manifest, settings: RuntimeSettings
) -> Session:
    """Open a model, a path or its content, described by `manifest`; see `opening.open_session`."""
    with faults(path, "ONNX Runtime"):
        import onnxruntime as ort

    if settings.precision not in (None, "float32"):
        raise ConfigError(
            f"precision={settings.precision}: ONNX Runtime computes in the file's own precision, "
            f"{manifest.precision}; runtime=openvino offers others"
        )
    options = ort.SessionOptions()
    options.log_severity_level = 3  # errors alone
    # Its own default counts the machine's cores, not those that this process may use.
    threads = settings.threads or available_cores()
    # Of these one is the thread that calls, of which there are several where calls are parallel.
    options.intra_op_num_threads = max(1, threads - settings.parallel + 1)
    options.inter_op_num_threads = 1
    options.add_session_config_entry("session.intra_op.spin_duration_us", str(_SPIN_US))
    providers = _providers(ort.get_available_providers(), settings.device)
    try:
        session = ort.InferenceSession(model, options, providers=providers)
    except Exception as error:  # its errors have no common base of their own
        raise refused(path, "ONNX Runtime", error) from error
    inputs, outputs = session.get_inputs(), session.get_outputs()
    require_interface(path, manifest, [x.name for x in inputs], [x.name for x in outputs])

    device = session.get_providers()[0].removesuffix("ExecutionProvider")
    # Of all its devices one alone takes no calls from several threads at once.
    one_at_a_time = threading.Lock() if device == "Dml" else nullcontext()

    def forward(images: Array) -> tuple[Array, ...]:
        with one_at_a_time, _calls.one(path):
            return tuple(session.run(None, {INPUT: images}))

    return Session(
        manifest,
        forward,
        f"ONNX Runtime {ort.__version__}, {device}, {manifest.precision}",
        is_shared=device == "CPU",
    )


def _providers(available: Sequence[str], device: str | None) -> list[str]:
    """ONNX Runtime's providers for a device: its name's, or the fastest, and the CPU behind."""
    cpu = "CPUExecutionProvider"
    if device is None or device.lower() == "auto":
        return [*(name for name in _PROVIDERS if name in available), cpu]
    if device.upper() == "CPU":
        return [cpu]
    wanted = "CUDA" if device.upper() == "GPU" else device
    for name in available:
        if name.removesuffix("ExecutionProvider").lower() == wanted.lower():
            return [name, cpu]
    names = ", ".join(name.removesuffix("ExecutionProvider") for name in available)
    raise EngineError(
        f"device={device}: this ONNX Runtime offers {names}; for NVIDIA GPUs install "
        "onnxruntime-gpu in its place"
    )

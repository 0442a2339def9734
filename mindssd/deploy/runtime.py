"""Open a deployed file with ONNX Runtime or OpenVINO, whichever is there, as a plain `forward`.

Nothing of a file is executed but its graph: the description is JSON, the weights are numbers, and a
file that keeps tensors outside its own folder is refused before a runtime sees it.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from mindssd.deploy.manifest import INPUT, Manifest
from mindssd.deploy.onnx_file import external_files, read_metadata
from mindssd.engines.base import available_cores
from mindssd.errors import ConfigError, EngineError, WeightsError
from mindssd.types import Array
from mindssd.weights.atomic import read_bytes
from mindssd.weights.safetensors_file import is_safetensors

RUNTIMES = {"onnxruntime": "ONNX Runtime", "openvino": "OpenVINO"}
"""By the name of the package; the first that is installed is taken."""

PRECISIONS = ("float32", "bfloat16", "float16")
RT_INFO = "mindssd"
"""Where OpenVINO's files keep the manifest."""

_ONNX_START = b"\x08"  # the field `ir_version`
_XML_START = b"<?xml"
_SUFFIXES = (".onnx", ".xml")
# Those that are faster than the CPU without further ado, in the order to try them.
_PROVIDERS = ("CUDAExecutionProvider", "ROCMExecutionProvider", "DmlExecutionProvider")
_OPENVINO_TYPES = {"float32": "f32", "bfloat16": "bf16", "float16": "f16"}


@dataclass(frozen=True)
class RuntimeSettings:
    """How to run a deployed file; what is None the runtime decides."""

    runtime: str | None = None
    """`onnxruntime` or `openvino`."""
    device: str | None = None
    """`CPU`, or a GPU's name as the runtime has it."""
    precision: str | None = None
    """What the arithmetic is done in, where the device can: OpenVINO alone offers a choice."""
    threads: int | None = None


@dataclass(frozen=True, eq=False)
class Session:
    """An opened file: `forward` takes images (B, 3, H, W) float32 and gives its outputs."""

    manifest: Manifest
    forward: Callable[[Array], tuple[Array, ...]]
    description: str
    """Runtime, version, device and precision, for people."""


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
    """Open a file of `mindssd export`.

    WeightsError where it is missing, broken, not ours, or points out of its folder; EngineError
    where no runtime is installed; ConfigError where the settings are not to be had.
    """
    path, settings = Path(path).expanduser(), settings or RuntimeSettings()
    _check(settings)
    content = read_bytes(path)
    is_openvino = content.lstrip()[: len(_XML_START)] == _XML_START
    runtime = _choose_runtime(path, settings, is_openvino)
    if is_openvino:
        return _open_openvino_file(path, settings)
    manifest = Manifest.from_strings(path, read_metadata(path, content))
    try:
        outside = external_files(path, content)
    except ValueError as error:
        raise WeightsError(f"{path}: is damaged ({error}); export it again") from error
    model = str(path) if outside else content
    if runtime == "openvino":
        return _open_openvino(path, model, manifest, settings)
    return _open_onnxruntime(path, model, manifest, settings)


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
            raise ConfigError(f"{path}: is OpenVINO's format; ONNX Runtime reads .onnx alone")
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


def _open_onnxruntime(
    path: Path, model: str | bytes, manifest: Manifest, settings: RuntimeSettings
) -> Session:
    import onnxruntime as ort

    if settings.precision not in (None, "float32"):
        raise ConfigError(
            f"precision={settings.precision}: ONNX Runtime computes in the file's own, "
            f"{manifest.precision}; runtime=openvino offers others"
        )
    options = ort.SessionOptions()
    options.log_severity_level = 3  # errors alone
    # Its own default counts the machine's cores, not those that this process may use.
    options.intra_op_num_threads = settings.threads or available_cores()
    options.inter_op_num_threads = 1
    providers = _providers(ort.get_available_providers(), settings.device)
    try:
        session = ort.InferenceSession(model, options, providers=providers)
    except Exception as error:  # its errors have no common base of their own
        raise _refused(path, "ONNX Runtime", error) from error
    _require_interface(
        path, manifest, [x.name for x in session.get_inputs()], _names(session.get_outputs())
    )

    def forward(images: Array) -> tuple[Array, ...]:
        return tuple(session.run(None, {INPUT: images}))

    device = session.get_providers()[0].removesuffix("ExecutionProvider")
    return Session(
        manifest, forward, f"ONNX Runtime {ort.__version__}, {device}, {manifest.precision}"
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


def _open_openvino_file(path: Path, settings: RuntimeSettings) -> Session:
    import openvino as ov

    weights = path.with_suffix(".bin")
    if not weights.is_file():
        raise WeightsError(f"{path}: its weights, {weights.name}, are not beside it")
    if not weights.resolve().is_relative_to(path.resolve().parent):
        raise WeightsError(
            f"{path}: its weights, {weights.name}, are a link out of its folder; such a file is "
            "not opened: copy them there"
        )
    try:
        model = ov.Core().read_model(str(path))
    except Exception as error:
        raise _refused(path, "OpenVINO", error) from error
    strings = {}
    if model.has_rt_info(RT_INFO):
        entries = model.get_rt_info(RT_INFO).value
        strings = {key: str(getattr(value, "value", value)) for key, value in entries.items()}
    return _open_openvino(path, model, Manifest.from_strings(path, strings), settings)


def _open_openvino(
    path: Path, model: Any, manifest: Manifest, settings: RuntimeSettings
) -> Session:
    import openvino as ov

    core = ov.Core()
    device = "CPU" if settings.device in (None, "auto") else str(settings.device).upper()
    if device.split(".")[0] not in {name.split(".")[0] for name in core.available_devices}:
        raise EngineError(
            f"device={settings.device}: OpenVINO offers {', '.join(core.available_devices)} here"
        )
    precision = settings.precision or "float32"
    config: dict[str, Any] = {
        "PERFORMANCE_HINT": "LATENCY",
        "INFERENCE_PRECISION_HINT": _OPENVINO_TYPES[precision],
    }
    if device == "CPU":
        config["INFERENCE_NUM_THREADS"] = settings.threads or available_cores()
        offered = core.get_property(device, "OPTIMIZATION_CAPABILITIES")
        wanted = {"bfloat16": "BF16", "float16": "FP16"}.get(precision, "FP32")
        if wanted not in offered:
            raise ConfigError(f"precision={precision}: this CPU has no arithmetic for it")
    try:
        if isinstance(model, bytes):
            model = core.read_model(model=model, weights=b"")
        elif isinstance(model, str):
            model = core.read_model(model)
        compiled = core.compile_model(model, device, config)
    except Exception as error:
        raise _refused(path, "OpenVINO", error) from error
    names = [output.get_any_name() for output in compiled.outputs]
    _require_interface(path, manifest, [x.get_any_name() for x in compiled.inputs], names)
    request = compiled.create_infer_request()

    def forward(images: Array) -> tuple[Array, ...]:
        request.infer({INPUT: images}, share_inputs=True)
        # Copies: the next call writes over the tensors.
        return tuple(np.array(request.get_output_tensor(i).data) for i in range(len(names)))

    arithmetic = "int8" if manifest.precision == "int8" else precision
    version = ov.get_version().split("-")[0]
    return Session(manifest, forward, f"OpenVINO {version}, {device}, {arithmetic}")


def _names(arguments: Sequence[Any]) -> list[str]:
    return [argument.name for argument in arguments]


def _require_interface(
    path: Path, manifest: Manifest, inputs: Sequence[str], outputs: Sequence[str]
) -> None:
    expected = list(manifest.postprocess().output_shapes(len(manifest.metadata.class_names)))
    if list(inputs) != [INPUT] or list(outputs) != expected:
        raise WeightsError(
            f"{path}: takes {', '.join(inputs)} and gives {', '.join(outputs)}; expected {INPUT} "
            f"and {', '.join(expected)}: its graph was changed, export it again"
        )


def _refused(path: Path, runtime: str, error: Exception) -> WeightsError:
    reason = " ".join(str(error).split())
    return WeightsError(f"{path}: {runtime} cannot open it ({reason[:200]}); export it again")

"""MindSpore's process-wide settings: device, threads, and silence at exit."""

import atexit
import gc
import signal
import threading

import mindspore as ms
import numpy as np
from mindspore import ops

from mindssd.engines.base import available_cores
from mindssd.engines.mindspore.cluster import rank_table_device
from mindssd.errors import EngineError
from mindssd.types import Array


def available_devices() -> list[str]:
    """The device targets that this MindSpore build and machine can use, the fastest first."""
    found = []
    for target in ("Ascend", "GPU"):
        try:
            context = getattr(ms.device_context, target.lower())
            if context.is_available():
                found.append(target)
        except Exception:  # a build without that backend raises various types
            continue
    return [*found, "CPU"]


def configure(device: str = "auto", threads: int | None = None, deterministic: bool = True) -> str:
    """Choose the device (`auto`, `CPU`, `GPU`, `Ascend`) and graph mode; return the device.

    On CPU the operator threads are set to the cores this process may use: MindSpore's default
    leaves about a quarter of a training step's rate unused.
    """
    available = available_devices()
    target = available[0] if device == "auto" else device
    if target not in available:
        raise EngineError(
            f"device={device}: MindSpore {ms.__version__} offers {', '.join(available)} here; "
            "use one of these, or device=auto"
        )
    ms.set_context(mode=ms.GRAPH_MODE)
    if _configured.setdefault("device", target) != target:
        raise EngineError(
            f"device={device}: this process runs on {_configured['device']} already, and MindSpore "
            "cannot change it; use another process"
        )
    if "deterministic" not in _configured:  # MindSpore refuses a second call
        ms.set_device(target, rank_table_device(target))
        ms.set_deterministic(deterministic)
        if target == "CPU":
            ms.device_context.cpu.op_tuning.threads_num(threads or available_cores())
        _configured["deterministic"] = str(deterministic)
    _keep_interrupts()
    _silence_exit()
    return target


def overwrite(parameter: ms.Parameter, value: Array) -> None:
    """Give a parameter another value, also where a compiled graph holds it already.

    MindSpore 2.10.0's `Parameter.set_data` leaves such a graph with the old value at times.
    """
    ops.assign(parameter, ms.Tensor(np.asarray(value, np.float32, order="C")))


_configured: dict[str, str] = {}
"""What this process has told MindSpore, which takes some settings once."""


def _keep_interrupts() -> None:
    """Give Ctrl-C back to Python: MindSpore 2.10.0 takes SIGINT and ends the process itself."""
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGINT, signal.default_int_handler)


def _silence_exit() -> None:
    """Keep MindSpore 2.10.0's `Cell.__del__` from failing aloud once its module is torn down."""
    if "silenced" in _configured:
        return
    _configured["silenced"] = "yes"

    def drop_finaliser() -> None:
        gc.collect()
        if hasattr(ms.nn.Cell, "__del__"):
            del ms.nn.Cell.__del__

    atexit.register(drop_finaliser)

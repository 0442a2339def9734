"""MindSpore's process-wide settings: device, threads, seeds, modes, and silence at exit."""

import atexit
import gc
import random
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import cache

import mindspore as ms
import mindspore.dataset
import numpy as np
from mindspore import ops

from mindssd.engines.mindspore.cluster import rank_table_device
from mindssd.errors import EngineError
from mindssd.platform import available_cores
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


def configure(device: str = "auto", training: bool = False) -> str:
    """Choose the device (`auto`, `CPU`, `GPU`, `Ascend`); return it.

    On CPU the operator threads are set to the cores this process may use, unless it has set them:
    MindSpore's default leaves about a quarter of a training step's rate unused. In `training` graph
    mode and determinism are set too, for the whole process.
    """
    available = available_devices()
    target = available[0] if device == "auto" else device
    if target not in available:
        raise EngineError(
            f"device={device}: MindSpore {ms.__version__} offers {', '.join(available)} here; "
            "use one of these, or device=auto"
        )
    try:
        ms.set_device(target, rank_table_device(target))
    except RuntimeError as error:
        raise EngineError(
            f"device={device}: this process runs on {ms.get_context('device_target')} already, and "
            "MindSpore cannot change it; use another process"
        ) from error
    if target == "CPU":
        with suppress(RuntimeError):  # MindSpore refuses a second call
            ms.device_context.cpu.op_tuning.threads_num(available_cores())
    if training:
        ms.set_context(mode=ms.GRAPH_MODE)
        with suppress(RuntimeError):
            ms.set_deterministic(True)
    _silence_exit()
    return target


def settle(device: str) -> None:
    """Let MindSpore run its first graph and primitive, while the environment is its own.

    What it reads of that, as oneDNN `start.SETTINGS`, it reads then, and once; and what it sets,
    it sets then.
    """
    if device == "CPU":
        square = ms.Tensor(np.ones((2, 2), np.float32))
        _product(square, square).asnumpy()


@ms.jit
def _product(left, right):
    return ops.matmul(left, right)


@contextmanager
def seeded(seed: int, for_good: bool) -> Iterator[None]:
    """MindSpore's seed in this block, or `for_good`: which is Python's, NumPy's and its data sets'.

    Behind the block, what a program draws of them itself is what it would have drawn without.
    """
    before, data_seed = ms.get_seed(), ms.dataset.config.get_seed()
    python, numpy = random.getstate(), np.random.get_state()  # noqa: NPY002 - not ours
    ms.set_seed(seed)
    try:
        yield
    finally:
        if not for_good:
            # MindSpore 2.10.0's `set_seed` does not take "none", which is its default.
            sys.modules["mindspore.common.seed"]._GLOBAL_SEED = before  # type: ignore[attr-defined]
            ms.dataset.config.set_seed(data_seed)
            np.random.set_state(numpy)  # noqa: NPY002
            random.setstate(python)


@contextmanager
def in_mode(mode: int) -> Iterator[None]:
    """Graph or PyNative mode in this block, whichever the process is in."""
    before = ms.get_context("mode")
    if before != mode:
        ms.set_context(mode=mode)
    try:
        yield
    finally:
        if before != mode:
            ms.set_context(mode=before)


def overwrite(parameter: ms.Parameter, value: Array) -> None:
    """Give a parameter another value, also where a compiled graph holds it already.

    MindSpore 2.10.0's `Parameter.set_data` leaves such a graph with the old value at times.
    """
    ops.assign(parameter, ms.Tensor(np.asarray(value, np.float32, order="C")))


@cache  # once
def _silence_exit() -> None:
    """Keep MindSpore 2.10.0's `Cell.__del__` from failing aloud once its module is torn down."""

    def drop_finaliser() -> None:
        gc.collect()
        if hasattr(ms.nn.Cell, "__del__"):
            del ms.nn.Cell.__del__

    atexit.register(drop_finaliser)

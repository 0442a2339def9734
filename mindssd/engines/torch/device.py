"""PyTorch's process-wide settings, and on what device and in what precision it computes."""

import ctypes
import os
import threading
from contextlib import AbstractContextManager, nullcontext

import torch
from torch import Tensor

from mindssd.errors import EngineError
from mindssd.platform import available_cores
from mindssd.types import Array

DEVICES = {"GPU": "cuda", "MPS": "mps", "CPU": "cpu"}
"""The names of `device=` and PyTorch's, the fastest first."""


def available_devices() -> list[str]:
    """The devices that this PyTorch build and machine can use, the fastest first."""
    available = {
        "GPU": torch.cuda.is_available(),
        "MPS": torch.backends.mps.is_available(),
        "CPU": True,
    }
    return [name for name in DEVICES if available[name]]


class Runtime:
    """Where and how to compute: the device, the precision of training and that of inference."""

    def __init__(
        self, device: str = "auto", precision: str = "auto", training: bool = False
    ) -> None:
        """In `training` each process of a launcher has its own GPU; else it is the current one."""
        available = available_devices()
        self.name = available[0] if device == "auto" else device
        if self.name not in available:
            raise EngineError(
                f"device={device}: PyTorch {torch.__version__} offers {', '.join(available)} here; "
                "use one of these, or device=auto"
            )
        self.device = torch.device(DEVICES[self.name])
        if self.name == "GPU":
            own = int(os.environ.get("LOCAL_RANK", "0"))
            self.device = torch.device("cuda", own if training else torch.cuda.current_device())
        faster = precision == "auto" and has_fast_bfloat16(self.device)
        self.trains_in_bfloat16 = precision == "bfloat16" or faster
        # What a model is scored by should not depend on the machine: there `auto` is float32.
        self.infers_in_bfloat16 = precision == "bfloat16"

    def autocast(self, training: bool = False) -> AbstractContextManager[object]:
        """What lets convolutions compute in bfloat16, where this runtime does."""
        wanted = self.trains_in_bfloat16 if training else self.infers_in_bfloat16
        if not wanted:
            return nullcontext()
        return torch.autocast(self.device.type, dtype=torch.bfloat16)

    def tensor(self, array: Array) -> Tensor:
        return torch.from_numpy(array).to(self.device, non_blocking=True)

    def images(self, array: Array) -> Tensor:
        return self.tensor(array).contiguous(memory_format=torch.channels_last)

    def describe(self) -> str:
        return f"{self.name} in {'bfloat16' if self.trains_in_bfloat16 else 'float32'}"


def own_process(device: torch.device, deterministic: bool) -> None:
    """Make the settings of a process that does nothing but train."""
    if device.type == "cuda":
        torch.cuda.set_device(device)
        # A convolution's float32 inputs are cut to TF32's 10 bits, as PyTorch does by default;
        # bit for bit the same results as on a CPU there are none in any case.
        torch.backends.cudnn.allow_tf32 = not deterministic
        torch.backends.cudnn.benchmark = not deterministic
    if device.type == "cpu":
        # Processes of a launcher share them; torchrun would leave each of them one.
        local = int(os.environ.get("LOCAL_WORLD_SIZE", "1"))
        torch.set_num_threads(max(1, available_cores() // local))
        _keep_freed_memory()
    # As `use_deterministic_algorithms`, which imports the compiler to set its option too.
    torch.set_deterministic_debug_mode("error" if deterministic else "default")
    if deterministic:  # cuBLAS asks for it
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")


_threads: set[int] = set()
"""Those of this process that have called PyTorch."""
_forked_from: set[int] | None = None
"""Those of the parent's, where this process is a fork and has not called PyTorch yet."""


def _note_fork() -> None:
    """Note, in a forked child's only thread, which has the id of the one that forked."""
    global _forked_from
    if _threads:
        _forked_from = _threads - {threading.get_ident()}
        _threads.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_note_fork)


def enter(device: torch.device) -> None:
    """Check, before each call, that PyTorch can compute in this process on that device.

    A forked child lacks the threads of its parent, and PyTorch would wait for them for ever: on a
    CPU it goes on in one. Where other threads than the one that forked have called it, the child
    may lack the key to what they were in, so it is an EngineError. A GPU is not to be had in a
    child, as PyTorch itself says.
    """
    global _forked_from
    if _forked_from is not None and device.type == "cpu":
        if _forked_from:
            raise EngineError(
                "PyTorch was called by other threads of this forked process's parent, and might "
                "wait for them for ever: load detectors in the children only, or start these by "
                "multiprocessing's spawn"
            )
        torch.set_num_threads(1)
        _forked_from = None
    _threads.add(threading.get_ident())


_M_TRIM_THRESHOLD, _M_MMAP_MAX = -1, -4
"""Of glibc's malloc.h."""


def _keep_freed_memory() -> None:
    """Let glibc keep the memory of one step for the next.

    By its default each large tensor is mapped anew, and the kernel clears every page of it at the
    first touch: a third of a float32 training step.
    """
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError):  # another libc
        return
    mallopt(_M_MMAP_MAX, 0)
    mallopt(_M_TRIM_THRESHOLD, 2**31 - 1)


def has_fast_bfloat16(device: torch.device) -> bool:
    """Whether a device multiplies bfloat16 in hardware; elsewhere it only costs time."""
    if device.type == "cuda":
        return torch.cuda.get_device_capability(device) >= (8, 0)
    if device.type == "cpu":
        return torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()
    return False

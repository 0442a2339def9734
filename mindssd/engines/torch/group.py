"""Processes that train together, by PyTorch's collective operations."""

import atexit
import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch import Tensor, distributed

from mindssd.engines.base import Group, Parameters, SingleProcessGroup
from mindssd.engines.torch.cluster import group_size
from mindssd.errors import EngineError
from mindssd.platform import OWN_LAUNCHER, die_with_parent


def join_group() -> Group:
    """This process's group: torchrun's, `mindssd train --devices`'s, or a group of one."""
    if int(os.environ.get("OMPI_COMM_WORLD_SIZE", "1")) > 1:
        raise EngineError(
            "mpirun starts processes for MindSpore; with engine=torch use --devices or torchrun "
            "(docs/distributed.md)"
        )
    if group_size() == 1:
        return SingleProcessGroup()
    if not distributed.is_initialized():
        if OWN_LAUNCHER not in os.environ:
            die_with_parent(signal.SIGTERM)  # where torchrun is killed, they save and end too
        # What is on the CPU, flags and evaluations, goes by gloo also where gradients go by NCCL.
        backend = "cpu:gloo,cuda:nccl" if torch.cuda.is_available() else "gloo"
        try:
            distributed.init_process_group(backend)
        except (distributed.DistError, RuntimeError, ValueError) as error:
            where = f"{os.environ.get('MASTER_ADDR')}:{os.environ.get('MASTER_PORT')}"
            words = str(error).splitlines()[0]
            raise EngineError(f"the processes cannot meet at {where}: {words}") from error
        atexit.register(distributed.destroy_process_group)
    return TorchGroup()


@contextmanager
def together() -> Iterator[None]:
    """A collective operation; EngineError, in one line, where another process has ended."""
    try:
        yield
    except RuntimeError as error:
        lost = any(word in str(error) for word in ("gloo", "NCCL", "onnection"))
        if not lost and not isinstance(error, distributed.DistError):
            raise
        raise EngineError("another process has ended or cannot be reached") from error


class TorchGroup:
    """Implements `engines.base.Group`."""

    def __init__(self) -> None:
        self.rank = distributed.get_rank()
        self.size = distributed.get_world_size()

    def any(self, flag: bool) -> bool:
        flags = torch.tensor([int(flag)])
        with together():
            distributed.all_reduce(flags, distributed.ReduceOp.MAX)
        return bool(flags.item())

    def gather(self, data: bytes) -> list[bytes]:
        lengths = [torch.zeros(1, dtype=torch.int64) for _ in range(self.size)]
        with together():
            distributed.all_gather(lengths, torch.tensor([len(data)]))
        width = max(1, *(int(length) for length in lengths))
        row = torch.zeros(width, dtype=torch.uint8)
        row[: len(data)] = torch.from_numpy(np.frombuffer(data, np.uint8).copy())
        rows = [torch.zeros_like(row) for _ in range(self.size)]
        with together():
            distributed.all_gather(rows, row)
        return [rows[rank][: int(lengths[rank])].numpy().tobytes() for rank in range(self.size)]

    def broadcast(self, arrays: Parameters) -> Parameters:
        sent = {name: torch.from_numpy(array.copy()) for name, array in arrays.items()}
        for tensor in sent.values():
            with together():
                distributed.broadcast(tensor, 0)
        return {name: tensor.numpy() for name, tensor in sent.items()}


class _MeanOverGroup(torch.autograd.Function):
    @staticmethod
    def forward(context: Any, x: Tensor) -> Tensor:
        total = x.clone()
        distributed.all_reduce(total)
        return total / distributed.get_world_size()

    @staticmethod
    def backward(context: Any, *gradients: Tensor) -> Tensor:
        return _MeanOverGroup.forward(context, gradients[0])


def mean_over_group(x: Tensor) -> Tensor:
    """The mean of the processes' tensors; its gradient is the mean of theirs."""
    mean: Tensor = _MeanOverGroup.apply(x)
    return mean

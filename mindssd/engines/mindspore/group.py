"""Processes that train together, by MindSpore's collective operations."""

import atexit
import os
import signal

import mindspore as ms
import numpy as np
from mindspore import communication, nn, ops

from mindssd.engines.base import Alone, Group, Parameters
from mindssd.engines.mindspore.cluster import (
    OWN_LAUNCHER,
    meeting,
    rank_table_device,
    under_mpirun,
)
from mindssd.processes import die_with_parent


def join_group(device: str) -> Group:
    """This process's group: that of its launcher, or itself alone.

    msrun, `mindssd train --devices` and `cluster.adopt_mpi` say so by MS_ROLE; msrun's scheduler
    comes here too, and ends in `init`. A rank table does so on Ascend.
    """
    if "MS_ROLE" not in os.environ and rank_table_device(device) is None:
        return Alone()
    if OWN_LAUNCHER not in os.environ:
        # msrun leaves its workers behind when it is ended: they save and end too.
        die_with_parent(signal.SIGTERM)
    with meeting():
        communication.init()
    if under_mpirun():
        # Rank 0 ends behind the scheduler, which else learns late that all have left.
        atexit.register(communication.release)
    return MindSporeGroup()


DIGIT = 1 << 20


class _Sum(nn.Cell):
    def __init__(self) -> None:
        super().__init__()
        self.all_reduce = ops.AllReduce()

    def construct(self, x):
        return self.all_reduce(x)


class MindSporeGroup:
    """Implements `engines.base.Group`.

    Only sums are used: MindSpore has them on every device.
    """

    def __init__(self) -> None:
        self.rank = communication.get_rank()
        self.size = communication.get_group_size()
        self._sum = _Sum()

    def any(self, flag: bool) -> bool:
        return bool(self._total(np.array([flag], np.float32))[0] > 0)

    def gather(self, data: bytes) -> list[bytes]:
        # Sums are of float32, exact up to 2²⁴: lengths as two digits, data as bytes.
        digits = np.zeros((self.size, 2), np.float32)
        digits[self.rank] = divmod(len(data), DIGIT)
        lengths = self._total(digits).astype(np.int64) @ (DIGIT, 1)
        # A power of two, for each new size compiles a graph.
        width = 1 << max(10, int(lengths.max() - 1).bit_length())
        table = np.zeros((self.size, width), np.float32)
        table[self.rank, : len(data)] = np.frombuffer(data, np.uint8)
        rows = self._total(table).astype(np.uint8)
        return [rows[rank, : lengths[rank]].tobytes() for rank in range(self.size)]

    def broadcast(self, arrays: Parameters) -> Parameters:
        flat = np.concatenate([array.ravel() for array in arrays.values()])
        # Adding zeros changes no bit, but that -0 becomes 0.
        flat = self._total(flat if self.rank == 0 else np.zeros_like(flat))
        ends = np.cumsum([array.size for array in arrays.values()])
        pieces = np.split(flat, ends[:-1])
        return {
            name: piece.reshape(array.shape)
            for (name, array), piece in zip(arrays.items(), pieces, strict=True)
        }

    def _total(self, values: np.ndarray) -> np.ndarray:
        return np.array(self._sum(ms.Tensor(values.astype(np.float32))).asnumpy())

"""Processes that train together, by MindSpore's collective operations."""

import atexit
import os
import signal
from collections.abc import Callable

import mindspore as ms
import numpy as np
from mindspore import communication, nn, ops

from mindssd.engines.base import Group, Parameters, SingleProcessGroup
from mindssd.engines.mindspore.cluster import rank_table_device, rendezvous
from mindssd.engines.mindspore.mpi import under_mpirun
from mindssd.engines.mindspore.process import calling
from mindssd.platform import OWN_LAUNCHER, die_with_parent
from mindssd.types import Array


def join_group(device: str) -> Group:
    """This process's group: the launcher's, or a group of one.

    msrun, `mindssd train --devices` and `mpi.adopt_mpi` say so by MS_ROLE; msrun's scheduler
    comes here too, and ends in `init`. A rank table does so on Ascend.
    """
    if "MS_ROLE" not in os.environ and rank_table_device(device) is None:
        return SingleProcessGroup()
    if OWN_LAUNCHER not in os.environ:
        # msrun leaves its workers behind when it is ended: they save and end too.
        die_with_parent(signal.SIGTERM)
    with rendezvous():
        communication.init()
    if under_mpirun():
        # Rank 0 ends behind the scheduler, which else learns late that all have left.
        atexit.register(communication.release)
    return MindSporeGroup()


DIGIT = 1 << 30
ROUND_WORDS = 1 << 18
"""At most so many words of four bytes are gathered from each process at once."""


class _Collective(nn.Cell):
    """One of MindSpore's collective operations, as a graph of its own."""

    def __init__(self, operation: ops.Primitive) -> None:
        super().__init__()
        self.operation = operation

    def construct(self, x):
        return self.operation(x)


class _Broadcast(_Collective):
    def construct(self, x):
        return self.operation((x,))[0]


class MindSporeGroup:
    """Implements `engines.base.Group`.

    Of the collectives and types only such are used as MindSpore 2.10.0 has on a CPU too: sums of
    float32, and words of four bytes gathered and broadcast, bit for bit.
    """

    def __init__(self) -> None:
        self.rank = communication.get_rank()
        self.size = communication.get_group_size()
        self._sum = _Collective(ops.AllReduce())
        self._all_gather = _Collective(ops.AllGather())
        self._broadcast = _Broadcast(ops.Broadcast(0))

    @calling()
    def any(self, flag: bool) -> bool:
        return bool(self._sum(ms.Tensor([float(flag)], ms.float32)).asnumpy()[0] > 0)

    @calling()
    def gather(self, data: bytes) -> list[bytes]:
        def all_gather(words: Array) -> Array:
            gathered: Array = self._all_gather(ms.Tensor(words)).asnumpy()
            return gathered.reshape(self.size, -1)

        return gather_in_rounds(data, all_gather)

    @calling()
    def broadcast(self, arrays: Parameters) -> Parameters:
        flat = np.concatenate([array.ravel() for array in arrays.values()])
        flat = np.array(self._broadcast(ms.Tensor(flat)).asnumpy())
        ends = np.cumsum([array.size for array in arrays.values()])
        pieces = np.split(flat, ends[:-1])
        return {
            name: piece.reshape(array.shape)
            for (name, array), piece in zip(arrays.items(), pieces, strict=True)
        }


def gather_in_rounds(data: bytes, all_gather: Callable[[Array], Array]) -> list[bytes]:
    """Every process's `data`, in the order of their ranks, by `all_gather` of int32 words.

    That takes (n,) of each process and gives (processes, n). It never gets more than `ROUND_WORDS`,
    however long the data is, and few different lengths: for each of them a graph is compiled.
    """
    lengths = all_gather(np.array(divmod(len(data), DIGIT), np.int32)).astype(np.int64) @ (DIGIT, 1)
    num_words = -(-int(lengths.max()) // 4)
    width = min(ROUND_WORDS, 1 << max(8, (num_words - 1).bit_length()))
    parts = [bytearray() for _ in lengths]
    for start in range(0, num_words, width):
        piece = data[4 * start : 4 * (start + width)].ljust(4 * width, b"\0")
        for part, row in zip(parts, all_gather(np.frombuffer(piece, np.int32).copy()), strict=True):
            part += row.tobytes()
    return [bytes(part[:length]) for part, length in zip(parts, lengths, strict=True)]

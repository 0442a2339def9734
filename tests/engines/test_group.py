"""What the processes of a group tell each other, here threads whose collective is a barrier."""

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from mindssd.types import Array

pytest.importorskip("mindspore")
from mindssd.engines.mindspore.group import ROUND_WORDS, gather_in_rounds


class Exchange:
    """An all-gather of threads, and how many words each of its rounds took."""

    def __init__(self, size: int) -> None:
        self.rows: list[Array] = [np.zeros(0, np.int32)] * size
        self.rounds: list[int] = []
        self._barrier = threading.Barrier(size, timeout=30)

    def all_gather(self, rank: int) -> Callable[[Array], Array]:
        def gather(words: Array) -> Array:
            assert words.dtype == np.int32 and words.ndim == 1
            self.rows[rank] = words
            self._barrier.wait()
            gathered = np.stack(self.rows)
            if rank == 0:
                self.rounds.append(len(words))
            self._barrier.wait()
            return gathered

        return gather


def gather(parts: list[bytes]) -> tuple[list[list[bytes]], list[int]]:
    exchange = Exchange(len(parts))
    with ThreadPoolExecutor(len(parts)) as pool:
        results = pool.map(
            lambda rank: gather_in_rounds(parts[rank], exchange.all_gather(rank)), range(len(parts))
        )
        return list(results), exchange.rounds


@pytest.mark.parametrize(
    "parts",
    [
        [b"a", b"bc", b""],
        [b"", b""],
        [bytes(range(256)) * 5, b"\xff" * 3],
        [b"x" * (4 * ROUND_WORDS), b"y" * (4 * ROUND_WORDS + 1)],
        [np.random.default_rng(k).bytes(300_000 * k) for k in range(8)],
    ],
)
def test_every_process_gets_what_each_has_bit_for_bit(parts):
    results, _ = gather(parts)
    assert results == [parts] * len(parts)


def test_no_round_grows_with_the_data_nor_are_there_many_lengths():
    """Each length compiles a graph, and each round is held by every process, times their number."""
    rounds = set()
    for num_bytes in (1, 999, 50_000, 1_000_000, 9_000_000):
        rounds.update(gather([b"z" * num_bytes, b""])[1])
    assert max(rounds) == ROUND_WORDS
    assert len(rounds) < 8

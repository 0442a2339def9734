"""Two processes with half of each batch take the steps of one with the whole."""

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from functools import cache
from typing import Any

import numpy as np
import pytest

from mindssd.build.engine import build_cluster
from tests.distributed.processes import PATIENCE_S
from tests.distributed.steps import found

pytestmark = pytest.mark.slow

WAYS = {
    "mindspore": ["frozen", "scored"],
    "torch": ["frozen", "scored", "synchronised", "frozen_norm"],
}

Told = Callable[[str], list[dict[str, Any]]]


class Pair:
    """Two processes that train in all ways of an engine, one after the other, and their helper."""

    def __init__(self, engine: str) -> None:
        cluster = build_cluster(2, engine)
        command, variables = cluster.helper()
        self.helper = subprocess.Popen(command, env={**os.environ, **variables})
        self.workers = [
            subprocess.Popen(
                [sys.executable, "-m", "tests.distributed.steps", engine, *WAYS[engine]],
                env={**os.environ, **cluster.worker_environment(rank)},
                stdout=subprocess.PIPE,
                text=True,
            )
            for rank in range(2)
        ]

    def told(self) -> list[dict[str, Any]]:
        outputs = [worker.communicate(timeout=PATIENCE_S)[0] for worker in self.workers]
        return [json.loads(output.strip().splitlines()[-1]) for output in outputs]

    def end(self) -> None:
        for process in [*self.workers, self.helper]:
            process.kill()
            process.wait()


@pytest.fixture(scope="module")
def told() -> Iterator[Told]:
    """What one process alone, this one, and each of two found, by the engine's name.

    Both pairs begin at once, for MindSpore's waits half a minute.
    """
    pairs = {engine: Pair(engine) for engine in WAYS}
    yield cache(lambda engine: [found(engine, WAYS[engine]), *pairs[engine].told()])
    for pair in pairs.values():
        pair.end()


@pytest.mark.parametrize("way", ["frozen", "scored"])
@pytest.mark.parametrize("engine", ["mindspore", "torch"])
def test_two_halves_of_a_batch_train_as_the_whole_one(told: Told, engine: str, way: str) -> None:
    """`scored`: with losses that divide by the scores of the batch, beside frozen statistics."""
    alone, first, second = (of_each[way] for of_each in told(engine))
    np.testing.assert_allclose(first["losses"], alone["losses"], rtol=1e-4)
    assert first["losses"] == second["losses"]
    assert first["checksum"] == second["checksum"] == pytest.approx(alone["checksum"], rel=1e-6)


@pytest.mark.parametrize("engine", ["mindspore", "torch"])
def test_a_group_passes_on_what_its_processes_say_to_the_last_bit(told: Told, engine: str) -> None:
    """Also where one of them comes half a minute behind the others."""
    alone, first, second = told(engine)
    assert first["words"] == ["word", "wordword"]
    assert first["any"] == second["any"] == [True, False]
    assert first["exact"] and second["exact"] and alone["exact"]


@pytest.mark.parametrize("way", ["synchronised", "frozen_norm"])
def test_with_the_whole_batchs_statistics_the_whole_network_trains_as_on_one_device(
    told: Told, way: str
) -> None:
    alone, first, second = (of_each[way] for of_each in told("torch"))
    np.testing.assert_allclose(first["losses"], alone["losses"], rtol=1e-2)
    np.testing.assert_allclose(first["losses"][:2], alone["losses"][:2], rtol=1e-4)
    assert first["losses"] == second["losses"]
    assert first["checksum"] == second["checksum"] == pytest.approx(alone["checksum"], rel=1e-3)

"""Two processes with half of each batch take the steps of one with the whole."""

import json
import os
import subprocess
import sys
from functools import cache
from typing import Any

import numpy as np
import pytest

from mindssd.build.engine import build_cluster
from tests.distributed.processes import PATIENCE_S

pytestmark = pytest.mark.slow

WAYS = {"mindspore": ["frozen", "scored"], "torch": ["frozen", "scored", "synchronised"]}

PROGRAM = """
import json, sys, time
import numpy as np
from mindssd.build.engine import build_engine
from mindssd.config.schema import Config
from mindssd.engines.base import *
from mindssd.geometry.default_boxes import PaperDefaultBoxes
from mindssd.types import Batch

name, ways = sys.argv[1], sys.argv[2:]
engine = build_engine(Config(engine=name, device="CPU", precision="float32"), training=True)
group = engine.group
spec = NetworkSpec(
    "mobilenet_v2_035_96", (2, 4), (32, 32),
    ExtrasNeck(channels=(16,), expand_ratios=(0.5,), expand_first=2), PerLevelHead(),
    PaperDefaultBoxes().boxes_per_location(3), 3,
)
# All but the last 1×1: no BatchNorm takes statistics of a process's own half of the batch, unless
# it is told to take the whole batch's.
norms = tuple(f"head.{kind}.{k}.depthwise." for kind in ("boxes", "classes") for k in range(3))
mine = slice(group.rank * 8 // group.size, (group.rank + 1) * 8 // group.size)


def trained(way):
    synchronised = way == "synchronised"
    if name == "torch":
        engine.sync_batch_norm = synchronised
    frozen = () if synchronised else ("backbone.", "neck.", *norms)
    # The boxes' weights are of the whole group's batch too.
    scored = LossSpec("quality_focal", box_kind="giou", box_weight_by_score=True)
    network = engine.build_network(spec, 0)
    stepper = engine.build_stepper(
        network, StepSpec(scored if way == "scored" else LossSpec(), frozen_prefixes=frozen)
    )
    boxes = sum(r * c * k for (r, c), k in zip(network.grids, spec.boxes_per_location))
    rate = 0.01 if synchronised else 0.05
    losses = [stepper.step(batch(step, boxes), rate, 0.0).loss for step in range(10)]
    checksum = sum(float(v.astype(np.float64).sum()) for v in network.parameters().values())
    return {"losses": losses, "checksum": checksum}


def batch(step, boxes):
    rng = np.random.default_rng(step)
    images = rng.normal(size=(8, 3, 32, 32)).astype(np.float32)
    offsets = rng.normal(size=(8, boxes, 4)).astype(np.float32)
    # The first images have far more positives than the last: the normaliser must be everybody's.
    rate = np.linspace(0.1, 0.01, 8)[:, None]
    labels = (rng.random((8, boxes)) < rate) * rng.integers(1, 4, (8, boxes))
    n = 8 // group.size
    return Batch(
        images[mine], offsets[mine], labels[mine].astype(np.int32), np.ones(n, np.float32),
        np.arange(n), np.zeros(n, bool),
    )


found = {way: trained(way) for way in ways}
if name == "mindspore" and group.size > 1 and group.rank == 0:
    time.sleep(35)  # as it scores: MindSpore's own patience on a CPU ends after 30 s
words = [part.decode() for part in group.gather(b"word" * (group.rank + 1))]
long = [bytes(range(256)) * 9000 * rank for rank in range(group.size)]  # none, and some rounds
exact = group.gather(long[group.rank]) == long
bits = np.array([-0.0, np.nan, 1e-45, np.inf, 16777217], np.float32)
own = bits if group.rank == 0 else np.zeros_like(bits)
sent = group.broadcast({"a": own[:1], "b": own[1:].reshape(2, 2)})
exact &= np.concatenate([sent["a"], sent["b"].ravel()]).tobytes() == bits.tobytes()
found |= {"words": words, "exact": exact, "any": [group.any(group.rank == 1), group.any(False)]}
print(json.dumps(found), flush=True)  # whatever MindSpore does at its end
"""


@cache
def told(engine: str, size: int) -> list[dict[str, Any]]:
    """What each of so many processes found, which train in all ways, one after the other."""
    cluster = build_cluster(size, engine)
    command, variables = cluster.helper()
    environments = [{}] if size == 1 else [cluster.worker_environment(k) for k in range(size)]
    helper = subprocess.Popen(command, env={**os.environ, **variables}) if size > 1 else None
    workers = [
        subprocess.Popen(
            [sys.executable, "-c", PROGRAM, engine, *WAYS[engine]],
            env={**os.environ, **environment},
            stdout=subprocess.PIPE,
            text=True,
        )
        for environment in environments
    ]
    try:
        outputs = [worker.communicate(timeout=PATIENCE_S)[0] for worker in workers]
    finally:
        for process in [*workers, helper]:
            if process is not None:
                process.kill()
                process.wait()
    return [json.loads(output.strip().splitlines()[-1]) for output in outputs]


@pytest.mark.parametrize("way", ["frozen", "scored"])
@pytest.mark.parametrize("engine", ["mindspore", "torch"])
def test_two_halves_of_a_batch_train_as_the_whole_one(engine: str, way: str) -> None:
    """`scored`: with losses that divide by the scores of the batch, beside frozen statistics."""
    alone, first, second = (found[way] for size in (1, 2) for found in told(engine, size))
    np.testing.assert_allclose(first["losses"], alone["losses"], rtol=1e-4)
    assert first["losses"] == second["losses"]
    assert first["checksum"] == second["checksum"] == pytest.approx(alone["checksum"], rel=1e-6)


@pytest.mark.parametrize("engine", ["mindspore", "torch"])
def test_a_group_passes_on_what_its_processes_say_to_the_last_bit(engine: str) -> None:
    """Also where one of them comes half a minute behind the others."""
    alone, first, second = (found for size in (1, 2) for found in told(engine, size))
    assert first["words"] == ["word", "wordword"]
    assert first["any"] == second["any"] == [True, False]
    assert first["exact"] and second["exact"] and alone["exact"]


def test_with_the_whole_batchs_statistics_the_whole_network_trains_as_on_one_device() -> None:
    alone, first, second = (f["synchronised"] for size in (1, 2) for f in told("torch", size))
    np.testing.assert_allclose(first["losses"], alone["losses"], rtol=1e-2)
    np.testing.assert_allclose(first["losses"][:2], alone["losses"][:2], rtol=1e-4)
    assert first["losses"] == second["losses"]
    assert first["checksum"] == second["checksum"] == pytest.approx(alone["checksum"], rel=1e-3)

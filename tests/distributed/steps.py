"""What one of several processes finds that train the same network, each on its part of a batch.

`python -m tests.distributed.steps ENGINE WAYS…` prints it as JSON.
"""

import json
import sys
import time
from typing import Any

import numpy as np

from mindssd.build.engine import build_engine
from mindssd.build.training import batch_norms
from mindssd.config.schema import Config
from mindssd.engines.base import (
    Engine,
    FPNNeck,
    Group,
    LossSpec,
    NetworkSpec,
    SharedHead,
    StepSpec,
)
from mindssd.types import Batch
from tests.tiny_network import TINY

SPECS = {
    # Of a few layers, which its compiler takes a quarter of the time for.
    "mindspore": NetworkSpec(
        backbone="resnet18",
        out_indices=(0,),
        image_size=(32, 32),
        neck=FPNNeck(channels=8, extra_levels=0),
        head=SharedHead(tower_depth=0),
        boxes_per_location=(6,),
        num_classes=3,
    ),
    "torch": TINY,
}
# All but the last 1×1 or 3×3: no BatchNorm takes statistics of a process's own half of the batch,
# unless it is told to take the whole batch's.
FROZEN = (
    "backbone.",
    "neck.",
    *(f"head.{kind}.{k}.depthwise." for kind in ("boxes", "classes") for k in range(3)),
)


def trained(engine: Engine, way: str) -> dict[str, Any]:
    """The losses of ten steps, and a sum of all parameters after them."""
    synchronised = way in ("synchronised", "frozen_norm")
    if engine.name == "torch":
        engine.sync_batch_norm = synchronised  # type: ignore[attr-defined]
    # The boxes' weights are of the whole group's batch too.
    scored = LossSpec("quality_focal", box_kind="giou", box_weight_by_score=True)
    spec = SPECS[engine.name]
    network = engine.build_network(spec, 0)
    frozen = () if synchronised else FROZEN
    if way == "frozen_norm":
        frozen = batch_norms(Config(), list(network.parameters()))
    stepper = engine.build_stepper(
        network, StepSpec(scored if way == "scored" else LossSpec(), frozen_prefixes=frozen)
    )
    boxes = sum(r * c * k for (r, c), k in zip(network.grids, spec.boxes_per_location, strict=True))
    rate = 0.01 if synchronised else 0.05
    losses = [stepper.step(batch(engine.group, n, boxes), rate, 0.0).loss for n in range(10)]
    checksum = sum(float(v.astype(np.float64).sum()) for v in network.parameters().values())
    return {"losses": losses, "checksum": checksum}


def batch(group: Group, step: int, boxes: int) -> Batch:
    """This process's part of the eight images of a step."""
    rng = np.random.default_rng(step)
    images = rng.normal(size=(8, 3, 32, 32)).astype(np.float32)
    offsets = rng.normal(size=(8, boxes, 4)).astype(np.float32)
    # The first images have far more positives than the last: the normaliser must be everybody's.
    rate = np.linspace(0.1, 0.01, 8)[:, None]
    labels = (rng.random((8, boxes)) < rate) * rng.integers(1, 4, (8, boxes))
    n = 8 // group.size
    mine = slice(group.rank * n, (group.rank + 1) * n)
    return Batch(
        images[mine],
        offsets[mine],
        labels[mine].astype(np.int32),
        np.ones(n, np.float32),
        np.arange(n),
        np.zeros(n, bool),
    )


def exchanged(group: Group) -> dict[str, Any]:
    """What the processes have said to each other."""
    words = [part.decode() for part in group.gather(b"word" * (group.rank + 1))]
    long = [bytes(range(256)) * 9000 * rank for rank in range(group.size)]  # none, and some rounds
    exact = group.gather(long[group.rank]) == long
    bits = np.array([-0.0, np.nan, 1e-45, np.inf, 16777217], np.float32)
    own = bits if group.rank == 0 else np.zeros_like(bits)
    sent = group.broadcast({"a": own[:1], "b": own[1:].reshape(2, 2)})
    exact &= np.concatenate([sent["a"], sent["b"].ravel()]).tobytes() == bits.tobytes()
    return {"words": words, "exact": exact, "any": [group.any(group.rank == 1), group.any(False)]}


def found(name: str, ways: list[str]) -> dict[str, Any]:
    """All of it in this process, which an engine of that name trains in."""
    engine = build_engine(Config(engine=name, device="CPU", precision="float32"), training=True)
    group = engine.group
    of_ways = {way: trained(engine, way) for way in ways}
    if name == "mindspore" and group.size > 1 and group.rank == 0:
        time.sleep(35)  # as it scores: MindSpore's own patience on a CPU ends after 30 s
    return of_ways | exchanged(group)


if __name__ == "__main__":
    print(json.dumps(found(sys.argv[1], sys.argv[2:])), flush=True)  # whatever comes at the end

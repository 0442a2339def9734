"""What a training on PyTorch starts without, and how its threads wait."""

import os
import re
import subprocess
import sys

import pytest

pytest.importorskip("torch")

STEP = """
import sys

import numpy as np

from mindssd.build.engine import build_engine
from mindssd.config.schema import Config
from mindssd.engines.base import StepSpec
from mindssd.types import Batch
from tests.tiny_network import TINY

engine = build_engine(Config(engine="torch", device="CPU", deterministic=True), training=True)
network = engine.build_network(TINY, seed=0)
stepper = engine.build_stepper(network, StepSpec(optimizer=sys.argv[1]))
batch = Batch(
    images=np.ones((2, 3, 32, 32), np.float32),
    offsets=np.zeros((2, 312, 4), np.float32),
    labels=np.ones((2, 312), np.int32),
    weights=np.ones(2, np.float32),
    image_ids=np.arange(2),
    unreadable=np.zeros(2, bool),
)
assert stepper.step(batch, 0.01).finite
print([name for name in ("torch._dynamo", "torch._inductor", "sympy") if name in sys.modules])
"""


@pytest.mark.parametrize("optimizer", ["sgd", "adamw"])
def test_no_compiler_is_imported_which_takes_seconds(optimizer: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", STEP, optimizer], capture_output=True, text=True, check=False
    )
    assert done.stdout.strip() == "[]", done.stderr


START = """
import os

from mindssd.build.engine import build_engine
from mindssd.config.schema import Config

before = dict(os.environ)
build_engine(Config(engine="torch", device="CPU"))
assert dict(os.environ) == before
"""


@pytest.mark.parametrize(
    ("users_own", "spins"),
    [({}, "3000"), ({"GOMP_SPINCOUNT": "70"}, "70"), ({"OMP_WAIT_POLICY": "passive"}, "0")],
    ids=["ours", "a number of the user's", "a policy of the user's"],
)
def test_threads_spin_shortly_unless_the_user_says_otherwise(
    users_own: dict[str, str], spins: str
) -> None:
    """Libgomp itself tells what it was started with; nothing else is told."""
    others = {k: v for k, v in os.environ.items() if not k.startswith(("GOMP_", "OMP_"))}
    done = subprocess.run(
        [sys.executable, "-c", START],
        capture_output=True,
        text=True,
        check=False,
        env={**others, **users_own, "OMP_DISPLAY_ENV": "verbose"},
    )
    assert done.returncode == 0, done.stderr
    told = re.findall(r"GOMP_SPINCOUNT = '(\d+)'", done.stderr)
    if not told:
        pytest.skip("this PyTorch's threads are another library's than libgomp's")
    assert set(told) == {spins}

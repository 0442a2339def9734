"""Which engine computes, and how its processes meet."""

import os
import sys
from importlib.util import find_spec

from mindssd.config.schema import Config
from mindssd.engines.base import Cluster, Engine
from mindssd.errors import EngineError
from mindssd.platform import free_port

ENGINES: dict[str, tuple[str, ...]] = {"mindspore": ("mindspore", "mindcv"), "torch": ("torch",)}
"""Each engine's packages; `auto` takes the first whose are installed."""

OTHER_PYTHON = "" if sys.version_info < (3, 13) else " with Python 3.11 or 3.12"
"""Where the way to MindSpore 2.10.0 is another Python."""


def choose_engine(name: str) -> str:
    """`name`, or where that is `auto` the engine that is installed; EngineError where it is not.

    Of both it is MindSpore, which has all of MindCV's backbones; but torchrun asks for PyTorch.
    """
    installed = [
        engine
        for engine, packages in ENGINES.items()
        if all(find_spec(package) is not None for package in packages)
    ]
    if name == "auto" and "TORCHELASTIC_RUN_ID" in os.environ and "torch" in installed:
        return "torch"
    if name in installed:
        return name
    if name == "auto" and installed:
        return installed[0]
    missing = {"mindspore": "MindSpore or MindCV", "torch": "PyTorch"}.get(name)
    if missing is None:
        raise EngineError(
            "neither MindSpore with MindCV nor PyTorch is installed; pip install "
            f"'mindssd[mindspore]'{OTHER_PYTHON} or 'mindssd[torch]' (`mindssd doctor` tells more)"
        )
    others = "".join(f", or set engine={engine}" for engine in installed)
    raise EngineError(
        f"{missing} is not installed; pip install 'mindssd[{name}]'"
        f"{OTHER_PYTHON if name == 'mindspore' else ''}{others} "
        "(`mindssd doctor` tells more)"
    )


def build_engine(config: Config, training: bool = False) -> Engine:
    """Import the framework and set it up; EngineError where it is missing.

    It is a guest of the process, which keeps its settings, but in `training`: then threads, memory
    and determinism are set as that needs them, and the process joins those it trains with.
    """
    if choose_engine(config.engine) == "torch":
        from mindssd.engines.torch.start import importing

        with importing():
            from mindssd.engines.torch.engine import TorchEngine

        return TorchEngine(
            config.device, config.precision, config.deterministic, config.sync_batch_norm, training
        )
    for key, way_out in (("precision", "auto"), ("sync_batch_norm", False)):
        value = getattr(config, key)
        if value not in (way_out, "float32"):
            raise EngineError(f"{key}={value} needs engine=torch; leave it out for MindSpore")
    if training:
        from mindssd.engines.mindspore.mpi import adopt_mpi

        adopt_mpi()
    from mindssd.engines.mindspore.start import start_engine

    return start_engine(config.device, training)


def build_cluster(num_processes: int, engine: str = "auto") -> Cluster:
    """How processes of this machine that train together find each other."""
    port = free_port()
    if choose_engine(engine) == "torch":
        from mindssd.engines.torch.cluster import TorchCluster

        return TorchCluster(num_processes, port)
    from mindssd.engines.mindspore.cluster import MindSporeCluster

    return MindSporeCluster(num_processes, port)

"""How processes find each other: the variables of MindSpore's dynamic cluster.

A scheduler, a process of its own, waits for the workers and gives them ranks. This file imports no
MindSpore, so that a launcher can use it.
"""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from mindssd.errors import EngineError
from mindssd.platform import OWN_LAUNCHER


@dataclass(frozen=True)
class MindSporeCluster:
    """Implements `engines.base.Cluster`, on this machine."""

    size: int
    port: int

    def worker_environment(self, rank: int) -> dict[str, str]:
        return {
            "MS_ROLE": "MS_WORKER",
            "MS_NODE_ID": str(rank),
            "MS_WORKER_NUM": str(self.size),
            "MS_SCHED_HOST": "127.0.0.1",
            "MS_SCHED_PORT": str(self.port),
            OWN_LAUNCHER: "1",
        }

    def helper(self) -> tuple[list[str], dict[str, str]]:
        command = [sys.executable, "-m", "mindssd.engines.mindspore.scheduler"]
        return command, {**self.worker_environment(0), "MS_ROLE": "MS_SCHED"}


def rank_table_device(target: str) -> int | None:
    """The card of this process, where a rank table starts it on Ascend; else None.

    MindSpore reads RANK_TABLE_FILE and RANK_ID by itself, but DEVICE_ID must be handed to it.
    """
    if target != "Ascend" or "MS_ROLE" in os.environ or "RANK_TABLE_FILE" not in os.environ:
        return None
    for name in ("RANK_ID", "DEVICE_ID"):
        if not os.environ.get(name, "").isdigit():
            raise EngineError(
                f"RANK_TABLE_FILE is set, but {name}={os.environ.get(name, '')} is not a number; "
                "set it to this process's in the table (docs/distributed.md)"
            )
    return int(os.environ["DEVICE_ID"])


def rendezvous_address() -> str:
    """Where this process's variables tell it to meet the others."""
    return f"{os.environ.get('MS_SCHED_HOST')}:{os.environ.get('MS_SCHED_PORT')}"


@contextmanager
def rendezvous() -> Iterator[None]:
    """Meet the others in this block; EngineError where they do not come together."""
    try:
        yield
    except RuntimeError as error:
        raise EngineError(
            f"the processes cannot meet at {rendezvous_address()}: another program has this port, "
            "or not all of them came; choose another, for msrun by --master_port"
        ) from error

"""How processes find each other: the variables that PyTorch's `env://` reads, as torchrun's.

This file imports no PyTorch, so that a launcher can use it.
"""

import os
import sys
from dataclasses import dataclass

from mindssd.platform import OWN_LAUNCHER


@dataclass(frozen=True)
class TorchCluster:
    """Implements `engines.base.Cluster`, on this machine.

    The helper is the store where the processes meet. Rank 0 could hold it, but then a port that is
    taken meanwhile would be a rank's failure, which the launcher could not repair.
    """

    size: int
    port: int

    def worker_environment(self, rank: int) -> dict[str, str]:
        return {
            "RANK": str(rank),
            "LOCAL_RANK": str(rank),
            "WORLD_SIZE": str(self.size),
            "LOCAL_WORLD_SIZE": str(self.size),
            "MASTER_ADDR": "127.0.0.1",
            "MASTER_PORT": str(self.port),
            "TORCHELASTIC_USE_AGENT_STORE": "True",  # none of the ranks holds the store
            OWN_LAUNCHER: "1",
        }

    def helper(self) -> tuple[list[str], dict[str, str]]:
        command = [sys.executable, "-m", "mindssd.engines.torch.store"]
        return command, self.worker_environment(0)


def group_size() -> int:
    """How many processes a launcher has started, this one among them; 1 without one."""
    return int(os.environ.get("WORLD_SIZE", "1")) if "RANK" in os.environ else 1

"""`python -m mindssd.engines.mindspore.scheduler`: lets a cluster's workers find each other.

It ends when they have all left.
"""

import os
import signal
import sys
import time

from mindssd.engines.mindspore.cluster import rendezvous_address
from mindssd.engines.mindspore.mpi import under_mpirun
from mindssd.engines.mindspore.start import apply_settings

OPENING_S = 5.0
"""It fails so soon only where it cannot have its port."""


def main() -> None:
    apply_settings()
    import mindspore as ms
    from mindspore import communication

    ms.set_device("CPU")
    began = time.monotonic()
    try:
        communication.init()
    except RuntimeError:
        if time.monotonic() - began > OPENING_S:
            sys.exit("mindssd: the processes have lost one of them")
        print(
            f"mindssd: the processes cannot meet at {rendezvous_address()}: another program has "
            "this port; start them again",
            file=sys.stderr,
            flush=True,
        )
        if under_mpirun():  # rank 0 waits for us where no signal handler or thread of it would run
            os.kill(os.getppid(), signal.SIGTERM)
        sys.exit(1)


if __name__ == "__main__":
    main()

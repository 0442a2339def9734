"""`python -m mindssd.engines.torch.store`: holds the store at which a cluster's workers meet.

It ends when the launcher ends it.
"""

import os
import sys
import time

from torch import distributed


def main() -> None:
    host, port = os.environ["MASTER_ADDR"], int(os.environ["MASTER_PORT"])
    try:
        store = distributed.TCPStore(  # type: ignore[attr-defined]
            host, port, is_master=True, wait_for_workers=False
        )
    except distributed.DistNetworkError:
        sys.exit(f"mindssd: the processes cannot meet at {host}:{port}: another program uses it")
    while store is not None:
        time.sleep(3600)


if __name__ == "__main__":
    main()

"""`python -m mindssd.engines.mindspore.scheduler`: lets a cluster's workers find each other.

It ends when they have all left.
"""

import sys

import mindspore as ms
from mindspore import communication

from mindssd.engines.mindspore.cluster import meeting_point


def main() -> None:
    ms.set_device("CPU")
    try:
        communication.init()
    except RuntimeError:
        sys.exit(f"no use of {meeting_point()}: another program has this port, or a worker is lost")


if __name__ == "__main__":
    main()

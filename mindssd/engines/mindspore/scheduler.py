"""`python -m mindssd.engines.mindspore.scheduler`: lets a cluster's workers find each other.

It ends when they have all left.
"""

import mindspore as ms
from mindspore import communication


def main() -> None:
    ms.set_device("CPU")
    communication.init()


if __name__ == "__main__":
    main()

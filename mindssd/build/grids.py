"""The grids of a configuration's network: as built, and at other image sizes."""

from importlib.util import find_spec

import msgspec

from mindssd.build.engine import build_engine
from mindssd.build.network import network_spec
from mindssd.config.schema import Config
from mindssd.errors import EngineError
from mindssd.geometry.default_boxes import Grid
from mindssd.types import ImageSize


def read_grids(config: Config) -> tuple[Grid, ...]:
    """Build the network and read its grids; EngineError where no engine can.

    They are the same in both engines, so that where it may choose it takes PyTorch, the quicker to
    start.
    """
    if config.engine == "auto" and find_spec("torch"):
        try:
            return _read(msgspec.structs.replace(config, engine="torch", device="auto"))
        except EngineError:  # a backbone that MindCV alone has
            pass
    return _read(config)


def _read(config: Config) -> tuple[Grid, ...]:
    engine = build_engine(config)
    return engine.build_network(network_spec(config, num_classes=1), config.seed).grids


def grids_at(size: ImageSize, read: tuple[Grid, ...], read_at: ImageSize) -> tuple[Grid, ...]:
    """The grids of the same network at another image size.

    `read` are those at the size `read_at`. Each level halves its map some times, and rounds up.
    """
    strides = [_strides(read_at[axis], [grid[axis] for grid in read]) for axis in (0, 1)]
    return tuple(
        (-(-size[0] // down), -(-size[1] // across)) for down, across in zip(*strides, strict=True)
    )


def _strides(length: int, cells: list[int]) -> list[int]:
    """The stride of each level along an axis: a power of 2 that gives its cells, and rises."""
    strides: list[int] = []
    for count in cells:
        stride = 2 * strides[-1] if strides else 1
        while -(-length // stride) > count:
            stride *= 2
        strides.append(stride)
    return strides

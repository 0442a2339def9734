"""What an engine is: the one boundary between mindssd and a deep-learning framework.

An engine builds the network, gives and takes parameters under canonical names, runs the forward
pass and runs one optimizer step. Everything else (loop, schedule, checkpoints, data, evaluation)
is written once, outside.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Protocol

from mindssd.errors import EngineError, MindSSDError, WeightsError
from mindssd.types import Array, Batch, ImageSize

Parameters = dict[str, Array]
"""Canonical name (`backbone.…`, `neck.…`, `head.…`) to float32 array, in network order."""


@contextmanager
def faults(framework: str) -> Iterator[None]:
    """Tell a framework's fault in one line, such as a device's memory that is too small."""
    try:
        yield
    except MindSSDError:
        raise
    except Exception as error:
        lines = [line for line in map(str.strip, str(error).splitlines()) if line.strip("-")]
        raise EngineError(f"{framework} fails: {lines[0] if lines else repr(error)}") from error


def require_fit(parameters: Mapping[str, Array], shapes: Mapping[str, Sequence[int]]) -> None:
    """Check what `Network.load_parameters` got against its network's shapes, before it sets any."""
    for name, value in parameters.items():
        if name not in shapes:
            raise WeightsError(f"the network has no parameter {name!r}")
        expected = tuple(shapes[name])
        if value.shape != expected:
            raise WeightsError(f"{name} has shape {value.shape}; expected {expected}")


@dataclass(frozen=True)
class ExtrasNeck:
    """The paper's neck: the first map expanded, then inverted-residual extra maps of stride 2."""

    channels: tuple[int, ...] = (512, 256, 256, 128)
    expand_ratios: tuple[float, ...] = (0.2, 0.25, 0.5, 0.25)
    expand_first: int = 6
    expand_first_style: str = "relu6"
    """`relu6`, or `mobilenet_v3`: hard-swish and BatchNorm of eps 1e-5 with 0.9 kept."""


@dataclass(frozen=True)
class FPNNeck:
    """A feature pyramid (arXiv:1612.03144) with `extra_levels` stride-2 maps on top."""

    channels: int = 256
    extra_levels: int = 2
    separable: bool = False
    """Its 3×3 convolutions are a depthwise 3×3 and a 1×1; see `DEPTHWISE_STD`."""
    path_aggregation: bool = False
    """From fine to coarse each level, halved, is added to the next (arXiv:1803.01534, 3.1)."""


@dataclass(frozen=True)
class PerLevelHead:
    """For each level its own depthwise 3×3 + BN + ReLU6 + 1×1, for boxes and for classes."""


@dataclass(frozen=True)
class SharedHead:
    """One tower of 3×3 convolutions for all levels (arXiv:1708.02002), BatchNorm per level."""

    tower_depth: int = 4
    separable: bool = False
    """Each layer of the tower is a depthwise 3×3 and a 1×1; see `DEPTHWISE_STD`."""


WEIGHT_STD = 0.02
"""The initial spread of the weights in neck and head, cut off at twice that: the reference's."""

DEPTHWISE_STD = 1 / 3
"""That of a separable convolution's depthwise 3×3.

1 / √9 keeps the spread of what it is given; at 0.02 the BatchNorm behind it would have little but
its epsilon to divide by. BatchNorm follows the depthwise part and the 1×1, ReLU6 the 1×1 alone:
without an activation between them they learn faster and better (arXiv:1610.02357, 4.7). In heads
arXiv:1801.04381, 6.2, has them, in pyramids arXiv:1911.09070.
"""


@dataclass(frozen=True)
class NetworkSpec:
    """All that determines a network's parameters and shapes."""

    backbone: str
    out_indices: tuple[int, ...]
    image_size: ImageSize
    neck: ExtrasNeck | FPNNeck
    head: PerLevelHead | SharedHead
    boxes_per_location: tuple[int, ...]
    """Default boxes at each cell, level by level; its length is the number of levels."""
    num_classes: int
    """Without background; the logits have `num_classes + 1` columns, background first."""


def require_halving(spec: NetworkSpec, maps: Sequence[tuple[int, int]]) -> None:
    """Check that a path from fine to coarse can go from each (rows, columns) to the next."""
    if not isinstance(spec.neck, FPNNeck) or not spec.neck.path_aggregation:
        return
    for (rows, columns), following in pairwise(maps):
        if following != (-(-rows // 2), -(-columns // 2)):
            raise EngineError(
                "neck.path_aggregation=true needs maps that halve from each to the next; "
                f"backbone.out_indices={list(spec.out_indices)} of {spec.backbone} give "
                f"{rows}×{columns} and then {following[0]}×{following[1]} cells"
            )


@dataclass(frozen=True)
class LossSpec:
    """What is summed over a batch: the class loss of all default boxes, the positives' box loss."""

    class_kind: str = "focal"
    """`focal` (arXiv:1708.02002), or `quality_focal` (arXiv:2006.04388, eq. 4): a positive's goal
    is the IoU of its decoded box with its truth, and there is no alpha."""
    focal_alpha: float = 0.75
    focal_gamma: float = 2.0
    class_weight: float = 1.0
    box_kind: str = "smooth_l1"
    """`smooth_l1` of the offsets, or `giou` (arXiv:1902.09630) of the decoded boxes."""
    box_weight: float = 1.0
    box_weight_by_score: bool = False
    """A positive's box counts as much as its truth's class scores (arXiv:2006.04388, 3)."""
    variances: tuple[float, float] = (0.1, 0.2)
    """What decoding multiplies offsets by."""
    max_log_size_ratio: float = math.log(1000.0)
    """By how much a decoded side may exceed its default box's, as a logarithm."""


@dataclass(frozen=True)
class StepSpec:
    """All that one optimizer step needs beside the batch and the learning rate."""

    loss: LossSpec = LossSpec()
    optimizer: str = "sgd"
    """`sgd` with momentum, or `adamw` (arXiv:1711.05101) with `momentum` as its first beta."""
    momentum: float = 0.9
    second_momentum: float = 0.999
    """AdamW's second beta."""
    backbone_rate: float = 1.0
    """The learning rate of the backbone's parameters, as a share of the others'."""
    weight_decay: float = 1.5e-4
    decayed: str = "all_but_norm"
    """`all`, `all_but_norm` (gamma and beta spared) or `weights` (biases spared too)."""
    loss_scale: float = 1024.0
    clip_norm: float | None = None
    accumulate_steps: int = 1
    ema: bool = False
    frozen_prefixes: tuple[str, ...] = ()
    """Parameters whose canonical name starts with one of these are not trained, and BatchNorm under
    them keeps its statistics."""
    amp_level: str = "O0"

    def decay_of(self, name: str) -> float:
        """The weight decay of a parameter by its canonical name, as `decayed` says."""
        return 0.0 if name.endswith(_UNDECAYED[self.decayed]) else self.weight_decay

    def rate_of(self, name: str) -> float:
        """The share of the learning rate that a parameter has, by its canonical name."""
        return self.backbone_rate if name.startswith("backbone.") else 1.0


ADAM_EPSILON = 1e-8
"""Added to the root of the second momentum (arXiv:1412.6980)."""

_UNDECAYED: dict[str, tuple[str, ...]] = {
    "all": (),
    "all_but_norm": (".gamma", ".beta"),
    "weights": (".gamma", ".beta", ".bias"),
}
"""The ends of the names that `StepSpec.decayed` spares."""


@dataclass(frozen=True)
class StepResult:
    """One step's figures: `loss = class_loss + box_loss`; not `finite` means a skipped step."""

    loss: float
    class_loss: float
    box_loss: float
    finite: bool
    gradient_norm: float
    num_positives: float


class Network(Protocol):
    """A built detector network."""

    spec: NetworkSpec
    grids: tuple[tuple[int, int], ...]
    """(rows, columns) of each level's map, as read off the network."""

    def parameters(self) -> Parameters:
        """All parameters and BatchNorm statistics, as copies."""

    def load_parameters(self, parameters: Mapping[str, Array]) -> None:
        """Set the named parameters; every name must exist and every shape fit, or WeightsError."""

    def trainable_names(self) -> Sequence[str]:
        """The names that an optimizer may change, in the network's order."""

    def forward(self, images: Array) -> tuple[Array, Array]:
        """images (B, 3, H, W) float32 to raw outputs: offsets (B, A, 4), logits (B, A, C + 1).

        Offsets are (ty, tx, th, tw), the order of MindCV's published weights. May be called from
        several threads at once. EngineError, in one line, where the framework fails.
        """


@dataclass(frozen=True)
class StepperState:
    """What a stepper carries from step to step, for exact resume."""

    arrays: dict[str, Array] = field(default_factory=dict)
    scalars: dict[str, float] = field(default_factory=dict)


class Stepper(Protocol):
    """Runs optimizer steps on a network."""

    compiles: bool
    """Whether the first of its steps take much longer than the rest."""

    def step(self, batch: Batch, learning_rate: float, ema_decay: float) -> StepResult:
        """One forward, loss, backward and update.

        In a group, `batch` is this process's part of one batch, and the result is the whole's.
        """

    def state(self) -> StepperState: ...

    def load_state(self, state: StepperState) -> None:
        """Go on from it. The part of an update of more steps than this one's is dropped."""

    def ema_parameters(self) -> Parameters:
        """The averaged parameters (with the current BatchNorm statistics averaged alike)."""


class Group(Protocol):
    """The processes that train together, each on its own device and its share of the data.

    All of them must call these in the same order.
    """

    rank: int
    size: int

    def any(self, flag: bool) -> bool:
        """Whether `flag` is true in one of them."""

    def gather(self, data: bytes) -> list[bytes]:
        """Every process's `data`, in the order of their ranks."""

    def broadcast(self, arrays: Parameters) -> Parameters:
        """Rank 0's arrays; the others give arrays of the same names and shapes."""


class Cluster(Protocol):
    """What a launcher must know so that its processes find each other."""

    def worker_environment(self, rank: int) -> dict[str, str]:
        """The variables of the process that shall have this rank."""

    def helper(self) -> tuple[list[str], dict[str, str]]:
        """The command, and its variables, of a process that must run beside the workers."""


class SingleProcessGroup:
    """The group of one process."""

    rank = 0
    size = 1

    def any(self, flag: bool) -> bool:
        return flag

    def gather(self, data: bytes) -> list[bytes]:
        return [data]

    def broadcast(self, arrays: Parameters) -> Parameters:
        return arrays


class Engine(Protocol):
    """A framework's part of mindssd."""

    name: str
    group: Group

    def build_network(self, spec: NetworkSpec, seed: int) -> Network: ...

    def build_stepper(self, network: Network, spec: StepSpec) -> Stepper:
        """Of an engine that was built for training."""

    def describe(self) -> dict[str, str]:
        """Framework, version, device and settings, for logs and `mindssd doctor`."""

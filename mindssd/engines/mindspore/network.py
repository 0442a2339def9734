"""The detector network: a MindCV backbone, a neck and a head, under canonical parameter names."""

from collections.abc import Mapping, Sequence

import mindcv
import mindspore as ms
import numpy as np
from mindspore import nn

from mindssd.engines.base import (
    ExtrasNeck,
    NetworkSpec,
    Parameters,
    PerLevelHead,
    faults,
    require_fit,
    require_halving,
)
from mindssd.engines.mindspore.depthwise import use_fast_depthwise
from mindssd.engines.mindspore.device import in_mode, overwrite
from mindssd.engines.mindspore.heads import PerLevel, Shared
from mindssd.engines.mindspore.necks import FPN, Extras
from mindssd.engines.mindspore.process import calling
from mindssd.errors import EngineError
from mindssd.types import Array


def _create_backbone(name: str, out_indices: tuple[int, ...]) -> nn.Cell:
    if not mindcv.is_model(name):
        raise EngineError(
            f"backbone {name!r} is not a model of MindCV {mindcv.__version__} "
            "(mindcv.list_models())"
        )
    try:
        backbone = mindcv.create_model(name, features_only=True, out_indices=list(out_indices))
    except (RuntimeError, TypeError) as error:
        raise EngineError(
            f"backbone {name!r}: MindCV {mindcv.__version__} cannot extract features from it; "
            "resnet, mobilenet_v2, mobilenet_v3, efficientnet, convnext, hrnet, repvgg, resnest can"
        ) from error
    if len(backbone.out_channels) != len(out_indices):
        raise EngineError(
            f"backbone {name!r} gives {len(backbone.out_channels)} maps for out_indices "
            f"{list(out_indices)}: some of these indices do not exist"
        )
    return backbone


class _Detector(nn.Cell):
    """images (B, 3, H, W) to offsets (B, A, 4), logits (B, A, C + 1); the same in training."""

    def __init__(self, spec: NetworkSpec) -> None:
        super().__init__()
        self.backbone = _create_backbone(spec.backbone, spec.out_indices)
        in_channels = [int(c) for c in self.backbone.out_channels]
        if isinstance(spec.neck, ExtrasNeck):
            self.neck = Extras(spec.neck, in_channels)
        else:
            self.neck = FPN(spec.neck, in_channels)
        levels, columns = self.neck.out_channels, spec.num_classes + 1
        if isinstance(spec.head, PerLevelHead):
            self.head = PerLevel(levels, spec.boxes_per_location, columns)
        else:
            self.head = Shared(spec.head, levels, spec.boxes_per_location, columns)

    def construct(self, images):
        return self.head(self.neck(self.backbone(images)))


def _grids(maps) -> tuple[tuple[int, int], ...]:
    return tuple((int(x.shape[2]), int(x.shape[3])) for x in maps)


def _canonical(name: str) -> str:
    """MindCV's feature extractor keeps its layers under `net.`, which says nothing to a reader."""
    return name.replace("backbone.net.", "backbone.", 1)


class MindSporeNetwork:
    """Implements `engines.base.Network`. May be used from several threads."""

    def __init__(self, spec: NetworkSpec, fast_depthwise: bool = True) -> None:
        """At initial values that MindSpore's seed decides."""
        self.spec = spec
        self.cell = _Detector(spec)
        self.cell.set_train(False)
        # A graph, also where the process is in PyNative mode, which stays its own to choose.
        self._run = ms.jit(self.cell)
        self._parameters = {_canonical(p.name): p for p in self.cell.get_parameters()}
        self.grids = self._read_grids()
        if fast_depthwise and ms.get_context("device_target") == "CPU":
            use_fast_depthwise(self.cell)

    def _read_grids(self) -> tuple[tuple[int, int], ...]:
        """Run the backbone and neck once on zeros: the only sure way to a level's size."""
        height, width = self.spec.image_size
        images = ms.Tensor(np.zeros((1, 3, height, width), np.float32))
        with in_mode(ms.PYNATIVE_MODE):
            maps = self.cell.backbone(images)
            require_halving(self.spec, _grids(maps))
            return _grids(self.cell.neck(maps))

    @calling()
    def parameters(self) -> Parameters:
        return {name: np.array(p.asnumpy()) for name, p in self._parameters.items()}

    @calling()
    def load_parameters(self, parameters: Mapping[str, Array]) -> None:
        require_fit(parameters, {n: p.shape for n, p in self._parameters.items()})
        for name, value in parameters.items():
            overwrite(self._parameters[name], value)

    def trainable_names(self) -> Sequence[str]:
        return [name for name, p in self._parameters.items() if p.requires_grad]

    @calling()
    def freeze(self, prefixes: tuple[str, ...]) -> list[nn.Cell]:
        """Stop training the parameters under these canonical prefixes; return their BatchNorms."""
        for name, parameter in self._parameters.items():
            if name.startswith(prefixes):
                parameter.requires_grad = False
        return [
            cell
            for name, cell in self.cell.cells_and_names()
            if isinstance(cell, nn.BatchNorm2d) and _canonical(name + ".").startswith(prefixes)
        ]

    def forward(self, images: Array) -> tuple[Array, Array]:
        with calling(), faults("MindSpore"):
            self.cell.set_train(False)
            offsets, logits = self._run(ms.Tensor(images))
            return offsets.asnumpy(), logits.asnumpy()

"""MindCV's backbones as feature extractors: its channels, strides, padding, names and first values.

A backbone is MindCV's feature extractor (MindCV 0.3.0, `models/features.py`): the layers up to the
last map that is asked for, the children of a top-level `features` joined to it by an underscore. An
index of `out_indices` counts the model's `feature_info`.
"""

from collections.abc import Callable, Sequence
from functools import partial

from torch import Tensor, nn

from mindssd.engines.torch.mobilenets import MOBILENET_V3, mobilenet_v2, mobilenet_v3
from mindssd.engines.torch.models import Model
from mindssd.engines.torch.resnets import BasicBlock, Bottleneck, resnet
from mindssd.errors import EngineError


class Backbone(nn.Module):
    """images (B, 3, H, W) to a list of maps, finest first."""

    def __init__(self, model: Model, out_indices: Sequence[int]) -> None:
        super().__init__()
        chosen = [model.features[index] for index in out_indices]
        self.out_channels = [feature.channels for feature in chosen]
        self._out_layers = frozenset(feature.layer for feature in chosen)
        remaining = set(self._out_layers)
        for name, layer in model.layers.items():
            self.add_module(name, layer)
            remaining.discard(name)
            if not remaining:
                break
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                # MindCV draws MobileNets from N(0, 2 / (k² · outputs)) and ResNets by He's rule on
                # the outputs, which is the same.
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
                if module.bias is not None:
                    nn.init.zeros_(module.bias)

    def forward(self, x: Tensor) -> list[Tensor]:
        maps = []
        for name, layer in self.named_children():
            x = layer(x)
            if name in self._out_layers:
                maps.append(x)
        return maps


def create_backbone(name: str, out_indices: Sequence[int]) -> Backbone:
    """Build MindCV's model `name`; EngineError for one that is not here, or has no such map."""
    if name not in BACKBONES:
        families = "mobilenet_v2, mobilenet_v3, resnet and resnext"
        raise EngineError(
            f"backbone {name!r} is none of the {len(BACKBONES)} that the PyTorch engine has "
            f"({families}); for another of MindCV's set engine=mindspore"
        )
    model = BACKBONES[name]()
    if not all(index < len(model.features) for index in out_indices):
        raise EngineError(
            f"backbone {name!r} has maps 0 to {len(model.features) - 1}; out_indices "
            f"{list(out_indices)} asks for others"
        )
    return Backbone(model, out_indices)


BACKBONES: dict[str, Callable[[], Model]] = {
    **{
        f"mobilenet_v2_{percent:03}{size}": partial(mobilenet_v2, percent / 100)
        for percent, sizes in (
            (140, ("",)),
            (130, ("_224",)),
            (100, ("", "_192", "_160", "_128", "_96")),
            (75, ("", "_192", "_160", "_128", "_96")),
            (50, ("_224", "_192", "_160", "_128", "_96")),
            (35, ("_224", "_192", "_160", "_128", "_96")),
        )
        for size in sizes
    },
    **{
        f"mobilenet_v3_{size}_{percent:03}": partial(mobilenet_v3, size, percent / 100)
        for size in MOBILENET_V3
        for percent in (75, 100)
    },
    "resnet18": partial(resnet, BasicBlock, (2, 2, 2, 2)),
    "resnet34": partial(resnet, BasicBlock, (3, 4, 6, 3)),
    "resnet50": partial(resnet, Bottleneck, (3, 4, 6, 3)),
    "resnet101": partial(resnet, Bottleneck, (3, 4, 23, 3)),
    "resnet152": partial(resnet, Bottleneck, (3, 8, 36, 3)),
    "resnext50_32x4d": partial(resnet, Bottleneck, (3, 4, 6, 3), 32, 4),
    "resnext101_32x4d": partial(resnet, Bottleneck, (3, 4, 23, 3), 32, 4),
    "resnext101_64x4d": partial(resnet, Bottleneck, (3, 4, 23, 3), 64, 4),
    "resnext152_64x4d": partial(resnet, Bottleneck, (3, 8, 36, 3), 64, 4),
}
"""MindCV's names; those of one width are the same network."""

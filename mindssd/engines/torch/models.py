"""What a backbone model is made of: layers by MindCV's names, and the maps that it offers."""

from dataclasses import dataclass

from torch import nn

from mindssd.engines.torch.layers import Conv2d


@dataclass(frozen=True)
class Feature:
    """A map that a model offers: the layer that it comes from and its channels."""

    layer: str
    channels: int


@dataclass(frozen=True)
class Model:
    """A model's layers by name, in order, and the maps that it offers."""

    layers: dict[str, nn.Module]
    features: list[Feature]


def symmetric(
    inputs: int, outputs: int, kernel_size: int = 1, stride: int = 1, groups: int = 1
) -> Conv2d:
    """MindCV's own way: symmetric padding, no bias."""
    return Conv2d(inputs, outputs, kernel_size, stride, groups=groups, bias=False)

"""From levels to raw offsets (B, A, 4) and logits (B, A, C + 1)."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from mindssd.engines.base import DEPTHWISE_STD, SharedHead
from mindssd.engines.torch.layers import ConvNorm, convolution, neck_norm


def _flatten(level_outputs: Sequence[Tensor], columns: int) -> Tensor:
    """Maps (B, k · columns, H, W) to (B, A, columns): rows, then cells, then boxes of a cell."""
    flat = [x.permute(0, 2, 3, 1).reshape(x.shape[0], -1, columns) for x in level_outputs]
    return torch.cat(flat, dim=1)


class _LevelPredictor(nn.Module):
    """Depthwise 3×3 + BN + ReLU6 + 1×1."""

    def __init__(self, channels: int, outputs: int) -> None:
        super().__init__()
        self.depthwise = ConvNorm(channels, channels, 3, groups=channels)
        self.predict = convolution(channels, outputs, bias=True)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.predict(self.depthwise(x))
        return y


class PerLevel(nn.Module):
    """See `PerLevelHead`."""

    def __init__(
        self, in_channels: list[int], boxes_per_location: tuple[int, ...], columns: int
    ) -> None:
        super().__init__()
        pairs = list(zip(in_channels, boxes_per_location, strict=True))
        self.boxes = nn.ModuleList(_LevelPredictor(c, 4 * k) for c, k in pairs)
        self.classes = nn.ModuleList(_LevelPredictor(c, columns * k) for c, k in pairs)
        self.columns = columns

    def forward(self, levels: list[Tensor]) -> tuple[Tensor, Tensor]:
        offsets = [predict(x) for predict, x in zip(self.boxes, levels, strict=True)]
        logits = [predict(x) for predict, x in zip(self.classes, levels, strict=True)]
        return _flatten(offsets, 4), _flatten(logits, self.columns)


class _TowerLayer(nn.Module):
    """A convolution shared by all levels; each level normalises by its own statistics."""

    def __init__(self, conv: nn.Conv2d, num_levels: int, activation: nn.Module) -> None:
        super().__init__()
        self.conv = conv
        self.norm = nn.ModuleList(neck_norm(conv.out_channels) for _ in range(num_levels))
        self.activation = activation

    def forward(self, x: Tensor, level: int) -> Tensor:
        y: Tensor = self.activation(self.norm[level](self.conv(x)))
        return y


class _SeparableTowerLayer(nn.Module):
    """As `Separable`, shared by all levels."""

    def __init__(self, channels: int, num_levels: int) -> None:
        super().__init__()
        over_space = convolution(channels, channels, 3, groups=channels, std=DEPTHWISE_STD)
        self.depthwise = _TowerLayer(over_space, num_levels, nn.Identity())
        over_channels = convolution(channels, channels)
        self.pointwise = _TowerLayer(over_channels, num_levels, nn.ReLU6(inplace=True))

    def forward(self, x: Tensor, level: int) -> Tensor:
        y: Tensor = self.pointwise(self.depthwise(x, level), level)
        return y


def _tower_layer(
    channels: int, num_levels: int, separable: bool
) -> _TowerLayer | _SeparableTowerLayer:
    if separable:
        return _SeparableTowerLayer(channels, num_levels)
    conv = convolution(channels, channels, 3, bias=True)
    return _TowerLayer(conv, num_levels, nn.ReLU6(inplace=True))


class _SharedPredictor(nn.Module):
    def __init__(self, spec: SharedHead, channels: int, outputs: int, num_levels: int) -> None:
        super().__init__()
        self.tower = nn.ModuleList(
            _tower_layer(channels, num_levels, spec.separable) for _ in range(spec.tower_depth)
        )
        self.predict = convolution(channels, outputs, 3, bias=True)

    def forward(self, x: Tensor, level: int) -> Tensor:
        for layer in self.tower:
            x = layer(x, level)
        y: Tensor = self.predict(x)
        return y


class Shared(nn.Module):
    """See `SharedHead`."""

    def __init__(
        self,
        spec: SharedHead,
        in_channels: list[int],
        boxes_per_location: tuple[int, ...],
        columns: int,
    ) -> None:
        super().__init__()
        channels, per_location, num_levels = in_channels[0], boxes_per_location[0], len(in_channels)
        self.boxes = _SharedPredictor(spec, channels, 4 * per_location, num_levels)
        self.classes = _SharedPredictor(spec, channels, columns * per_location, num_levels)
        self.columns = columns

    def forward(self, levels: list[Tensor]) -> tuple[Tensor, Tensor]:
        offsets = [self.boxes(x, index) for index, x in enumerate(levels)]
        logits = [self.classes(x, index) for index, x in enumerate(levels)]
        return _flatten(offsets, 4), _flatten(logits, self.columns)

"""From the backbone's maps to the levels that the head looks at."""

from mindspore import nn, ops

from mindssd.engines.base import ExtrasNeck, FPNNeck
from mindssd.engines.mindspore.layers import ConvNorm, Separable, convolution


class InvertedResidual(nn.Cell):
    """Expand 1×1, depthwise 3×3 of stride 2, project 1×1: one extra map, half the size."""

    def __init__(self, in_channels: int, out_channels: int, expand_ratio: float) -> None:
        super().__init__()
        hidden = round(in_channels * expand_ratio)
        self.expand = ConvNorm(in_channels, hidden, activation=nn.ReLU6())
        self.depthwise = ConvNorm(hidden, hidden, 3, 2, groups=hidden, activation=nn.ReLU6())
        self.project = ConvNorm(hidden, out_channels, activation=nn.ReLU6())

    def construct(self, x):
        return self.project(self.depthwise(self.expand(x)))


class Extras(nn.Cell):
    """See `ExtrasNeck`: levels are the expanded first map, the other maps, then the extras."""

    def __init__(self, spec: ExtrasNeck, in_channels: list[int]) -> None:
        super().__init__()
        expanded = in_channels[0] * spec.expand_first
        if spec.expand_first_style == "mobilenet_v3":
            self.expand = ConvNorm(
                in_channels[0], expanded, norm=nn.BatchNorm2d(expanded), activation=nn.HSwish()
            )
        else:
            self.expand = ConvNorm(in_channels[0], expanded, activation=nn.ReLU6())
        channels = [in_channels[-1], *spec.channels]
        self.extras = nn.CellList(
            [
                InvertedResidual(before, after, ratio)
                for before, after, ratio in zip(
                    channels, channels[1:], spec.expand_ratios, strict=False
                )
            ]
        )
        self.out_channels = [expanded, *in_channels[1:], *spec.channels]

    def construct(self, maps):
        levels = [self.expand(maps[0])]
        for level in maps[1:]:
            levels.append(level)
        x = maps[-1]
        for extra in self.extras:
            x = extra(x)
            levels.append(x)
        return levels


def _block(channels: int, stride: int, separable: bool) -> nn.Cell:
    """A 3×3 + BN + ReLU6, or what stands for it."""
    if separable:
        return Separable(channels, stride)
    return ConvNorm(channels, channels, 3, stride, activation=nn.ReLU6())


class _PathStep(nn.Cell):
    """Halve the level before, add it to the level, and convolve."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.down = Separable(channels, 2)
        self.output = Separable(channels)

    def construct(self, before, level):
        return self.output(self.down(before) + level)


class FPN(nn.Cell):
    """See `FPNNeck`: top-down by bilinear resizing, a 3×3 at each level, stride-2 maps on top.

    Where there is a path from fine to coarse, it comes before the stride-2 maps, which go on from
    its last level.
    """

    def __init__(self, spec: FPNNeck, in_channels: list[int]) -> None:
        super().__init__()
        width = spec.channels
        self.lateral = nn.CellList([convolution(c, width, has_bias=True) for c in in_channels])
        self.output = nn.CellList([_block(width, 1, spec.separable) for _ in in_channels])
        self.bottom_up = nn.CellList(
            [_block(width, 2, spec.separable) for _ in range(spec.extra_levels)]
        )
        self.aggregates = spec.path_aggregation
        steps = len(in_channels) - 1 if self.aggregates else 0
        self.path = nn.CellList([_PathStep(width) for _ in range(steps)])
        self.num_maps = len(in_channels)
        self.out_channels = [width] * (len(in_channels) + spec.extra_levels)

    def construct(self, maps):
        merged = [self.lateral[self.num_maps - 1](maps[self.num_maps - 1])]
        for step in range(1, self.num_maps):
            index = self.num_maps - 1 - step
            lateral = self.lateral[index](maps[index])
            size = ops.shape(lateral)[2:]
            merged.append(lateral + ops.ResizeBilinearV2()(merged[-1], size))
        levels = [self.output[0](merged[-1])]
        for index in range(1, self.num_maps):
            level = self.output[index](merged[self.num_maps - 1 - index])
            if self.aggregates:
                level = self.path[index - 1](levels[-1], level)
            levels.append(level)
        for block in self.bottom_up:
            levels.append(block(levels[-1]))
        return levels

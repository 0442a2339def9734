"""From the backbone's maps to the levels that the head looks at."""

from torch import Tensor, nn
from torch.nn import functional

from mindssd.engines.base import ExtrasNeck, FPNNeck
from mindssd.engines.torch.layers import BatchNorm, ConvNorm, Separable, convolution


class InvertedResidual(nn.Module):
    """Expand 1×1, depthwise 3×3 of stride 2, project 1×1: one extra map, half the size."""

    def __init__(self, in_channels: int, out_channels: int, expand_ratio: float) -> None:
        super().__init__()
        hidden = round(in_channels * expand_ratio)
        self.expand = ConvNorm(in_channels, hidden)
        self.depthwise = ConvNorm(hidden, hidden, 3, 2, groups=hidden)
        self.project = ConvNorm(hidden, out_channels)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.project(self.depthwise(self.expand(x)))
        return y


class Extras(nn.Module):
    """See `ExtrasNeck`: levels are the expanded first map, the other maps, then the extras."""

    def __init__(self, spec: ExtrasNeck, in_channels: list[int]) -> None:
        super().__init__()
        expanded = in_channels[0] * spec.expand_first
        if spec.expand_first_style == "mobilenet_v3":
            self.expand = ConvNorm(
                in_channels[0], expanded, norm=BatchNorm(expanded), activation=nn.Hardswish()
            )
        else:
            self.expand = ConvNorm(in_channels[0], expanded)
        channels = [in_channels[-1], *spec.channels]
        self.extras = nn.ModuleList(
            InvertedResidual(before, after, ratio)
            for before, after, ratio in zip(
                channels, channels[1:], spec.expand_ratios, strict=False
            )
        )
        self.out_channels = [expanded, *in_channels[1:], *spec.channels]

    def forward(self, maps: list[Tensor]) -> list[Tensor]:
        levels = [self.expand(maps[0]), *maps[1:]]
        x = maps[-1]
        for extra in self.extras:
            x = extra(x)
            levels.append(x)
        return levels


def _block(channels: int, stride: int, separable: bool) -> ConvNorm | Separable:
    """A 3×3 + BN + ReLU6, or what stands for it."""
    if separable:
        return Separable(channels, stride)
    return ConvNorm(channels, channels, 3, stride)


class _PathStep(nn.Module):
    """Halve the level before, add it to the level, and convolve."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.down = Separable(channels, 2)
        self.output = Separable(channels)

    def forward(self, before: Tensor, level: Tensor) -> Tensor:
        y: Tensor = self.output(self.down(before) + level)
        return y


class FPN(nn.Module):
    """See `FPNNeck`: top-down by bilinear resizing, a 3×3 at each level, stride-2 maps on top.

    Where there is a path from fine to coarse, it comes before the stride-2 maps, which go on from
    its last level.
    """

    def __init__(self, spec: FPNNeck, in_channels: list[int]) -> None:
        super().__init__()
        width = spec.channels
        self.lateral = nn.ModuleList(convolution(c, width, bias=True) for c in in_channels)
        self.output = nn.ModuleList(_block(width, 1, spec.separable) for _ in in_channels)
        self.bottom_up = nn.ModuleList(
            _block(width, 2, spec.separable) for _ in range(spec.extra_levels)
        )
        steps = len(in_channels) - 1 if spec.path_aggregation else 0
        self.path = nn.ModuleList(_PathStep(width) for _ in range(steps))
        self.out_channels = [width] * (len(in_channels) + spec.extra_levels)

    def forward(self, maps: list[Tensor]) -> list[Tensor]:
        merged = [lateral(x) for lateral, x in zip(self.lateral, maps, strict=True)]
        for index in reversed(range(len(merged) - 1)):
            height, width = merged[index].shape[2:]
            merged[index] = merged[index] + resize(merged[index + 1], height, width)
        levels = [output(x) for output, x in zip(self.output, merged, strict=True)]
        for index, step in enumerate(self.path, start=1):
            levels[index] = step(levels[index - 1], levels[index])
        for block in self.bottom_up:
            levels.append(block(levels[-1]))
        return levels


def resize(x: Tensor, height: int, width: int) -> Tensor:
    """Enlarge bilinearly as MindSpore's ResizeBilinearV2: output i looks at i · old / new.

    PyTorch aligns pixels' corners or centres instead. With the last row and column once more, old
    + 1 points on new + 1, its corners give this rule, and one row and column too many.
    """
    more = functional.pad(x, (0, 1, 0, 1), mode="replicate")
    larger = functional.interpolate(
        more, size=(height + 1, width + 1), mode="bilinear", align_corners=True
    )
    return larger[:, :, :height, :width]

"""From levels to raw offsets (B, A, 4) and logits (B, A, C + 1)."""

from mindspore import nn, ops

from mindssd.engines.base import DEPTHWISE_STD, SharedHead
from mindssd.engines.mindspore.layers import ConvNorm, batch_norm, convolution


def _flatten(level_outputs, columns: int):
    """Maps (B, k · columns, H, W) to (B, A, columns): rows, then cells, then boxes of a cell."""
    flat = []
    for x in level_outputs:
        batch = ops.shape(x)[0]
        flat.append(ops.reshape(ops.transpose(x, (0, 2, 3, 1)), (batch, -1, columns)))
    return ops.concat(flat, axis=1) if len(flat) > 1 else flat[0]


class _LevelPredictor(nn.Cell):
    """Depthwise 3×3 + BN + ReLU6 + 1×1."""

    def __init__(self, channels: int, outputs: int) -> None:
        super().__init__()
        self.depthwise = ConvNorm(channels, channels, 3, groups=channels, activation=nn.ReLU6())
        self.predict = convolution(channels, outputs, has_bias=True)

    def construct(self, x):
        return self.predict(self.depthwise(x))


class PerLevel(nn.Cell):
    """See `PerLevelHead`."""

    def __init__(
        self, in_channels: list[int], boxes_per_location: tuple[int, ...], columns: int
    ) -> None:
        super().__init__()
        pairs = list(zip(in_channels, boxes_per_location, strict=True))
        self.boxes = nn.CellList([_LevelPredictor(c, 4 * k) for c, k in pairs])
        self.classes = nn.CellList([_LevelPredictor(c, columns * k) for c, k in pairs])
        self.columns = columns

    def construct(self, levels):
        offsets = []
        logits = []
        for index, level in enumerate(levels):
            offsets.append(self.boxes[index](level))
            logits.append(self.classes[index](level))
        return _flatten(offsets, 4), _flatten(logits, self.columns)


class _TowerLayer(nn.Cell):
    """A convolution shared by all levels; each level normalises by its own statistics."""

    def __init__(self, conv: nn.Conv2d, num_levels: int, activation: nn.Cell | None) -> None:
        super().__init__()
        self.conv = conv
        self.norm = nn.CellList([batch_norm(conv.out_channels) for _ in range(num_levels)])
        self.activation = activation

    def construct(self, x, level: int):
        x = self.norm[level](self.conv(x))
        return x if self.activation is None else self.activation(x)


class _SeparableTowerLayer(nn.Cell):
    """As `Separable`, shared by all levels."""

    def __init__(self, channels: int, num_levels: int) -> None:
        super().__init__()
        over_space = convolution(channels, channels, 3, groups=channels, std=DEPTHWISE_STD)
        self.depthwise = _TowerLayer(over_space, num_levels, None)
        over_channels = convolution(channels, channels)
        self.pointwise = _TowerLayer(over_channels, num_levels, nn.ReLU6())

    def construct(self, x, level: int):
        return self.pointwise(self.depthwise(x, level), level)


def _tower_layer(channels: int, num_levels: int, separable: bool) -> nn.Cell:
    if separable:
        return _SeparableTowerLayer(channels, num_levels)
    return _TowerLayer(convolution(channels, channels, 3, has_bias=True), num_levels, nn.ReLU6())


class _SharedPredictor(nn.Cell):
    def __init__(self, spec: SharedHead, channels: int, outputs: int, num_levels: int) -> None:
        super().__init__()
        self.tower = nn.CellList(
            [_tower_layer(channels, num_levels, spec.separable) for _ in range(spec.tower_depth)]
        )
        self.predict = convolution(channels, outputs, 3, has_bias=True)

    def construct(self, x, level: int):
        for layer in self.tower:
            x = layer(x, level)
        return self.predict(x)


class Shared(nn.Cell):
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

    def construct(self, levels):
        offsets = []
        logits = []
        for index, level in enumerate(levels):
            offsets.append(self.boxes(level, index))
            logits.append(self.classes(level, index))
        return _flatten(offsets, 4), _flatten(logits, self.columns)

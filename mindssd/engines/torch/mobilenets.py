"""MobileNetV2 and MobileNetV3 as MindCV 0.3.0 has them (`mobilenetv2.py` and `mobilenetv3.py`)."""

from collections.abc import Sequence

from torch import Tensor, nn

from mindssd.engines.torch.layers import BatchNorm, SameConv2d
from mindssd.engines.torch.models import Feature, Model, symmetric


def make_divisible(value: float) -> int:
    """The nearest multiple of 8, at least 8 and not 10 % below `value`."""
    rounded = max(8, int(value + 4) // 8 * 8)
    return rounded + 8 if rounded < 0.9 * value else rounded


class _Residual(nn.Module):
    """Layers whose input is added to their output where both are alike."""

    def __init__(self, layers: Sequence[nn.Module], adds_input: bool) -> None:
        super().__init__()
        self.layers = nn.Sequential(*layers)
        self.adds_input = adds_input

    def forward(self, x: Tensor) -> Tensor:
        return x + self.layers(x) if self.adds_input else self.layers(x)


class _MobileNetLayers:
    """Collects the `features` of a MobileNet, and which of them give maps."""

    def __init__(self) -> None:
        self.layers: dict[str, nn.Module] = {}
        self.features: list[Feature] = []

    def add(self, channels: int, *layers: nn.Module) -> None:
        for layer in layers:
            self.layers[f"features_{len(self.layers)}"] = layer
        self.features.append(Feature(next(reversed(self.layers)), channels))

    def model(self) -> Model:
        return Model(self.layers, self.features)


# expansion, channels, blocks, stride of the first (arXiv:1801.04381, table 2)
MOBILENET_V2 = (
    (1, 16, 1, 1),
    (6, 24, 2, 2),
    (6, 32, 3, 2),
    (6, 64, 4, 2),
    (6, 96, 3, 1),
    (6, 160, 3, 2),
    (6, 320, 1, 1),
)


def mobilenet_v2(width: float) -> Model:
    """MobileNetV2 (arXiv:1801.04381), its channels times `width`."""
    found = _MobileNetLayers()
    channels = make_divisible(32 * width)
    found.add(channels, symmetric(3, channels, 3, 2), BatchNorm(channels), nn.ReLU6(inplace=True))
    for expansion, base_channels, num_blocks, first_stride in MOBILENET_V2:
        outputs = make_divisible(base_channels * width)
        for block in range(num_blocks):
            stride = first_stride if block == 0 else 1
            found.add(outputs, _inverted_residual(channels, outputs, stride, expansion))
            channels = outputs
    last = make_divisible(1280 * max(1.0, width))
    found.add(last, symmetric(channels, last), BatchNorm(last), nn.ReLU6(inplace=True))
    return found.model()


def _inverted_residual(inputs: int, outputs: int, stride: int, expansion: int) -> _Residual:
    hidden = inputs * expansion
    layers: list[nn.Module] = []
    if expansion != 1:
        layers += [symmetric(inputs, hidden), BatchNorm(hidden), nn.ReLU6(inplace=True)]
    layers += [
        symmetric(hidden, hidden, 3, stride, groups=hidden),
        BatchNorm(hidden),
        nn.ReLU6(inplace=True),
    ]
    layers += [symmetric(hidden, outputs), BatchNorm(outputs)]
    return _Residual(layers, adds_input=stride == 1 and inputs == outputs)


# kernel, expanded channels, channels, squeeze-and-excitation, activation, stride
# (arXiv:1905.02244, tables 1 and 2)
MOBILENET_V3 = {
    "large": (
        (3, 16, 16, False, nn.ReLU, 1),
        (3, 64, 24, False, nn.ReLU, 2),
        (3, 72, 24, False, nn.ReLU, 1),
        (5, 72, 40, True, nn.ReLU, 2),
        (5, 120, 40, True, nn.ReLU, 1),
        (5, 120, 40, True, nn.ReLU, 1),
        (3, 240, 80, False, nn.Hardswish, 2),
        (3, 200, 80, False, nn.Hardswish, 1),
        (3, 184, 80, False, nn.Hardswish, 1),
        (3, 184, 80, False, nn.Hardswish, 1),
        (3, 480, 112, True, nn.Hardswish, 1),
        (3, 672, 112, True, nn.Hardswish, 1),
        (5, 672, 160, True, nn.Hardswish, 2),
        (5, 960, 160, True, nn.Hardswish, 1),
        (5, 960, 160, True, nn.Hardswish, 1),
    ),
    "small": (
        (3, 16, 16, True, nn.ReLU, 2),
        (3, 72, 24, False, nn.ReLU, 2),
        (3, 88, 24, False, nn.ReLU, 1),
        (5, 96, 40, True, nn.Hardswish, 2),
        (5, 240, 40, True, nn.Hardswish, 1),
        (5, 240, 40, True, nn.Hardswish, 1),
        (5, 120, 48, True, nn.Hardswish, 1),
        (5, 144, 48, True, nn.Hardswish, 1),
        (5, 288, 96, True, nn.Hardswish, 2),
        (5, 576, 96, True, nn.Hardswish, 1),
        (5, 576, 96, True, nn.Hardswish, 1),
    ),
}


def mobilenet_v3(size: str, width: float) -> Model:
    """MobileNetV3 (arXiv:1905.02244); its depthwise convolutions alone pad "same" in MindCV."""
    found = _MobileNetLayers()
    channels = make_divisible(16 * width)
    found.add(channels, symmetric(3, channels, 3, 2), BatchNorm(channels), nn.Hardswish())
    for kernel, base_hidden, base_outputs, squeezes, activation, stride in MOBILENET_V3[size]:
        hidden, outputs = make_divisible(width * base_hidden), make_divisible(width * base_outputs)
        in_place = activation is nn.ReLU  # a hard-swish needs its input for its gradient
        layers: list[nn.Module] = []
        if channels != hidden:
            layers += [symmetric(channels, hidden), BatchNorm(hidden), activation(inplace=in_place)]
        layers += [
            SameConv2d(hidden, hidden, kernel, stride, groups=hidden, bias=False),
            BatchNorm(hidden),
            activation(inplace=in_place),
        ]
        if squeezes:
            layers.append(_SqueezeExcite(hidden, make_divisible(hidden / 4)))
        layers += [symmetric(hidden, outputs), BatchNorm(outputs)]
        found.add(outputs, _Residual(layers, adds_input=stride == 1 and channels == outputs))
        channels = outputs
    last = channels * 6
    found.add(last, symmetric(channels, last), BatchNorm(last), nn.Hardswish())
    return found.model()


class _SqueezeExcite(nn.Module):
    """Channel attention (arXiv:1709.01507) with a hard sigmoid."""

    def __init__(self, channels: int, reduced: int) -> None:
        super().__init__()
        self.conv_reduce = nn.Conv2d(channels, reduced, 1)
        self.conv_expand = nn.Conv2d(reduced, channels, 1)
        self.act = nn.ReLU(inplace=True)
        self.gate = nn.Hardsigmoid()

    def forward(self, x: Tensor) -> Tensor:
        pooled = x.mean((2, 3), keepdim=True)
        return x * self.gate(self.conv_expand(self.act(self.conv_reduce(pooled))))

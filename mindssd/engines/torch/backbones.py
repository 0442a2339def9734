"""MindCV's backbones as feature extractors: its channels, strides, padding, names and first values.

A backbone is MindCV's feature extractor (MindCV 0.3.0, `models/features.py`): the layers up to the
last map that is asked for, the children of a top-level `features` joined to it by an underscore. An
index of `out_indices` counts the model's `feature_info`.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

from torch import Tensor, nn

from mindssd.engines.torch.layers import BatchNorm, SameConv2d, SameMaxPool2d
from mindssd.errors import EngineError


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


def make_divisible(value: float, divisor: int = 8) -> int:
    """The nearest multiple of `divisor`, at least one of it and not 10 % below `value`."""
    rounded = max(divisor, int(value + divisor / 2) // divisor * divisor)
    return rounded + divisor if rounded < 0.9 * value else rounded


def _conv(
    in_channels: int, out_channels: int, kernel_size: int = 1, stride: int = 1, groups: int = 1
) -> nn.Conv2d:
    """MindCV's own way: symmetric padding, no bias."""
    padding = kernel_size // 2
    return nn.Conv2d(
        in_channels, out_channels, kernel_size, stride, padding, groups=groups, bias=False
    )


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
    found.add(channels, _conv(3, channels, 3, 2), BatchNorm(channels), nn.ReLU6())
    for expansion, base_channels, num_blocks, first_stride in MOBILENET_V2:
        outputs = make_divisible(base_channels * width)
        for block in range(num_blocks):
            stride = first_stride if block == 0 else 1
            found.add(outputs, _inverted_residual(channels, outputs, stride, expansion))
            channels = outputs
    last = make_divisible(1280 * max(1.0, width))
    found.add(last, _conv(channels, last), BatchNorm(last), nn.ReLU6())
    return found.model()


def _inverted_residual(inputs: int, outputs: int, stride: int, expansion: int) -> _Residual:
    hidden = inputs * expansion
    layers: list[nn.Module] = []
    if expansion != 1:
        layers += [_conv(inputs, hidden), BatchNorm(hidden), nn.ReLU6()]
    layers += [_conv(hidden, hidden, 3, stride, groups=hidden), BatchNorm(hidden), nn.ReLU6()]
    layers += [_conv(hidden, outputs), BatchNorm(outputs)]
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
    found.add(channels, _conv(3, channels, 3, 2), BatchNorm(channels), nn.Hardswish())
    for kernel, base_hidden, base_outputs, squeezes, activation, stride in MOBILENET_V3[size]:
        hidden, outputs = make_divisible(width * base_hidden), make_divisible(width * base_outputs)
        layers: list[nn.Module] = []
        if channels != hidden:
            layers += [_conv(channels, hidden), BatchNorm(hidden), activation()]
        layers += [
            SameConv2d(hidden, hidden, kernel, stride, groups=hidden, bias=False),
            BatchNorm(hidden),
            activation(),
        ]
        if squeezes:
            layers.append(_SqueezeExcite(hidden, make_divisible(hidden / 4)))
        layers += [_conv(hidden, outputs), BatchNorm(outputs)]
        found.add(outputs, _Residual(layers, adds_input=stride == 1 and channels == outputs))
        channels = outputs
    last = channels * 6
    found.add(last, _conv(channels, last), BatchNorm(last), nn.Hardswish())
    return found.model()


class _SqueezeExcite(nn.Module):
    """Channel attention (arXiv:1709.01507) with a hard sigmoid."""

    def __init__(self, channels: int, reduced: int) -> None:
        super().__init__()
        self.conv_reduce = nn.Conv2d(channels, reduced, 1)
        self.conv_expand = nn.Conv2d(reduced, channels, 1)
        self.act = nn.ReLU()
        self.gate = nn.Hardsigmoid()

    def forward(self, x: Tensor) -> Tensor:
        pooled = x.mean((2, 3), keepdim=True)
        return x * self.gate(self.conv_expand(self.act(self.conv_reduce(pooled))))


class _BasicBlock(nn.Module):
    """Two 3×3 convolutions beside the identity."""

    expansion = 1

    def __init__(
        self, inputs: int, channels: int, stride: int, width: int, groups: int, shortcut: nn.Module
    ) -> None:
        super().__init__()
        self.conv1 = _conv(inputs, channels, 3, stride)
        self.bn1 = BatchNorm(channels)
        self.conv2 = _conv(channels, channels, 3)
        self.bn2 = BatchNorm(channels)
        self.relu = nn.ReLU()
        self.down_sample = shortcut

    def forward(self, x: Tensor) -> Tensor:
        hidden = self.relu(self.bn1(self.conv1(x)))
        return self.relu(self.bn2(self.conv2(hidden)) + self.down_sample(x))


class _Bottleneck(nn.Module):
    """1×1, 3×3 (which has the stride), 1×1 beside the identity."""

    expansion = 4

    def __init__(
        self, inputs: int, channels: int, stride: int, width: int, groups: int, shortcut: nn.Module
    ) -> None:
        super().__init__()
        hidden, outputs = channels * width // 64 * groups, channels * self.expansion
        self.conv1 = _conv(inputs, hidden)
        self.bn1 = BatchNorm(hidden)
        self.conv2 = _conv(hidden, hidden, 3, stride, groups)
        self.bn2 = BatchNorm(hidden)
        self.conv3 = _conv(hidden, outputs)
        self.bn3 = BatchNorm(outputs)
        self.relu = nn.ReLU()
        self.down_sample = shortcut

    def forward(self, x: Tensor) -> Tensor:
        hidden = self.relu(self.bn1(self.conv1(x)))
        hidden = self.relu(self.bn2(self.conv2(hidden)))
        return self.relu(self.bn3(self.conv3(hidden)) + self.down_sample(x))


def resnet(
    block: type[_BasicBlock] | type[_Bottleneck],
    num_blocks: Sequence[int],
    groups: int = 1,
    width: int = 64,
) -> Model:
    """ResNet (arXiv:1512.03385), and with `groups` ResNeXt (arXiv:1611.05431)."""
    layers: dict[str, nn.Module] = {
        "conv1": _conv(3, 64, 7, 2),
        "bn1": BatchNorm(64),
        "relu": nn.ReLU(),
        "max_pool": SameMaxPool2d(3, 2),
    }
    features = [Feature("relu", 64)]
    inputs = 64
    for stage, count in enumerate(num_blocks):
        channels, outputs = 64 * 2**stage, 64 * 2**stage * block.expansion
        blocks = []
        for index in range(count):
            stride = 2 if stage > 0 and index == 0 else 1
            shortcut: nn.Module = nn.Identity()
            if stride != 1 or inputs != outputs:
                shortcut = nn.Sequential(_conv(inputs, outputs, 1, stride), BatchNorm(outputs))
            blocks.append(block(inputs, channels, stride, width, groups, shortcut))
            inputs = outputs
        layers[f"layer{stage + 1}"] = nn.Sequential(*blocks)
        features.append(Feature(f"layer{stage + 1}", outputs))
    return Model(layers, features)


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
    "resnet18": partial(resnet, _BasicBlock, (2, 2, 2, 2)),
    "resnet34": partial(resnet, _BasicBlock, (3, 4, 6, 3)),
    "resnet50": partial(resnet, _Bottleneck, (3, 4, 6, 3)),
    "resnet101": partial(resnet, _Bottleneck, (3, 4, 23, 3)),
    "resnet152": partial(resnet, _Bottleneck, (3, 8, 36, 3)),
    "resnext50_32x4d": partial(resnet, _Bottleneck, (3, 4, 6, 3), 32, 4),
    "resnext101_32x4d": partial(resnet, _Bottleneck, (3, 4, 23, 3), 32, 4),
    "resnext101_64x4d": partial(resnet, _Bottleneck, (3, 4, 23, 3), 64, 4),
    "resnext152_64x4d": partial(resnet, _Bottleneck, (3, 8, 36, 3), 64, 4),
}
"""MindCV's names; those of one width are the same network."""

"""ResNet and ResNeXt as MindCV has them (MindCV 0.3.0, `models/resnet.py`)."""

from collections.abc import Sequence

from torch import Tensor, nn

from mindssd.engines.torch.layers import BatchNorm, SameMaxPool2d
from mindssd.engines.torch.models import Feature, Model, symmetric


class BasicBlock(nn.Module):
    """Two 3×3 convolutions beside the identity."""

    expansion = 1

    def __init__(
        self, inputs: int, channels: int, stride: int, width: int, groups: int, shortcut: nn.Module
    ) -> None:
        super().__init__()
        self.conv1 = symmetric(inputs, channels, 3, stride)
        self.bn1 = BatchNorm(channels)
        self.conv2 = symmetric(channels, channels, 3)
        self.bn2 = BatchNorm(channels)
        self.relu = nn.ReLU(inplace=True)
        self.down_sample = shortcut

    def forward(self, x: Tensor) -> Tensor:
        hidden = self.relu(self.bn1(self.conv1(x)))
        return self.relu(self.bn2(self.conv2(hidden)) + self.down_sample(x))


class Bottleneck(nn.Module):
    """1×1, 3×3 (which has the stride), 1×1 beside the identity."""

    expansion = 4

    def __init__(
        self, inputs: int, channels: int, stride: int, width: int, groups: int, shortcut: nn.Module
    ) -> None:
        super().__init__()
        hidden, outputs = channels * width // 64 * groups, channels * self.expansion
        self.conv1 = symmetric(inputs, hidden)
        self.bn1 = BatchNorm(hidden)
        self.conv2 = symmetric(hidden, hidden, 3, stride, groups)
        self.bn2 = BatchNorm(hidden)
        self.conv3 = symmetric(hidden, outputs)
        self.bn3 = BatchNorm(outputs)
        self.relu = nn.ReLU(inplace=True)
        self.down_sample = shortcut

    def forward(self, x: Tensor) -> Tensor:
        hidden = self.relu(self.bn1(self.conv1(x)))
        hidden = self.relu(self.bn2(self.conv2(hidden)))
        return self.relu(self.bn3(self.conv3(hidden)) + self.down_sample(x))


def resnet(
    block: type[BasicBlock] | type[Bottleneck],
    num_blocks: Sequence[int],
    groups: int = 1,
    width: int = 64,
) -> Model:
    """ResNet (arXiv:1512.03385), and with `groups` ResNeXt (arXiv:1611.05431)."""
    layers: dict[str, nn.Module] = {
        "conv1": symmetric(3, 64, 7, 2),
        "bn1": BatchNorm(64),
        "relu": nn.ReLU(inplace=True),
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
                shortcut = nn.Sequential(symmetric(inputs, outputs, 1, stride), BatchNorm(outputs))
            blocks.append(block(inputs, channels, stride, width, groups, shortcut))
            inputs = outputs
        layers[f"layer{stage + 1}"] = nn.Sequential(*blocks)
        features.append(Feature(f"layer{stage + 1}", outputs))
    return Model(layers, features)

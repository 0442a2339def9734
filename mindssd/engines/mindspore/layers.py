"""The convolution blocks of necks and heads, with the reference's padding and BatchNorm."""

from mindspore import nn
from mindspore.common.initializer import TruncatedNormal

from mindssd.engines.base import DEPTHWISE_STD, WEIGHT_STD

# BatchNorm in necks and heads: 0.97 of the old statistics is kept at each step.
NORM_EPSILON = 1e-3
NORM_MOMENTUM = 0.97


def convolution(
    in_channels: int,
    out_channels: int,
    kernel_size: int = 1,
    stride: int = 1,
    groups: int = 1,
    has_bias: bool = False,
    std: float = WEIGHT_STD,
) -> nn.Conv2d:
    """A convolution that pads "same" as TensorFlow does: the odd row and column go to the end."""
    return nn.Conv2d(
        in_channels,
        out_channels,
        kernel_size,
        stride,
        pad_mode="same",
        group=groups,
        has_bias=has_bias,
        # MindSpore 2.10.0's bounds are values, not multiples of sigma: its own cut nothing off.
        weight_init=TruncatedNormal(std, a=-2 * std, b=2 * std),
        # The reference leaves biases at MindSpore's default, uniform within 1 / √fan-in: in its
        # trained checkpoint those of default boxes that matched nothing still are.
        bias_init=None,
    )


def batch_norm(channels: int) -> nn.BatchNorm2d:
    return nn.BatchNorm2d(channels, eps=NORM_EPSILON, momentum=NORM_MOMENTUM)


class ConvNorm(nn.Cell):
    """Convolution, BatchNorm and, unless `activation` is None, an activation."""

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int = 1,
        stride: int = 1,
        groups: int = 1,
        norm: nn.Cell | None = None,
        activation: nn.Cell | None = None,
        std: float = WEIGHT_STD,
    ) -> None:
        super().__init__()
        self.conv = convolution(in_channels, out_channels, kernel_size, stride, groups, std=std)
        self.norm = norm if norm is not None else batch_norm(out_channels)
        self.activation = activation

    def construct(self, x):
        x = self.norm(self.conv(x))
        return x if self.activation is None else self.activation(x)


class Separable(nn.Cell):
    """A depthwise 3×3 + BN and a 1×1 + BN + ReLU6 in place of a 3×3; see `DEPTHWISE_STD`."""

    def __init__(self, channels: int, stride: int = 1) -> None:
        super().__init__()
        self.depthwise = ConvNorm(channels, channels, 3, stride, channels, std=DEPTHWISE_STD)
        self.pointwise = ConvNorm(channels, channels, activation=nn.ReLU6())

    def construct(self, x):
        return self.pointwise(self.depthwise(x))

"""What all networks are built of: TensorFlow's "same" padding, BatchNorm, and blocks of both."""

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional

from mindssd.engines.base import DEPTHWISE_STD, WEIGHT_STD

# BatchNorm in necks and heads. MindSpore says how much of the old statistics is kept, 0.97; PyTorch
# how much of the new is taken.
NORM_EPSILON = 1e-3
NORM_MOMENTUM = 1 - 0.97


class Conv2d(nn.Conv2d):
    """A convolution with symmetric padding."""

    def forward(self, x: Tensor) -> Tensor:
        return self.convolve(x, (self.kernel_size[0] // 2, self.kernel_size[1] // 2))

    def convolve(self, x: Tensor, padding: tuple[int, int]) -> Tensor:
        if self._needs_float32(x):
            with torch.autocast("cpu", enabled=False):
                return self.convolve(x.float(), padding).to(x.dtype)
        return functional.conv2d(
            x, self.weight, self.bias, self.stride, padding, groups=self.groups
        )

    def _needs_float32(self, x: Tensor) -> bool:
        """Whether bfloat16 would be slow.

        oneDNN 3.12 has no fast backward of a depthwise convolution in bfloat16 whose stride is not
        1: with 144 channels of 75×75 pixels it takes 13 ms where float32 takes 3.
        """
        in_bfloat16 = x.device.type == "cpu" and torch.is_autocast_enabled("cpu")
        return in_bfloat16 and self.groups > 1 and self.stride[0] > 1


class SameConv2d(Conv2d):
    """A convolution that pads "same" as TensorFlow does: the odd row and column go to the end."""

    def forward(self, x: Tensor) -> Tensor:
        return self.convolve(*same_padding(x, self.kernel_size[0], self.stride[0]))


class SameMaxPool2d(nn.Module):
    """Maximum over windows that pad "same"; of values that are not negative, as a ReLU's."""

    def __init__(self, kernel_size: int, stride: int) -> None:
        super().__init__()
        self.kernel_size = kernel_size
        self.stride = stride

    def forward(self, x: Tensor) -> Tensor:
        padded, padding = same_padding(x, self.kernel_size, self.stride)
        return functional.max_pool2d(padded, self.kernel_size, self.stride, padding)


def same_padding(x: Tensor, kernel_size: int, stride: int) -> tuple[Tensor, tuple[int, int]]:
    """(x, the symmetric padding that is left to do): padded here where the two ends differ."""
    before, after = [], []
    for length in x.shape[2:]:
        total = max(0, (-(-length // stride) - 1) * stride + kernel_size - length)
        before.append(total // 2)
        after.append(total - total // 2)
    if before == after:
        return x, (before[0], before[1])
    return functional.pad(x, (before[1], after[1], before[0], after[0])), (0, 0)


class BatchNorm(nn.BatchNorm2d):
    """BatchNorm that counts no batches, and can take its statistics of a group of processes."""

    def __init__(self, channels: int, eps: float = 1e-5, momentum: float = 0.1) -> None:
        super().__init__(channels, eps, momentum)
        self.num_batches_tracked = None
        self.group_size = 1
        self.group_mean: Callable[[Tensor], Tensor] | None = None
        """The mean of a tensor over the group's processes, differentiable."""

    def forward(self, x: Tensor) -> Tensor:
        if self.training and self.group_mean is not None:
            return self._over_the_group(x, self.group_mean)
        return functional.batch_norm(
            x,
            self.running_mean,
            self.running_var,
            self.weight,
            self.bias,
            self.training,
            self.momentum or 0.0,
            self.eps,
        )

    def _over_the_group(self, x: Tensor, group_mean: Callable[[Tensor], Tensor]) -> Tensor:
        """As `nn.SyncBatchNorm`, which knows no CPU."""
        values = x.float()
        mean = group_mean(values.mean((0, 2, 3)))  # (C,)
        centred = values - mean[:, None, None]
        variance = group_mean(centred.square().mean((0, 2, 3)))
        with torch.no_grad():
            count = self.group_size * x.numel() // x.shape[1]
            assert self.running_mean is not None and self.running_var is not None
            self.running_mean.lerp_(mean, self.momentum or 0.0)
            self.running_var.lerp_(variance * (count / max(1, count - 1)), self.momentum or 0.0)
        scale = self.weight * torch.rsqrt(variance + self.eps)
        return (centred * scale[:, None, None] + self.bias[:, None, None]).to(x.dtype)


def neck_norm(channels: int) -> BatchNorm:
    return BatchNorm(channels, NORM_EPSILON, NORM_MOMENTUM)


def convolution(
    in_channels: int,
    out_channels: int,
    kernel_size: int = 1,
    stride: int = 1,
    groups: int = 1,
    bias: bool = False,
    std: float = WEIGHT_STD,
) -> nn.Conv2d:
    """A convolution of neck or head, by default at the reference's initial values.

    Biases stay at PyTorch's default, uniform within 1 / √fan-in, which is MindSpore's too.
    """
    conv = SameConv2d(in_channels, out_channels, kernel_size, stride, groups=groups, bias=bias)
    nn.init.trunc_normal_(conv.weight, std=std, a=-2 * std, b=2 * std)
    return conv


class ConvNorm(nn.Module):
    """Convolution, BatchNorm and an activation."""

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int = 1,
        stride: int = 1,
        groups: int = 1,
        norm: nn.Module | None = None,
        activation: nn.Module | None = None,
        std: float = WEIGHT_STD,
    ) -> None:
        super().__init__()
        self.conv = convolution(in_channels, out_channels, kernel_size, stride, groups, std=std)
        self.norm = norm if norm is not None else neck_norm(out_channels)
        self.activation = activation if activation is not None else nn.ReLU6(inplace=True)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.activation(self.norm(self.conv(x)))
        return y


class Separable(nn.Module):
    """A depthwise 3×3 + BN and a 1×1 + BN + ReLU6 in place of a 3×3; see `DEPTHWISE_STD`."""

    def __init__(self, channels: int, stride: int = 1) -> None:
        super().__init__()
        self.depthwise = ConvNorm(
            *(channels, channels, 3, stride, channels),
            activation=nn.Identity(),
            std=DEPTHWISE_STD,
        )
        self.pointwise = ConvNorm(channels, channels)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.pointwise(self.depthwise(x))
        return y

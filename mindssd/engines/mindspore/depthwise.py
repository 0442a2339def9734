"""Depthwise convolutions for a CPU, several times as fast as MindSpore's.

MindSpore 2.10.0 gives oneDNN plain NCHW arrays, for which that has no depthwise kernel: it unfolds
each image into columns and multiplies matrices of one row, which takes half of a MobileNet's
training step. The kernels of depthwise.c take the same sums over contiguous memory, a tenth of the
time.
"""

from pathlib import Path

import mindspore as ms
import numpy as np
from mindspore import nn, ops

from mindssd.engines.mindspore.native import compiled

SOURCE = Path(__file__).with_suffix(".c")
LOSS = "MobileNets run at about half the rate"
MAX_KERNEL = 7
"""As in depthwise.c."""
SAME = -1
"""In place of a padding: as much as TensorFlow's "same" takes."""


def use_fast_depthwise(network: nn.Cell) -> int:
    """Let the depthwise convolutions under `network` run by our kernels; count them.

    Parameters, names and results stay as they are; float32 on a CPU only. Without a C compiler
    none of them does, and MindSpore's own go on. A network that has run in PyNative mode
    afterwards keeps the shapes that it had there: MindSpore 2.10.0 tells two `Custom` of one
    function apart in graph mode alone.
    """
    fast = [
        cell
        for _, cell in network.cells_and_names()
        if isinstance(cell, nn.Conv2d) and _is_depthwise(cell)
    ]
    # Nothing is compiled, nor complained about, for a network that has no use for it.
    library = compiled(SOURCE, LOSS) if fast else None
    if library is None:
        return 0
    for conv in fast:
        kernels = _Depthwise(library, conv)
        del conv.conv2d  # a primitive, and a cell cannot take its place
        conv.conv2d = kernels
    return len(fast)


def _is_depthwise(conv: nn.Conv2d) -> bool:
    return (
        1 < conv.group == conv.in_channels == conv.out_channels
        and conv.dilation in (1, (1, 1))
        and conv.pad_mode in ("same", "pad", "valid")
        and len(set(conv.stride)) == len(set(conv.kernel_size)) == 1
        and conv.kernel_size[0] <= MAX_KERNEL
    )


class _Depthwise(nn.Cell):
    """What a convolution calls with its input and weight, in place of MindSpore's primitive."""

    def __init__(self, library: Path, conv: nn.Conv2d) -> None:
        super().__init__(auto_prefix=False)
        kernel, stride = conv.kernel_size[0], conv.stride[0]
        top, bottom, left, right = (0, 0, 0, 0)
        if conv.pad_mode == "same":
            top = left = SAME
        elif conv.pad_mode == "pad":
            padding = conv.padding
            top, bottom, left, right = (padding,) * 4 if isinstance(padding, int) else padding
        self.geometry = ms.Tensor(np.array([kernel, stride, top, left], np.int32))

        def output_shape(images, weight, geometry):
            height, width = images[2:]
            if top == SAME:
                rows, columns = -(-height // stride), -(-width // stride)
            else:
                rows = (height + top + bottom - kernel) // stride + 1
                columns = (width + left + right - kernel) // stride + 1
            return [*images[:2], rows, columns]

        backward = ops.Custom(
            f"{library}:DepthwiseBackward",
            lambda images, weight, gradient, geometry: (images, weight),
            lambda images, weight, gradient, geometry: (images, weight),
            "aot",
        )

        def bprop(images, weight, geometry, output, gradient):
            of_images, of_weight = backward(images, weight, gradient, geometry)
            return of_images, of_weight, ops.zeros_like(geometry)

        self.forward = ops.Custom(
            f"{library}:DepthwiseForward",
            output_shape,
            lambda images, weight, geometry: images,
            "aot",
            bprop,
        )

    def construct(self, images, weight):
        return self.forward(images, weight, self.geometry)

"""Depthwise convolutions for a CPU, several times as fast as MindSpore's.

MindSpore 2.10.0 gives oneDNN plain NCHW arrays, for which that has no depthwise kernel: it unfolds
each image into columns and multiplies matrices of one row, which takes half of a MobileNet's
training step. Here the same sums are taken over contiguous memory, compiled by Numba.

With stride S a padded plane is kept as its S × S phases, each of every S-th row and column. In them
every tap of the kernel is the whole output at another offset, whatever the stride: an output plane
is a weighted sum of nine (or 25, or 49) slices, and a gradient the same the other way round.
"""

import math
import threading
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from mindspore import nn, ops
from numba import njit, prange

from mindssd.types import Array

CHUNK = 9
"""Taps that a pass takes at once: those of a 3×3 kernel. More taps take more passes."""


def use_fast_depthwise(network: nn.Cell) -> int:
    """Let the depthwise convolutions under `network` run by the kernels of this file; count them.

    Parameters, names and results stay as they are; float32 on a CPU only.
    """
    count = 0
    for _, cell in network.cells_and_names():
        if isinstance(cell, nn.Conv2d) and _is_depthwise(cell):
            cell.conv2d = _depthwise_primitive(cell)
            count += 1
    return count


def _is_depthwise(conv: nn.Conv2d) -> bool:
    return (
        1 < conv.group == conv.in_channels == conv.out_channels
        and conv.dilation in (1, (1, 1))
        and conv.pad_mode in ("same", "pad", "valid")
        and len(set(conv.stride)) == len(set(conv.kernel_size)) == 1
    )


def _depthwise_primitive(conv: nn.Conv2d) -> ops.Custom:
    """What `conv` calls with its input and weight, in place of MindSpore's own primitive."""
    kernel, stride = conv.kernel_size[0], conv.stride[0]
    padding = conv.padding if isinstance(conv.padding, tuple) else (conv.padding,) * 4
    if conv.pad_mode == "valid":
        padding = (0, 0, 0, 0)

    def layout(height: int, width: int) -> Layout:
        if conv.pad_mode == "same":
            return Layout.same(height, width, kernel, stride)
        return Layout.padded(height, width, kernel, stride, padding)

    def run(images: Array, weight: Array) -> Array:
        where = layout(*images.shape[2:])
        output = _borrowed((*images.shape[:2], *where.output))
        forward(images, weight, where, output)
        return output

    def run_back(images: Array, weight: Array, gradient: Array) -> tuple[Array, Array]:
        image_gradient = _borrowed(images.shape)
        return backward(images, weight, gradient, layout(*images.shape[2:]), image_gradient)

    def output_shape(images, weight):
        rows, columns = layout(*images[2:]).output
        return [*images[:2], rows, columns]

    back = ops.Custom(run_back, lambda *shapes: shapes[:2], lambda *types: types[:2], "pyfunc")

    def bprop(images, weight, output, gradient):
        return back(images, weight, gradient)

    return ops.Custom(run, output_shape, lambda images, weight: images, "pyfunc", bprop)


_memory = threading.local()


def _borrowed(shape: tuple[int, ...]) -> Array:
    """Memory for a result, valid until this thread's next call.

    MindSpore copies a result before it calls again, and fresh memory of that size costs more than
    the sums do: the system hands it out page by page, at each call anew.
    """
    size = math.prod(shape)
    if getattr(_memory, "size", 0) < size:
        _memory.array, _memory.size = np.empty(size, np.float32), size
    return _memory.array[:size].reshape(shape)


@dataclass(frozen=True)
class Layout:
    """Where a depthwise convolution's input and output lie in the phases of a padded plane."""

    kernel: int
    stride: int
    top: int
    left: int
    input: tuple[int, int]
    output: tuple[int, int]

    @classmethod
    def same(cls, height: int, width: int, kernel: int, stride: int) -> "Layout":
        """TensorFlow's padding: as little as gives ceil(input / stride), the odd one at the end."""
        output = -(-height // stride), -(-width // stride)
        missing = (
            max(0, (out - 1) * stride + kernel - size)
            for out, size in zip(output, (height, width), strict=True)
        )
        top, left = (m // 2 for m in missing)
        return cls(kernel, stride, top, left, (height, width), output)

    @classmethod
    def padded(
        cls, height: int, width: int, kernel: int, stride: int, padding: tuple[int, int, int, int]
    ) -> "Layout":
        """Padding of so many rows and columns: top, bottom, left, right."""
        top, bottom, left, right = padding
        output = (
            (height + top + bottom - kernel) // stride + 1,
            (width + left + right - kernel) // stride + 1,
        )
        return cls(kernel, stride, top, left, (height, width), output)

    @cached_property
    def phase(self) -> tuple[int, int]:
        """Rows and columns of a phase: room for the input, and for the output at every tap."""
        reach = (self.kernel - 1) // self.stride
        rows = max(-(-(self.input[0] + self.top) // self.stride), self.output[0] + reach)
        columns = max(-(-(self.input[1] + self.left) // self.stride), self.output[1] + reach)
        return rows, columns

    @cached_property
    def taps(self) -> tuple[Array, Array]:
        """The phase (K²,) and the offset in it (K²,) at which a tap finds the output's first."""
        y, x = np.divmod(np.arange(self.kernel**2), self.kernel)
        phase = y % self.stride * self.stride + x % self.stride
        return phase, y // self.stride * self.phase[1] + x // self.stride


def forward(images: Array, weight: Array, layout: Layout, output: Array) -> Array:
    """images (N, C, H, W) and weight (C, 1, K, K), float32, into `output` (N, C, rows, columns)."""
    phase, offset = layout.taps
    size = layout.phase[0] * layout.phase[1]
    taps = weight.reshape(len(weight), -1)
    _forward(
        images,
        _chunked(taps),
        _chunked((phase * size + offset)[None])[0],
        output,
        (layout.top, layout.left, layout.stride, *layout.phase),
    )
    return output


def backward(
    images: Array, weight: Array, gradient: Array, layout: Layout, image_gradient: Array
) -> tuple[Array, Array]:
    """The gradients of `images`, into `image_gradient`, and of `weight`, from the output's."""
    phase, offset = layout.taps
    size = layout.phase[0] * layout.phase[1]
    taps = weight.reshape(len(weight), -1)
    weight_gradient = np.empty((len(weight), -(-taps.shape[1] // CHUNK) * CHUNK), np.float32)
    # A phase of the input's gradient sums the taps that lie in it; the others count 0 there.
    in_phase = np.arange(layout.stride**2)[:, None] == phase  # (S², K²)
    lead = int(offset.max())
    _backward(
        images,
        _chunked((taps[:, None] * in_phase).astype(np.float32)),
        _chunked((phase * size + offset)[None])[0],
        _chunked((lead - offset)[None])[0],
        gradient,
        image_gradient,
        weight_gradient,
        (layout.top, layout.left, layout.stride, *layout.phase, lead),
    )
    weight_gradient = np.ascontiguousarray(weight_gradient[:, : taps.shape[1]])
    return image_gradient, weight_gradient.reshape(weight.shape)


def _chunked(taps: Array) -> Array:
    """Fill the last axis with zeros up to a multiple of `CHUNK`."""
    missing = -taps.shape[-1] % CHUNK
    return np.pad(taps, [(0, 0)] * (taps.ndim - 1) + [(0, missing)])


def _jit(**options):
    """Compile by Numba, kept on disk between processes where some folder can be written."""

    def compiled(function):
        try:
            return njit(fastmath=True, cache=True, **options)(function)
        except RuntimeError:  # Numba found no folder for its cache
            return njit(fastmath=True, **options)(function)

    return compiled


@_jit()
def _split(plane, top, left, stride, rows, columns, phases):
    """Lay a plane out as its phases, each `rows` × `columns`, zero where it does not reach."""
    phases[:] = 0
    for y in range(plane.shape[0]):
        row, vertical = divmod(y + top, stride)
        for horizontal in range(stride):
            first = (horizontal - left) % stride
            start = (vertical * stride + horizontal) * rows * columns + row * columns
            start += (first + left) // stride
            for j in range((plane.shape[1] - first + stride - 1) // stride):
                phases[start + j] = plane[y, first + j * stride]


@_jit()
def _join(phases, top, left, stride, rows, columns, plane):
    """The reverse of `_split`."""
    for y in range(plane.shape[0]):
        row, vertical = divmod(y + top, stride)
        for horizontal in range(stride):
            first = (horizontal - left) % stride
            start = (vertical * stride + horizontal) * rows * columns + row * columns
            start += (first + left) // stride
            for j in range((plane.shape[1] - first + stride - 1) // stride):
                plane[y, first + j * stride] = phases[start + j]


@_jit()
def _combine(source, offsets, weights, result):
    """result[j] = sum over taps of weight · source[offset + j], nine taps at a time."""
    n = len(result)
    result[:] = 0
    for k in range(0, len(weights), 9):
        w0, w1, w2 = weights[k], weights[k + 1], weights[k + 2]
        w3, w4, w5 = weights[k + 3], weights[k + 4], weights[k + 5]
        w6, w7, w8 = weights[k + 6], weights[k + 7], weights[k + 8]
        s0, s1, s2 = source[offsets[k] :], source[offsets[k + 1] :], source[offsets[k + 2] :]
        s3, s4, s5 = source[offsets[k + 3] :], source[offsets[k + 4] :], source[offsets[k + 5] :]
        s6, s7, s8 = source[offsets[k + 6] :], source[offsets[k + 7] :], source[offsets[k + 8] :]
        for j in range(n):
            result[j] += (
                (w0 * s0[j] + w1 * s1[j] + w2 * s2[j])
                + (w3 * s3[j] + w4 * s4[j] + w5 * s5[j])
                + (w6 * s6[j] + w7 * s7[j] + w8 * s8[j])
            )


@_jit()
def _correlate(source, offsets, other, sums):
    """sums[tap] += sum over j of other[j] · source[offset + j], nine taps at a time."""
    n = len(other)
    for k in range(0, len(sums), 9):
        s0, s1, s2 = source[offsets[k] :], source[offsets[k + 1] :], source[offsets[k + 2] :]
        s3, s4, s5 = source[offsets[k + 3] :], source[offsets[k + 4] :], source[offsets[k + 5] :]
        s6, s7, s8 = source[offsets[k + 6] :], source[offsets[k + 7] :], source[offsets[k + 8] :]
        zero = np.float32(0)
        a0, a1, a2, a3, a4, a5, a6, a7, a8 = zero, zero, zero, zero, zero, zero, zero, zero, zero
        for j in range(n):
            value = other[j]
            a0 += value * s0[j]
            a1 += value * s1[j]
            a2 += value * s2[j]
            a3 += value * s3[j]
            a4 += value * s4[j]
            a5 += value * s5[j]
            a6 += value * s6[j]
            a7 += value * s7[j]
            a8 += value * s8[j]
        for i, a in enumerate((a0, a1, a2, a3, a4, a5, a6, a7, a8)):
            sums[k + i] += a


@_jit(parallel=True)
def _forward(images, weights, offsets, output, geometry):
    top, left, stride, rows, columns = geometry
    num_channels, (height, width) = images.shape[1], output.shape[2:]
    for plane in prange(images.shape[0] * num_channels):
        image = plane // num_channels
        channel = plane - image * num_channels  # Numba's divmod would give floats here
        phases = np.empty(stride * stride * rows * columns, np.float32)
        _split(images[image, channel], top, left, stride, rows, columns, phases)
        sums = np.empty((height - 1) * columns + width, np.float32)
        _combine(phases, offsets, weights[channel], sums)
        for y in range(height):
            output[image, channel, y] = sums[y * columns : y * columns + width]


@_jit(parallel=True)
def _backward(
    images, weights, offsets, back_offsets, gradient, image_gradient, weight_gradient, geometry
):
    top, left, stride, rows, columns, lead = geometry
    height, width = gradient.shape[2:]
    size = rows * columns
    for channel in prange(images.shape[1]):
        phases = np.empty(stride * stride * size, np.float32)
        # The output's gradient among zeros, as far as the first and the last tap reach.
        spread = np.zeros(lead + size + lead, np.float32)
        inner = spread[lead : lead + (height - 1) * columns + width]
        weight_gradient[channel] = 0
        for image in range(images.shape[0]):
            for y in range(height):
                inner[y * columns : y * columns + width] = gradient[image, channel, y]
            _split(images[image, channel], top, left, stride, rows, columns, phases)
            _correlate(phases, offsets, inner, weight_gradient[channel])
            for phase in range(stride * stride):
                _combine(
                    spread,
                    back_offsets,
                    weights[channel, phase],
                    phases[phase * size : (phase + 1) * size],
                )
            _join(phases, top, left, stride, rows, columns, image_gradient[image, channel])

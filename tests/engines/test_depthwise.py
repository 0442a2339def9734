"""The depthwise kernels against MindSpore's own convolution, forward and backward."""

import numpy as np
import pytest

pytest.importorskip("mindspore")
import mindspore as ms
from mindspore import nn, ops

from mindssd.engines.mindspore import depthwise
from mindssd.engines.mindspore.depthwise import use_fast_depthwise
from mindssd.engines.mindspore.device import in_mode

CHANNELS = 5


class Pair:
    """MindSpore's convolution and ours with the same weight."""

    def __init__(self, kernel: int, stride: int, **options) -> None:
        self.reference = self._convolution(kernel, stride, options)
        self.fast = self._convolution(kernel, stride, options)
        self.fast.weight.set_data(self.reference.weight)
        assert use_fast_depthwise(nn.SequentialCell([self.fast])) == 1

    def _convolution(self, kernel: int, stride: int, options) -> nn.Conv2d:
        return nn.Conv2d(CHANNELS, CHANNELS, kernel, stride, group=CHANNELS, **options)


def computed(conv: nn.Conv2d, images: ms.Tensor, output_gradient: ms.Tensor, mode: int):
    """The output, and the gradients of input and weight of its product with `output_gradient`."""

    def loss(x):
        output = conv(x)
        return (output * output_gradient).sum(), output

    with in_mode(mode):
        gradients, (output,) = ms.grad(loss, 0, weights=conv.weight, has_aux=True)(images)
        return [tensor.asnumpy() for tensor in (output, *gradients)]


def assert_equal(ours, theirs) -> None:
    assert ours.shape == theirs.shape
    assert np.abs(ours - theirs).max() <= 1e-5 * np.abs(theirs).max()


@pytest.mark.parametrize(
    ("kernel", "stride", "size", "options"),
    [
        (3, 1, (19, 19), {"pad_mode": "pad", "padding": 1}),
        (3, 2, (10, 13), {"pad_mode": "pad", "padding": 1}),
        (3, 2, (19, 10), {"pad_mode": "same"}),  # an odd and an even side pad differently
        (3, 2, (1, 1), {"pad_mode": "same"}),
        (3, 1, (5, 5), {"pad_mode": "valid"}),
        (5, 1, (7, 9), {"pad_mode": "same"}),
        (5, 2, (12, 11), {"pad_mode": "pad", "padding": 2}),
        (7, 1, (8, 8), {"pad_mode": "pad", "padding": 3}),
        (3, 3, (10, 11), {"pad_mode": "pad", "padding": (1, 0, 2, 1)}),
    ],
)
def test_agrees_with_mindspore(mindspore_engine, kernel, stride, size, options):
    pair = Pair(kernel, stride, **options)
    rng = np.random.default_rng(0)
    images = ms.Tensor(rng.normal(size=(3, CHANNELS, *size)).astype(np.float32))
    with in_mode(ms.PYNATIVE_MODE):
        shape = pair.reference(images).shape
    output_gradient = ms.Tensor(rng.normal(size=shape).astype(np.float32))
    ours = computed(pair.fast, images, output_gradient, ms.GRAPH_MODE)
    theirs = computed(pair.reference, images, output_gradient, ms.PYNATIVE_MODE)
    for one, other in zip(ours, theirs, strict=True):
        assert_equal(one, other)


def test_leaves_other_convolutions_alone(mindspore_engine, monkeypatch):
    """Nor is anything compiled, or said of a compiler that is not there, for their sake."""
    asked_for = []
    monkeypatch.setattr(depthwise, "compiled", lambda *source: asked_for.append(source))
    others = nn.SequentialCell(
        [
            nn.Conv2d(4, 4, 3),
            nn.Conv2d(4, 4, 3, group=2),
            nn.Conv2d(4, 8, 3, group=4),
            nn.Conv2d(8, 8, 3, group=8, dilation=2),
            nn.Conv2d(8, 8, (1, 3), group=8),
            nn.Conv2d(8, 8, 9, group=8),
        ]
    )
    assert use_fast_depthwise(others) == 0
    assert asked_for == []


def test_a_sum_by_hand(mindspore_engine):
    """A kernel of ones over 2×2 pixels, padded to itself: each output is the sum of all four."""
    conv = nn.Conv2d(2, 2, 3, pad_mode="same", group=2, weight_init="ones")
    assert use_fast_depthwise(nn.SequentialCell([conv])) == 1
    images = np.array([[[[1, 2], [3, 4]], [[0, 0], [0, 5]]]], np.float32)
    assert conv(ms.Tensor(images)).asnumpy().tolist() == [[[[10, 10], [10, 10]], [[5, 5], [5, 5]]]]


def test_without_a_compiler_mindspores_own_go_on(mindspore_engine, monkeypatch):
    monkeypatch.setattr(depthwise, "compiled", lambda *source: None)
    conv = nn.Conv2d(CHANNELS, CHANNELS, 3, group=CHANNELS)
    assert use_fast_depthwise(nn.SequentialCell([conv])) == 0
    assert conv(ms.Tensor(np.zeros((1, CHANNELS, 4, 4), np.float32))).shape == (1, CHANNELS, 4, 4)


def test_a_networks_depthwise_convolutions_run_by_them(mindspore_engine, tiny_spec):
    network = mindspore_engine.build_network(tiny_spec, seed=0)
    grouped = [
        cell
        for _, cell in network.cell.cells_and_names()
        if isinstance(cell, nn.Conv2d) and cell.group > 1
    ]
    assert grouped
    assert not any(isinstance(cell.conv2d, ops.Conv2D) for cell in grouped)

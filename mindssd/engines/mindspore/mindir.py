"""MindIR, for MindSpore Lite and Ascend: the network with its boxes decoded."""

from collections.abc import Callable, Mapping
from pathlib import Path

import mindspore as ms
import numpy as np
from mindspore import nn, ops

from mindssd.engines.base import NetworkSpec
from mindssd.engines.mindspore.device import in_mode, overwrite
from mindssd.engines.mindspore.network import _canonical, _Detector
from mindssd.engines.mindspore.process import calling
from mindssd.types import Array


class _Decoded(nn.Cell):
    """images (1, 3, H, W) to boxes (1, A, 4), fractions of the image, and scores (1, A, C)."""

    def __init__(
        self,
        network: nn.Cell,
        default_boxes_cxcywh: Array,
        variances: tuple[float, float],
        max_log_size_ratio: float,
    ) -> None:
        super().__init__()
        self.network = network
        centre, size = default_boxes_cxcywh[None, :, :2], default_boxes_cxcywh[None, :, 2:]
        self.centre = ms.Tensor(centre, ms.float32)
        self.step = ms.Tensor(variances[0] * size, ms.float32)
        self.half = ms.Tensor(size / 2, ms.float32)
        self.growth = variances[1]
        self.max_growth = max_log_size_ratio

    def construct(self, images):
        offsets, logits = self.network(images)
        # Offsets are (ty, tx, th, tw).
        shift = ops.concat((offsets[:, :, 1:2], offsets[:, :, 0:1]), axis=2)
        growth = ops.concat((offsets[:, :, 3:4], offsets[:, :, 2:3]), axis=2)
        centre = shift * self.step + self.centre
        half = ops.exp(ops.minimum(growth * self.growth, self.max_growth)) * self.half
        boxes = ops.concat((centre - half, centre + half), axis=2)
        return ops.clamp(boxes, 0.0, 1.0), ops.sigmoid(logits[:, :, 1:])


def export_mindir(
    spec: NetworkSpec,
    parameters: Mapping[str, Array],
    default_boxes_cxcywh: Array,
    variances: tuple[float, float],
    max_log_size_ratio: float,
    path: Path,
) -> Callable[[Array], tuple[Array, ...]]:
    """Write the network for one image at a time; return the `forward` of the file as written.

    Boxes are decoded as `geometry.coding.decode` does, whose bound `max_log_size_ratio` is.

    Without the engine's own depthwise kernels, which are no part of MindSpore.
    """
    with calling(), in_mode(ms.GRAPH_MODE):
        network = _Detector(spec)
        for parameter in network.get_parameters():
            overwrite(parameter, parameters[_canonical(parameter.name)])
        cell = _Decoded(network, default_boxes_cxcywh, variances, max_log_size_ratio)
        cell.set_train(False)
        images = ms.Tensor(np.zeros((1, 3, *spec.image_size), np.float32))
        ms.export(cell, images, file_name=str(path.with_suffix("")), file_format="MINDIR")
        path.chmod(0o644)  # MindSpore lets nobody write it
        loaded = nn.GraphCell(ms.load(str(path)))

    def forward(images: Array) -> tuple[Array, ...]:
        with calling(), in_mode(ms.GRAPH_MODE):
            return tuple(output.asnumpy() for output in loaded(ms.Tensor(images)))

    return forward

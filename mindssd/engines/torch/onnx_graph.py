"""ONNX, by PyTorch's exporter."""

import logging
import warnings
from collections.abc import Mapping

import torch
from torch import nn

from mindssd.engines.base import NetworkSpec
from mindssd.engines.torch.detector import build_detector, canonical_tensors
from mindssd.engines.torch.network import overwrite
from mindssd.types import Array

OPSET = 18
"""The lowest that the exporter writes by itself."""
ACTIVATIONS = (nn.ReLU, nn.Hardtanh, nn.Hardswish, nn.Hardsigmoid)
"""Those of the networks; ReLU6 is a Hardtanh."""


def to_onnx(spec: NetworkSpec, parameters: Mapping[str, Array]) -> bytes:
    """The network with these parameters: images (B, 3, H, W) to offsets and logits, B free.

    By `torch.export`, which knows every size but the batch's: tracing would leave a computation of
    shapes in the graph.
    """
    module = build_detector(spec, seed=0).eval()
    for part in module.modules():
        if isinstance(part, ACTIVATIONS):
            part.inplace = False  # the exporter takes what is in place apart, a third of its time
    tensors = canonical_tensors(module)
    for name, value in parameters.items():
        overwrite(tensors[name], value)
    logger = logging.getLogger("torch.onnx")
    level = logger.level
    logger.setLevel(logging.ERROR)  # it misses torchvision
    try:
        with torch.inference_mode(), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # PyTorch's own deprecations
            program = torch.onnx.export(
                module,
                (torch.zeros((2, 3, *spec.image_size)),),
                input_names=["images"],
                output_names=["offsets", "logits"],
                dynamic_shapes=({0: torch.export.Dim("batch", min=1, max=4096)},),
                opset_version=OPSET,
                dynamo=True,
                verbose=False,
            )
    finally:
        logger.setLevel(level)
    assert program is not None
    content: bytes = program.model_proto.SerializeToString()
    return content

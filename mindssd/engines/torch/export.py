"""ONNX, by PyTorch's exporter."""

import warnings
from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory

import torch

from mindssd.engines.base import NetworkSpec
from mindssd.engines.torch.detector import build_detector, canonical_tensors
from mindssd.engines.torch.network import overwrite
from mindssd.types import Array

OPSET = 17


def to_onnx(spec: NetworkSpec, parameters: Mapping[str, Array]) -> bytes:
    """The network with these parameters: images (B, 3, H, W) to offsets and logits, B free.

    By the exporter that traces TorchScript: its graphs have each BatchNorm folded into the
    convolution before it, and no constant of the batch it was traced with.
    """
    module = build_detector(spec, seed=0).eval()
    tensors = canonical_tensors(module)
    for name, value in parameters.items():
        overwrite(tensors[name], value)
    with TemporaryDirectory() as folder, torch.inference_mode(), warnings.catch_warnings():
        file = Path(folder) / "raw.onnx"
        warnings.simplefilter("ignore")  # that there is another exporter; of constant shapes
        torch.onnx.export(
            module,
            (torch.zeros((2, 3, *spec.image_size)),),
            file,
            input_names=["images"],
            output_names=["offsets", "logits"],
            dynamic_axes={name: {0: "batch"} for name in ("images", "offsets", "logits")},
            opset_version=OPSET,
            dynamo=False,
        )
        return file.read_bytes()

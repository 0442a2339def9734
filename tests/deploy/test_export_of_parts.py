"""What the reference has not is exported too: separable convolutions, a path up the pyramid."""

from io import StringIO
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from rich.console import Console

from mindssd.build.model import described_config
from mindssd.config.load import load_config
from mindssd.deploy import exporter
from mindssd.deploy.export import export_model
from mindssd.deploy.graph import read_raw
from mindssd.deploy.quantize import Quantizer
from mindssd.deploy.settings import SUFFIXES, ExportSettings
from mindssd.errors import WeightsError
from mindssd.weights.safetensors_file import read_model, write_model
from tests.conftest import write_untrained

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("exported_once")]

SETTINGS = [
    "engine=torch",
    "neck.separable=true",
    "neck.path_aggregation=true",
    "head.separable=true",
]


@pytest.fixture(scope="module")
def model(tiny_config: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny network with these parts, and values of some spread throughout."""
    path = tmp_path_factory.mktemp("parts") / "best.safetensors"
    write_untrained(load_config(str(tiny_config), SETTINGS), path)
    parameters, metadata = read_model(path)
    rng = np.random.default_rng(0)
    for name, value in parameters.items():
        if name.startswith(("neck.", "head.")) and name.endswith(("gamma", "moving_variance")):
            value[...] = rng.uniform(0.5, 1.5, value.shape)
        elif name.startswith(("neck.", "head.")) and name.endswith(("beta", "moving_mean")):
            value[...] = rng.normal(0, 0.2, value.shape)
        elif name.endswith("predict.weight"):
            value[...] = rng.normal(0, 0.05, value.shape)
    parameters["head.classes.predict.bias"][:] = -0.5
    write_model(path, parameters, metadata)
    return path


def made(model: Path, *overrides: str, **settings: object) -> tuple[Path, str]:
    console = Console(record=True, width=400, file=StringIO())
    path = export_model(model, ExportSettings(**settings), overrides, console)
    return path, console.export_text()


@pytest.mark.parametrize("format", ["onnx", "openvino", "mindir"])
def test_each_format_is_verified_against_the_engine(
    model: Path, tmp_path: Path, format: str
) -> None:
    path, said = made(model, format=format, out=tmp_path / f"a{SUFFIXES[format]}")
    assert "0 of" in said and "boxes differ by at most" in said
    if format == "onnx":
        kinds = [node.op_type for node in onnx.load(path).graph.node]
        assert "BatchNormalization" not in kinds


def test_int8_has_depthwise_layers_too(model: Path) -> None:
    parameters, metadata = read_model(model)
    config = described_config(metadata, model)
    raw = read_raw(exporter.raw_onnx(config, parameters, num_classes=2), metadata.image_size)
    images = [
        np.random.default_rng(seed).normal(size=(3, *metadata.image_size)).astype(np.float32)
        for seed in range(3)
    ]
    quantized = Quantizer.calibrated(raw, images).quantized()
    made_by = {output: node.op_type for node in quantized.graph.node for output in node.output}
    of_neck_and_head = [
        node
        for node in quantized.graph.node
        for attribute in node.attribute
        if attribute.name == "group" and attribute.i == config.neck.fpn_channels
    ]
    assert len(of_neck_and_head) >= 2 + 1 + 2 + 2 * 3  # outputs, extra, path, towers
    assert all(made_by.get(node.input[1]) == "DequantizeLinear" for node in of_neck_and_head)
    found, expected = (
        onnxruntime.InferenceSession(m.SerializeToString()).run(
            ["logits"], {"images": images[0][None]}
        )[0]
        for m in (quantized, raw)
    )
    assert np.abs(found - expected).mean() < 0.2 * expected.std()


def test_mindcvs_example_has_no_such_network(model: Path, tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match=r"parts that MindCV's SSD example has not; keep the"):
        made(model, format="ckpt", out=tmp_path / "a.ckpt")

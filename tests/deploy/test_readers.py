"""Exported networks in what reads ONNX: OpenCV and OpenVINO run them, compilers list the operators.

Small networks of the recipes' own parts. That of `ssd_mobilenetv2` has its backbone in common with
`small_data`, neck and head with `ssd_mobilenetv3`.
"""

import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import numpy as np
import onnx
import pytest
import yaml

import mindssd
from mindssd.build.engine import build_engine
from mindssd.build.graph import raw_onnx
from mindssd.build.network import build_default_boxes, build_network, image_size
from mindssd.config.load import load_config
from mindssd.config.schema import Config
from mindssd.deploy.graph import describe, finish, read_raw
from mindssd.deploy.manifest import InGraphNMS
from mindssd.deploy.sessions.opening import open_session
from mindssd.deploy.sessions.session import RuntimeSettings
from mindssd.geometry.default_boxes import DefaultBoxes
from mindssd.images import Normalization
from mindssd.types import Array, ImageSize
from tests.deploy import conftest

pytestmark = pytest.mark.slow  # PyTorch's exporter takes seconds

ROOT = Path(__file__).resolve().parents[2]
OPERATORS = yaml.safe_load((Path(__file__).parent / "operators.yaml").read_text(encoding="utf-8"))
CLASS_NAMES = ("cat", "dog")
SETTINGS = {
    "ssd_mobilenetv3": (
        "image_size=128",
        "backbone={name: mobilenet_v3_small_075, out_indices: [1, 4]}",
    ),
    "small_data": (
        "backbone={name: mobilenet_v2_035_96, out_indices: [4, 6]}",
        "neck.fpn_channels=16",
        "default_boxes.grid_scale=4",
    ),
    "ssd_resnet50_fpn": (
        "image_size=64",
        "backbone={name: resnet18, out_indices: [0, 1]}",
        "neck.fpn_channels=16",
        "head.tower_depth=1",
    ),
}


class Exported(NamedTuple):
    """An engine's raw graph, and what its offsets count from."""

    raw: onnx.ModelProto
    boxes: DefaultBoxes
    image_size: ImageSize
    grids: tuple[ImageSize, ...]

    def finished(self, nms: InGraphNMS | None = None, batch: int | None = None) -> onnx.ModelProto:
        boxes, count = self.boxes.boxes_cxcywh, len(CLASS_NAMES)
        return finish(self.raw, boxes, (0.1, 0.2), count, nms, batch)

    def write(self, path: Path, batch: int | None = None) -> Path:
        normalization = Normalization()
        manifest = conftest.manifest()
        metadata = replace(
            manifest.metadata,
            class_names=CLASS_NAMES,
            category_ids=(1, 2),
            image_size=self.image_size,
            mean=normalization.mean,
            std=normalization.std,
            grids=self.grids,
        )
        manifest = replace(manifest, metadata=metadata, num_boxes=len(self.boxes), batch=batch)
        model = self.finished(batch=batch)
        describe(model, manifest, path)
        path.write_bytes(model.SerializeToString())
        return path

    def images(self, count: int) -> Array:
        rng = np.random.default_rng(count)
        return rng.normal(size=(count, 3, *self.image_size)).astype(np.float32)


def export(recipe: str) -> Exported:
    """A small network of a recipe's parts, with weights of some spread."""
    pytest.importorskip("onnxscript")
    config = load_config(recipe, ["engine=torch", "device=CPU", *SETTINGS[recipe]])
    network = build_network(config, build_engine(config), len(CLASS_NAMES))
    _measure_statistics(network, config)
    parameters = network.parameters()
    rng = np.random.default_rng(0)
    for name, value in parameters.items():
        if name.endswith("predict.weight"):
            value[...] = rng.normal(0, 1, value.shape) / np.sqrt(value[0].size)
        elif name.endswith("predict.bias"):
            value[...] = -1.9  # few show
    content = raw_onnx(config, parameters, len(CLASS_NAMES))
    size = image_size(config)
    boxes = build_default_boxes(config, network.grids)
    return Exported(read_raw(content, size), boxes, size, network.grids)


def _measure_statistics(network: Any, config: Config) -> None:
    """Let each BatchNorm see noise: an untrained network's maps vanish otherwise."""
    import torch

    module = network.module
    for part in module.modules():
        if isinstance(part, torch.nn.BatchNorm2d):
            part.momentum = 1.0
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        module.train()(torch.randn((4, 3, *image_size(config)), generator=generator))
    module.eval()


@pytest.fixture(scope="module")
def small_data() -> Exported:
    return export("small_data")


@pytest.fixture(scope="module", params=list(SETTINGS))
def exported(request: pytest.FixtureRequest) -> Exported:
    if request.param == "small_data":
        found: Exported = request.getfixturevalue("small_data")
        return found
    return export(request.param)


def by(path: Path, runtime: str, images: Array) -> tuple[Array, ...]:
    return open_session(path, RuntimeSettings(runtime=runtime, device="CPU")).forward(images)


def test_opencv_and_openvino_give_onnx_runtimes_boxes_and_scores(
    exported: Exported, tmp_path: Path
) -> None:
    path = exported.write(tmp_path / "model.onnx")
    network = cv2.dnn.readNetFromONNX(str(path))
    for images in (exported.images(1), exported.images(2)):
        boxes, scores = by(path, "onnxruntime", images)
        assert boxes.std() > 0.05 and scores.std() > 0.02
        network.setInput(images)
        for found in (network.forward(["boxes", "scores"]), by(path, "openvino", images)):
            np.testing.assert_allclose(found[0], boxes, atol=1e-4)
            np.testing.assert_allclose(found[1], scores, atol=1e-4)


@pytest.mark.parametrize("runtime", ["onnxruntime", "openvino"])
def test_a_file_of_a_fixed_batch_takes_any_number_of_images_here(
    small_data: Exported, tmp_path: Path, runtime: str
) -> None:
    free = small_data.write(tmp_path / "free.onnx")
    fixed = small_data.write(tmp_path / "fixed.onnx", batch=2)
    for count in (1, 2, 3):
        images = small_data.images(count)
        found, expected = (by(path, runtime, images) for path in (fixed, free))
        for one, other in zip(found, expected, strict=True):
            np.testing.assert_allclose(one, other, atol=1e-5)


def test_all_shapes_are_static_but_the_batch_or_with_it(exported: Exported) -> None:
    for batch in (None, 1):
        model = exported.finished(batch=batch)
        inferred = onnx.shape_inference.infer_shapes(model, strict_mode=True).graph
        values = (*inferred.input, *inferred.value_info, *inferred.output)
        shapes = [[d.dim_value for d in x.type.tensor_type.shape.dim] for x in values]
        assert len(shapes) > len(model.graph.node) - 2
        assert all(all(shape[1:]) for shape in shapes)
        assert {shape[0] for shape in shapes} == {batch or 0}


@pytest.mark.parametrize("reader", OPERATORS)
def test_each_operator_is_in_the_list_that_a_reader_publishes(
    exported: Exported, reader: str
) -> None:
    listed = OPERATORS[reader]
    nms = InGraphNMS(0.01, 0.6, 100)
    models = [exported.finished(), exported.finished(batch=1)]
    if listed["nms"]:
        models += [exported.finished(nms), exported.finished(nms, batch=1)]
    first, last = listed["opsets"] or (1, 99)
    for model in models:
        kinds = {node.op_type for node in model.graph.node}
        assert kinds - set(listed["operators"].split()) == set()
        assert [opset.domain for opset in model.opset_import] == [""]
        assert first <= model.opset_import[0].version <= last
        for node in model.graph.node:
            if node.op_type == "NonMaxSuppression":
                assert len(node.input) == 5 and all(node.input)


def test_what_a_list_lacks_for_nms_is_really_missing(small_data: Exported) -> None:
    kinds = {node.op_type for node in small_data.finished(InGraphNMS(0.01, 0.6, 100)).graph.node}
    without = [x for x in OPERATORS.values() if not x["nms"]]
    assert without and all(kinds - set(x["operators"].split()) for x in without)


def examples() -> Iterator[str]:
    text = (ROOT / "docs" / "compilers.md").read_text(encoding="utf-8")
    yield from re.findall(r"^```python\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)


def test_the_example_detects_with_opencv_alone_what_mindssd_does(
    small_data: Exported, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    small_data.write(tmp_path / "model.onnx")
    picture = np.random.default_rng(0).integers(0, 256, (12, 16, 3), dtype=np.uint8)
    _, content = cv2.imencode(".png", cv2.resize(picture, (400, 300)))
    (tmp_path / "photo.jpg").write_bytes(content.tobytes())  # a photo's name: no losses here
    (block,) = [block for block in examples() if "cv2.dnn" in block]
    program: dict[str, Any] = {}
    exec(compile(block, "compilers.md", "exec"), program)
    expected = mindssd.load("model.onnx", max_detections=1000)("photo.jpg")
    assert len(program["detections"]) == len(expected) > 1
    for found, box, score, name in zip(
        program["detections"],
        expected.boxes,
        expected.scores,
        (expected.class_names[i] for i in expected.class_ids),
        strict=True,
    ):
        assert found[0] == name
        np.testing.assert_allclose(found[1], score, atol=1e-3)
        np.testing.assert_allclose(found[2], box, atol=0.1)

"""Exporting the tiny network: each format against its engine, and nothing left where it differs."""

import json
import shutil
from io import StringIO
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import numpy_helper
from rich.console import Console

import mindssd
from mindssd.build.engine import build_engine
from mindssd.build.network import build_network, recipe_of
from mindssd.build.predictor import model_metadata
from mindssd.config.load import load_config, to_tree
from mindssd.config.schema import Config
from mindssd.deploy import exporter, int8
from mindssd.deploy.export import export_model
from mindssd.deploy.manifest import InGraphNMS
from mindssd.deploy.settings import SUFFIXES, ExportSettings
from mindssd.deploy.verify import Difference, compare
from mindssd.engines.base import Parameters
from mindssd.errors import ConfigError, DatasetError, MindSSDError
from mindssd.geometry.postprocess import PostProcessSelected
from mindssd.geometry.selection import Selection
from mindssd.types import Array, Detections, ImageSize
from mindssd.weights.mindspore_checkpoint import read_checkpoint
from mindssd.weights.safetensors_file import read_model, write_model
from mindssd.weights.transfer import load_detector, shapes_of
from tests.conftest import write_untrained

# It compiles the network on MindSpore and traces it on PyTorch.
pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("exported_once")]


@pytest.fixture(scope="module")
def model(tiny_config: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny network with weights of some spread, so that boxes and scores differ."""
    path = tmp_path_factory.mktemp("export") / "best.safetensors"
    write_untrained(load_config(str(tiny_config)), path)
    parameters, metadata = read_model(path)
    rng = np.random.default_rng(0)
    for name in ("head.classes.predict.weight", "head.boxes.predict.weight"):
        parameters[name] = rng.normal(0, 0.1, parameters[name].shape).astype(np.float32)
    parameters["head.classes.predict.bias"][:] = -0.5
    write_model(path, parameters, metadata)
    return path


def made(
    model: Path, *overrides: str, engine: str = "torch", **settings: object
) -> tuple[Path, str]:
    """Export, by default against PyTorch's network, which need not be compiled each time."""
    if settings.get("format") != "ckpt":
        overrides = (f"engine={engine}", *overrides)
    console = Console(record=True, width=400, file=StringIO())
    path = export_model(model, ExportSettings(**settings), overrides, console)
    return path, console.export_text()


@pytest.mark.parametrize(
    ("format", "engine"), [("onnx", "mindspore"), ("openvino", "torch"), ("mindir", "torch")]
)
def test_each_format_is_verified_against_the_engine(
    model: Path, tmp_path: Path, format: str, engine: str
) -> None:
    """MindSpore's network, which is compiled for it, for one of them."""
    out = tmp_path / f"a{SUFFIXES[format]}"
    path, said = made(model, engine=engine, format=format, out=out)
    assert "0 of" in said and "boxes differ by at most" in said
    assert path.exists() and not [p for p in tmp_path.iterdir() if p.name.startswith(".")]


def test_the_file_detects_what_the_engine_detects_and_has_its_map(
    model: Path, shapes_dir: Path, tmp_path: Path
) -> None:
    path, said = made(model, f"data_dir={shapes_dir}", out=tmp_path / "a.onnx")
    assert "by the engine" in said and "by the file" in said
    photo = shapes_dir / "val2017" / "1.png"
    engine, deployed = (mindssd.load(p, score_threshold=0.3)(photo) for p in (model, path))
    assert len(engine) == len(deployed) > 0
    np.testing.assert_allclose(engine.boxes, deployed.boxes, atol=0.05)
    np.testing.assert_allclose(engine.scores, deployed.scores, atol=1e-4)
    kinds = {node.op_type for node in onnx.load(path).graph.node}
    assert "Conv" in kinds and "BatchNormalization" not in kinds


def test_classes_of_the_data_in_another_order_are_matched_by_name(
    model: Path, shapes_dir: Path, tmp_path: Path
) -> None:
    data_dir = shutil.copytree(shapes_dir, tmp_path / "data")
    file = data_dir / "annotations" / "instances_val2017.json"
    content = json.loads(file.read_text())
    for entry in content["annotations"]:
        entry["category_id"] = 10 - entry["category_id"]
    content["categories"] = [{"id": 3, "name": "ellipse"}, {"id": 7, "name": "rectangle"}]
    file.write_text(json.dumps(content))
    in_order, reordered = (
        made(model, f"data_dir={folder}", out=tmp_path / "a.onnx")[1].splitlines()
        for folder in (shapes_dir, data_dir)
    )
    (expected,) = [line for line in in_order if "by the engine" in line]
    assert expected in reordered and f"{file}: 12 images, 24 boxes" in reordered[0]
    file.write_text(file.read_text().replace("ellipse", "circle"))
    with pytest.raises(DatasetError, match=r"name different classes: .*'ellipse'.*'circle'"):
        made(model, f"data_dir={data_dir}", out=tmp_path / "b.onnx")


def test_unreadable_images_are_left_out_of_the_comparison(
    model: Path, shapes_dir: Path, tmp_path: Path
) -> None:
    data_dir = shutil.copytree(shapes_dir, tmp_path / "data")
    for name in ("train2017/0.png", "val2017/0.png", "val2017/5.png"):
        (data_dir / name).write_bytes(b"not a picture")
    out = tmp_path / "a.onnx"
    _, said = made(model, f"data_dir={data_dir}", out=out, int8=True, max_loss=1.0)
    assert "8 images: boxes differ" in said and "on 11 training images" in said
    assert said.count("skipped, others taken instead: ") == 2
    for name in (data_dir / "val2017").iterdir():
        name.write_bytes(b"not a picture")
    with pytest.raises(DatasetError, match="none of its 12 images can be read"):
        made(model, f"data_dir={data_dir}", out=tmp_path / "b.onnx")
    assert not (tmp_path / "b.onnx").exists()


@pytest.mark.parametrize("format", ["onnx", "tflite"])
def test_nms_inside_is_verified_too(model: Path, tmp_path: Path, format: str) -> None:
    if format == "tflite":
        pytest.importorskip("ai_edge_litert")
    nms, out = InGraphNMS(0.01, 0.6, 100), tmp_path / f"nms.{format}"
    path, said = made(model, nms=nms, format=format, out=out)
    assert "0 of" in said and mindssd.load(path)
    with pytest.raises(ConfigError, match=rf"nms\.{format} is exported already"):
        made(path)


def test_a_fixed_batch_is_verified_too(model: Path, tmp_path: Path) -> None:
    nms = InGraphNMS(0.01, 0.6, 100)
    path, said = made(model, nms=nms, batch=2, out=tmp_path / "two.onnx")
    assert "0 of" in said
    (images,) = onnx.load(path).graph.input
    assert images.type.tensor_type.shape.dim[0].dim_value == 2
    assert "Shape" not in {node.op_type for node in onnx.load(path).graph.node}
    with pytest.raises(ConfigError, match="--batch is for onnx and openvino, not for mindir"):
        ExportSettings(format="mindir", batch=1)
    with pytest.raises(ConfigError, match="--batch is 0: expected at least 1"):
        ExportSettings(batch=0)


def test_a_ckpt_has_the_references_names_and_comes_back(model: Path, tmp_path: Path) -> None:
    config = load_config("ssd_mobilenetv2", ["device=CPU"])
    network = build_network(config, build_engine(config), 2)
    source = tmp_path / "v2.safetensors"
    metadata = model_metadata(to_tree(config), config, network, ("a", "b"), (1, 2), {})
    write_model(source, network.parameters(), metadata)
    path, _ = made(source, format="ckpt")
    assert any(name.startswith("multi_box.") for name in read_checkpoint(path))
    found, _ = load_detector(path, shapes_of(network.parameters()))
    for name, value in network.parameters().items():
        np.testing.assert_array_equal(found[name], value)


def test_a_file_that_differs_from_the_engine_is_not_left(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    original = exporter.raw_onnx

    def a_little_off(config: Config, parameters: Parameters, num_classes: int) -> bytes:
        wrong = onnx.load_from_string(original(config, parameters, num_classes))
        for tensor in wrong.graph.initializer:
            value = numpy_helper.to_array(tensor)
            if value.dtype == np.float32:
                tensor.CopyFrom(numpy_helper.from_array(value * np.float32(1.001), tensor.name))
        content: bytes = wrong.SerializeToString()
        return content

    monkeypatch.setattr(exporter, "raw_onnx", a_little_off)
    with pytest.raises(MindSSDError, match=r"is not the engine's network.*nothing was written"):
        made(model, out=tmp_path / "a.onnx")
    assert list(tmp_path.iterdir()) == []


def test_int8_is_evaluated_class_by_class_and_refused_over_the_loss(
    model: Path, shapes_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = f"data_dir={shapes_dir}"
    path, said = made(model, data, int8=True, max_loss=1.0, out=tmp_path / "a.onnx")
    assert "rectangle: AP" in said and "ellipse: AP" in said and "0 of" in said
    kinds = [node.op_type for node in onnx.load(path).graph.node]
    assert "QuantizeLinear" in kinds and len(path.read_bytes()) < len(model.read_bytes())
    monkeypatch.setattr(int8, "FALLBACK_SHARES", (0.5,))
    falling = _falling()
    monkeypatch.setattr(exporter, "average_precision", falling)
    monkeypatch.setattr(int8, "average_precision", falling)
    with pytest.raises(MindSSDError, match=r"int8 loses .*--max-loss allows more, --force any"):
        made(model, data, int8=True, out=tmp_path / "b.onnx")
    assert [p.name for p in tmp_path.iterdir()] == ["a.onnx"]


def _falling() -> object:
    """An mAP that is 0.9 of the evaluation asked for first, and 0.1 of any other."""
    first: list[object] = []

    def ap(evaluation: object) -> float:
        first.append(evaluation)
        return 0.9 if evaluation is first[0] else 0.1

    return ap


def test_what_cannot_be_is_said_before_any_work(model: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="--int8 needs data_dir=PATH"):
        made(model, int8=True)
    with pytest.raises(ConfigError, match="int8 is for onnx, openvino and tflite, not for ckpt"):
        ExportSettings(format="ckpt", int8=True)
    with pytest.raises(MindSSDError, match="there is no folder"):
        made(model, out=tmp_path / "no" / "a.onnx")


def test_a_recipe_is_known_by_its_network() -> None:
    for name in ("ssd_mobilenetv2", "ssd_mobilenetv3", "ssd_resnet50_fpn"):
        assert recipe_of(load_config(name, ["epochs=3"])) == name
    assert recipe_of(load_config("ssd_mobilenetv2", ["image_size=320"])) is None


class Fixed:
    """A predictor that sees the same in all images: boxes 3 pixels wide, `step` apart."""

    image_size = (10, 10)

    def __init__(self, *scores: float, step: float = 3) -> None:
        boxes = np.array([[i * step, 0, i * step + 3, 3] for i in range(len(scores))], np.float32)
        ids = np.zeros(len(scores), np.int32)
        self.found = Detections(boxes, np.array(scores, np.float32), ids, ("a",))
        selection = Selection(score_threshold=0.3)
        self.postprocess = PostProcessSelected(num_boxes=len(ids), selection=selection)

    def detect(self, images: list[Array]) -> list[Detections]:
        return [self.found]

    def filled(self, size: ImageSize) -> ImageSize:
        return size


def compared(ours: Fixed, theirs: Fixed) -> Difference:
    return compare(ours, theirs, [np.zeros((10, 10, 3), np.uint8)])  # type: ignore[arg-type]


def test_a_missing_detection_counts_and_one_at_the_threshold_does_not() -> None:
    missing = compared(Fixed(0.9, 0.5), Fixed(0.9))
    assert missing == Difference(1, 0.0, 0.0, 2, 1) and not missing.within_tolerance()
    assert compared(Fixed(0.9), Fixed(0.9, 0.3001)).within_tolerance()


def test_a_box_that_overlaps_a_better_one_by_the_threshold_does_not_count() -> None:
    step = 0.75  # 2.25 of 3 pixels in common, of 3.75 together: IoU 0.6
    assert compared(Fixed(0.9, 0.5, step=step), Fixed(0.9, step=step)).within_tolerance()
    assert not compared(Fixed(0.9, 0.5, step=1), Fixed(0.9, step=1)).within_tolerance()

"""TensorFlow Lite's and ncnn's files, of a drawn network, against the ONNX file."""

from concurrent.futures import ThreadPoolExecutor
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

import mindssd
from mindssd.deploy.graph import describe, finish
from mindssd.deploy.manifest import InGraphNMS, Manifest
from mindssd.deploy.quantize import Quantizer
from mindssd.deploy.sessions import opening
from mindssd.deploy.sessions.litert_session import import_schema
from mindssd.deploy.sessions.opening import is_deployed, open_session
from mindssd.deploy.sessions.session import RuntimeSettings
from mindssd.deploy.targets.ncnn import write_ncnn
from mindssd.deploy.targets.tflite import write_tflite
from mindssd.deploy.targets.tflite_values import Int8
from mindssd.errors import ConfigError, EngineError, WeightsError
from mindssd.types import Array
from tests.deploy.conftest import CLASS_NAMES, DEFAULT_BOXES, IMAGE_SIZE, manifest

pytest.importorskip("ai_edge_litert")

NUM_OUTPUTS = 1 + len(CLASS_NAMES)
GRIDS = ((6, 8), (3, 4), (1, 1))


class Drawn:
    """A raw graph in the making: operators as the recipes' networks have them."""

    def __init__(self) -> None:
        self.rng = np.random.default_rng(0)
        self.nodes: list[onnx.NodeProto] = []
        self.constants: dict[str, Array] = {}

    def add(
        self, kind: str, *inputs: str | Array, name: str | None = None, **options: object
    ) -> str:
        output = name or f"{kind.lower()}_{len(self.nodes)}"
        names = []
        for index, value in enumerate(inputs):
            if not isinstance(value, str):
                self.constants[f"{output}.{index}"] = np.asarray(value)
                value = f"{output}.{index}"
            names.append(value)
        self.nodes.append(helper.make_node(kind, names, [output], f"{output}_node", **options))
        return output

    def conv(self, source: str, depths: tuple[int, int], size: int = 3, **options: object) -> str:
        groups = int(options.get("group", 1))  # type: ignore[call-overload]
        shape = (depths[1], depths[0] // groups, size, size)
        spread = 1 / np.sqrt(np.prod(shape[1:]))
        weight = self.rng.normal(0, spread, shape).astype(np.float32)
        bias = self.rng.normal(0, 0.1, depths[1]).astype(np.float32)
        options.setdefault("pads", [size // 2] * 4)
        return self.add("Conv", source, weight, bias, kernel_shape=[size, size], **options)

    def relu6(self, source: str) -> str:
        return self.add("Clip", source, np.float32(0), np.float32(6))


def drawn_graph() -> onnx.ModelProto:
    """The writer's operators: padded both ways, depthwise, gated, pooled, grown."""
    net = Drawn()
    maps = net.relu6(net.conv("images", (3, 8), strides=[2, 2]))  # (24, 32), padded on both sides
    maps = net.add("HardSwish", net.conv(maps, (8, 8), group=8, strides=[2, 2], pads=[0, 0, 1, 1]))
    gate = net.add("Relu", net.conv(net.add("GlobalAveragePool", maps), (8, 4), 1))
    gate = net.add("HardSigmoid", net.conv(gate, (4, 8), 1), alpha=1 / 6, beta=0.5)
    maps = net.add("Mul", maps, gate)  # (12, 16)
    fine = net.add("MaxPool", maps, kernel_shape=[3, 3], strides=[2, 2], pads=[1, 1, 1, 1])
    coarse = net.relu6(net.conv(fine, (8, 8), strides=[2, 2]))
    scales = np.array([1, 1, 2, 2], np.float32)
    mode = {"mode": "linear", "coordinate_transformation_mode": "asymmetric"}
    fine = net.add("Add", net.conv(fine, (8, 8), 1), net.add("Resize", coarse, "", scales, **mode))
    last = net.add("GlobalAveragePool", net.conv(coarse, (8, 8), 1))
    levels = list(zip((fine, coarse, last), GRIDS, DEFAULT_BOXES.num_per_cell, strict=True))
    for name, size in (("offsets", 4), ("logits", NUM_OUTPUTS)):
        rows = []
        for source, (height, width), number in levels:
            out = net.add("Transpose", net.conv(source, (8, number * size), 1), perm=[0, 2, 3, 1])
            shape = np.array([-1, height * width * number, size])
            rows.append(net.add("Reshape", out, shape))
        net.add("Concat", *rows, name=name, axis=1)
    num_boxes = len(DEFAULT_BOXES)
    values = [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, ["batch", *shape])
        for name, shape in (
            ("images", (3, *IMAGE_SIZE)),
            ("offsets", (num_boxes, 4)),
            ("logits", (num_boxes, NUM_OUTPUTS)),
        )
    ]
    tensors = [numpy_helper.from_array(value, name) for name, value in net.constants.items()]
    graph = helper.make_graph(net.nodes, "raw", values[:1], values[1:], tensors)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 15)], ir_version=8)


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The graph as ONNX, and by format and precision as the other files."""
    folder = tmp_path_factory.mktemp("edge")
    raw, made = drawn_graph(), {}
    parts = (DEFAULT_BOXES.boxes_cxcywh, (0.1, 0.2), len(CLASS_NAMES), None)
    made["onnx"] = folder / "model.onnx"
    model = finish(raw, *parts)
    describe(model, manifest(), made["onnx"])
    made["onnx"].write_bytes(model.SerializeToString())
    single = finish(raw, *parts, 1, spell_out=False)
    for precision in ("float32", "float16", "int8"):
        described = Manifest(**vars(manifest()) | {"precision": precision})
        made[f"tflite {precision}"] = folder / f"{precision}.tflite"
        ranges = measured(raw) if precision == "int8" else None
        write_tflite(single, described, made[f"tflite {precision}"], ranges)
        if precision != "int8" and find_spec("pnnx"):
            made[f"ncnn {precision}"] = folder / f"{precision}.ncnn.param"
            write_ncnn(single, described, made[f"ncnn {precision}"])
    return made


def measured(raw: onnx.ModelProto) -> Int8:
    """All but the heads' convolutions in int8, by the ranges of the images that are looked at."""
    quantizer = Quantizer.calibrated(raw, pictures())
    return Int8(frozenset(quantizer.layers()), quantizer.limits())


def pictures() -> Array:
    rng = np.random.default_rng(1)
    return rng.normal(0, 1, (3, 3, *IMAGE_SIZE)).astype(np.float32)


@pytest.fixture(params=["tflite", "ncnn"])
def kind(request: pytest.FixtureRequest, files: dict[str, Path]) -> str:
    if f"{request.param} float32" not in files:
        pytest.skip("pnnx is not installed")
    return str(request.param)


def differences(files: dict[str, Path], name: str) -> tuple[float, float]:
    """Of boxes in pixels, and of scores."""
    expected, found = (open_session(files[key]).forward(pictures()) for key in ("onnx", name))
    assert [x.shape for x in expected] == [x.shape for x in found]
    height, width = IMAGE_SIZE
    boxes = np.abs(expected[0] - found[0]) * np.array([width, height] * 2)
    return float(boxes.max()), float(np.abs(expected[1] - found[1]).max())


def test_in_float32_it_gives_the_boxes_and_scores_of_onnx(
    files: dict[str, Path], kind: str
) -> None:
    boxes, scores = differences(files, f"{kind} float32")
    assert boxes < 1e-3 and scores < 1e-5


def test_in_float16_weights_take_half_and_outputs_are_near(
    files: dict[str, Path], kind: str
) -> None:
    boxes, scores = differences(files, f"{kind} float16")
    assert 0 < boxes < 0.1 and 0 < scores < 5e-3


def test_in_int8_outputs_are_near_and_every_layer_but_the_last_is_int8(
    files: dict[str, Path],
) -> None:
    boxes, scores = differences(files, "tflite int8")
    assert boxes < 1.5 and scores < 0.1
    schema = import_schema()
    graph = schema.Model.GetRootAs(files["tflite int8"].read_bytes()).Subgraphs(0)
    kinds = [graph.Tensors(i).Type() for i in range(graph.TensorsLength())]
    assert kinds.count(schema.TensorType.INT8) > 20


@pytest.mark.parametrize("threads", [1, 2])
def test_with_nms_inside_a_tflite_file_keeps_what_the_onnx_file_keeps(
    tmp_path: Path, threads: int
) -> None:
    nms = InGraphNMS(0.6, 0.5, 200)
    parts = (DEFAULT_BOXES.boxes_cxcywh, (0.1, 0.2), len(CLASS_NAMES))
    raw, described = drawn_graph(), manifest(nms)
    onnx_file, tflite_file = tmp_path / "model.onnx", tmp_path / "model.tflite"
    model = finish(raw, *parts, nms)
    describe(model, described, onnx_file)
    onnx_file.write_bytes(model.SerializeToString())
    write_tflite(finish(raw, *parts, None, 1, spell_out=False), described, tflite_file)
    settings = RuntimeSettings(threads=threads)
    expected, found = (open_session(x, settings) for x in (onnx_file, tflite_file))
    assert found.manifest.nms == nms
    outputs = list(zip(expected.forward(pictures()), found.forward(pictures()), strict=True))
    for (one, other), tolerance in zip(outputs, (1e-4, 1e-5, 0), strict=True):
        assert one.dtype == other.dtype
        np.testing.assert_allclose(one, other, atol=tolerance)
    kept = (outputs[1][0] > 0).sum(axis=1)
    assert (kept > 2).all() and (kept < 200).all()  # and rows are left over


def test_a_detector_is_loaded_and_says_what_runs_it(files: dict[str, Path], kind: str) -> None:
    path = files[f"{kind} float32"]
    assert is_deployed(path) and open_session(path).manifest.metadata.class_names == CLASS_NAMES
    picture = np.random.default_rng(0).integers(0, 256, (60, 80, 3), np.uint8)
    found, expected = (
        mindssd.load(x, score_threshold=0.5, batch_size=2)(picture) for x in (path, files["onnx"])
    )
    assert len(found) == len(expected) > 0
    np.testing.assert_allclose(found.boxes, expected.boxes, atol=0.01)


@pytest.mark.parametrize(("threads", "parallel"), [(1, 1), (2, 2)])
def test_threads_get_the_answers_of_one(
    files: dict[str, Path], kind: str, threads: int, parallel: int
) -> None:
    settings = RuntimeSettings(threads=threads, parallel=parallel)
    forward = open_session(files[f"{kind} float32"], settings).forward
    images = [picture[None] for picture in pictures()] * 8
    alone = [forward(image) for image in images]
    with ThreadPoolExecutor(4) as pool:
        for one, other in zip(alone, pool.map(forward, images), strict=True):
            np.testing.assert_array_equal(one[1], other[1])


def test_what_its_runtime_has_not_is_said(
    files: dict[str, Path], kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = files[f"{kind} float32"]
    with pytest.raises(ConfigError, match="which ONNX Runtime does not read; leave runtime out"):
        mindssd.load(path, runtime="onnxruntime")
    with pytest.raises(ConfigError, match="precision=float16"):
        mindssd.load(path, precision="float16")
    with pytest.raises(EngineError, match="on the CPU alone"):
        mindssd.load(path, device="GPU")
    monkeypatch.setattr(opening, "find_spec", lambda name: None)
    with pytest.raises(EngineError, match=rf"is not installed; pip install 'mindssd\[{kind}\]'"):
        mindssd.load(path)


@pytest.mark.parametrize("kept", [20, 400, -1, -40])
def test_a_truncated_file_is_refused_in_a_line(
    files: dict[str, Path], kind: str, tmp_path: Path, kept: int
) -> None:
    path = files[f"{kind} float32"]
    for file in path.parent.glob("float32.*"):
        (tmp_path / file.name).write_bytes(file.read_bytes())
    damaged = tmp_path / path.name
    damaged.write_bytes(damaged.read_bytes()[:kept])
    with pytest.raises(WeightsError, match=path.name) as caught:
        mindssd.load(damaged)
    assert "\n" not in str(caught.value)


def test_ncnns_weights_are_to_be_beside_it_and_whole(
    files: dict[str, Path], tmp_path: Path
) -> None:
    if "ncnn float32" not in files:
        pytest.skip("pnnx is not installed")
    source = files["ncnn float32"]
    path = tmp_path / source.name
    path.write_bytes(source.read_bytes())
    with pytest.raises(WeightsError, match=r"float32\.ncnn\.bin is not beside it"):
        open_session(path)
    path.with_suffix(".bin").write_bytes(source.with_suffix(".bin").read_bytes()[:-4])
    path.with_suffix(".json").write_bytes(source.with_suffix(".json").read_bytes())
    with pytest.raises(WeightsError, match="truncated or another file's"):
        open_session(path)


def test_an_operator_that_is_not_written_is_named(tmp_path: Path) -> None:
    net = Drawn()
    net.add("Tanh", "images", name="boxes")
    values = [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, 3, *IMAGE_SIZE])
        for name in ("images", "boxes")
    ]
    graph = helper.make_graph(net.nodes, "raw", values[:1], values[1:])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 15)], ir_version=8)
    with pytest.raises(EngineError, match=r"Tanh .* is none of the operators"):
        write_tflite(model, manifest(), tmp_path / "a.tflite")

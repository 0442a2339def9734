"""Files as `mindssd export` writes them, of a network that is a formula."""

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from mindssd.config.load import load_config, to_tree
from mindssd.config.schema import Config
from mindssd.deploy import exporter
from mindssd.deploy.graph import describe, finish
from mindssd.deploy.manifest import InGraphNMS, Manifest
from mindssd.engines.base import Parameters
from mindssd.geometry.default_boxes import DefaultBoxes, PaperDefaultBoxes
from mindssd.types import Array
from mindssd.weights.safetensors_file import ModelMetadata

CLASS_NAMES = ("cat", "dog", "hen")
IMAGE_SIZE = (48, 64)
DEFAULT_BOXES = PaperDefaultBoxes().generate(IMAGE_SIZE, ((6, 8), (3, 4), (1, 1)))


def random_outputs(seed: int = 0) -> tuple[Array, Array]:
    """Offsets (A, 4) and logits (A, 4): some hundred candidates that overlap."""
    rng = np.random.default_rng(seed)
    num_boxes = len(DEFAULT_BOXES)
    offsets = rng.normal(0, 1, (num_boxes, 4)).astype(np.float32)
    return offsets, rng.normal(-1, 2, (num_boxes, len(CLASS_NAMES) + 1)).astype(np.float32)


def raw_graph(offsets: Array, logits: Array) -> onnx.ModelProto:
    """An engine's raw graph: for each image these offsets, and these logits plus its own mean.

    The mean tells the images of a batch apart.
    """
    images = helper.make_tensor_value_info("images", TensorProto.FLOAT, ["batch", 3, *IMAGE_SIZE])
    outputs = [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, ["batch", *values.shape])
        for name, values in (("offsets", offsets), ("logits", logits))
    ]
    constants = {
        "one_offsets": offsets[None].astype(np.float32),
        "one_logits": logits[None].astype(np.float32),
        "shape": np.array([-1, 1, 1], np.int64),
        "zero": np.float32(0),
    }
    nodes = [
        helper.make_node("ReduceMean", ["images"], ["flat"], axes=[1, 2, 3], keepdims=0),
        helper.make_node("Reshape", ["flat", "shape"], ["means"]),
        helper.make_node("Add", ["one_logits", "means"], ["logits"]),
        helper.make_node("Mul", ["means", "zero"], ["nothing"]),
        helper.make_node("Add", ["one_offsets", "nothing"], ["offsets"]),
    ]
    tensors = [numpy_helper.from_array(np.asarray(v), name) for name, v in constants.items()]
    graph = helper.make_graph(nodes, "raw", [images], outputs, tensors)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)


def manifest(nms: InGraphNMS | None = None) -> Manifest:
    metadata = ModelMetadata(
        # Its detections are those of greedy NMS, as of the file with NMS inside.
        config=to_tree(load_config("demo", ["detection={soft_sigma: null, vote_iou: null}"])),
        class_names=CLASS_NAMES,
        category_ids=(3, 7, 9),
        image_size=IMAGE_SIZE,
        mean=(0.5, 0.5, 0.5),
        std=(0.5, 0.5, 0.5),
        grids=((6, 8), (3, 4), (1, 1)),
        metrics={"AP": 0.25},
    )
    return Manifest(metadata, len(DEFAULT_BOXES), 0.3, None, nms=nms)


Deploy = Callable[..., Path]


@pytest.fixture
def deploy(tmp_path: Path) -> Deploy:
    """Write `model.onnx` of given raw outputs, or random ones, and return its path."""
    return writer(tmp_path)


def writer(folder: Path) -> Deploy:
    """What `deploy` is, for a folder."""

    def write(
        outputs: tuple[Array, Array] | None = None,
        nms: InGraphNMS | None = None,
        boxes: DefaultBoxes = DEFAULT_BOXES,
        name: str = "model.onnx",
    ) -> Path:
        raw = raw_graph(*(outputs or random_outputs()))
        model = finish(raw, boxes.boxes_cxcywh, (0.1, 0.2), len(CLASS_NAMES), nms)
        path = folder / name
        describe(model, manifest(nms), path)
        path.write_bytes(model.SerializeToString())
        return path

    return write


@pytest.fixture(scope="module")
def exported_once() -> Iterator[None]:
    """PyTorch's exporter takes seconds: it is asked for a network once, the other times is copied.

    All that a file of tests exports with it are of one configuration.
    """
    contents: dict[bytes, bytes] = {}
    original = exporter.raw_onnx

    def raw_onnx(config: Config, parameters: Parameters, num_classes: int) -> bytes:
        key = b"".join(value.tobytes() for value in parameters.values())
        if key not in contents:
            contents[key] = original(config, parameters, num_classes)
        return contents[key]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(exporter, "raw_onnx", raw_onnx)
        yield

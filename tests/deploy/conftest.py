"""A network that is a formula, as an engine's raw ONNX graph."""

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from mindssd.types import Array


def raw_graph(
    offsets: Array, logits: Array, image_size: tuple[int, int] = (8, 8)
) -> onnx.ModelProto:
    """A graph that gives for each image these offsets (A, 4), and logits (A, C + 1) plus its mean.

    The mean tells the images of a batch apart.
    """
    pixels = helper.make_tensor_value_info("images", TensorProto.FLOAT, ["batch", 3, *image_size])
    outputs = [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, ["batch", *values.shape])
        for name, values in (("offsets", offsets), ("logits", logits))
    ]
    constants = [
        numpy_helper.from_array(np.asarray(value), name)
        for name, value in (
            ("one_offsets", offsets[None].astype(np.float32)),
            ("one_logits", logits[None].astype(np.float32)),
            ("zero", np.float32(0)),
            ("column", np.array([0, 1, 1], np.int64)),
        )
    ]
    nodes = [
        helper.make_node("ReduceMean", ["images"], ["mean"], axes=[1, 2, 3], keepdims=0),
        helper.make_node("Reshape", ["mean", "shape"], ["means"]),
        helper.make_node("Add", ["one_logits", "means"], ["logits"]),
        helper.make_node("Mul", ["means", "zero"], ["nothing"]),
        helper.make_node("Add", ["one_offsets", "nothing"], ["offsets"]),
    ]
    constants.append(numpy_helper.from_array(np.array([-1, 1, 1], np.int64), "shape"))
    graph = helper.make_graph(nodes, "raw", [pixels], outputs, constants[:3] + constants[4:])
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(0)

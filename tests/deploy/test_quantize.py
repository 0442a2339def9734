"""int8: which layers, what they cost, and what onnxruntime's tools would get wrong."""

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper

from mindssd.deploy.quantize import Quantizer
from mindssd.types import Array

SIDE = 12
LAYERS = ("first", "depthwise", "last")


def small_network(dead_channel: bool = False, depthwise_scale: float = 1.0) -> onnx.ModelProto:
    """Three convolutions with ReLU6 that clips much, then one each for offsets and logits."""
    rng = np.random.default_rng(0)
    weights = {
        "first": rng.normal(0, 1, (8, 3, 3, 3)),
        "depthwise": rng.normal(0, 0.3, (8, 1, 3, 3)),
        "last": rng.normal(0, 0.3, (8, 8, 1, 1)),
        "to_offsets": rng.normal(0, 0.2, (4, 8, 1, 1)),
        "to_logits": rng.normal(0, 0.5, (3, 8, 1, 1)),
    }
    biases = {name: rng.normal(1, 2, len(value)) for name, value in weights.items()}
    weights["depthwise"][:4] *= depthwise_scale
    if dead_channel:
        weights["first"][2], biases["first"][2] = 1e-20, -1.5
        weights["depthwise"][2] = 900.0
    tensors = {"zero": np.float32(0), "six": np.float32(6)}
    tensors |= {f"{name}.weight": value for name, value in weights.items()}
    tensors |= {f"{name}.bias": value for name, value in biases.items()}
    nodes, source = [], "images"
    for name in LAYERS:
        group = {"group": 8} if name == "depthwise" else {}
        pads = [0] * 4 if name == "last" else [1] * 4
        inputs = [source, f"{name}.weight", f"{name}.bias"]
        nodes.append(helper.make_node("Conv", inputs, [f"{name}.raw"], name, pads=pads, **group))
        nodes.append(
            helper.make_node(
                "Clip", [f"{name}.raw", "zero", "six"], [name + ".out"], f"{name}_clip"
            )
        )
        source = f"{name}.out"
    outputs = []
    for name, columns in (("offsets", 4), ("logits", 3)):
        inputs = [source, f"to_{name}.weight", f"to_{name}.bias"]
        nodes.append(helper.make_node("Conv", inputs, [f"{name}.map"], f"to_{name}"))
        nodes.append(
            helper.make_node("Transpose", [f"{name}.map"], [f"{name}.last"], perm=[0, 2, 3, 1])
        )
        tensors[f"{name}.shape"] = np.array([0, SIDE * SIDE, columns], np.int64)
        nodes.append(helper.make_node("Reshape", [f"{name}.last", f"{name}.shape"], [name]))
        shape = ["batch", SIDE * SIDE, columns]
        outputs.append(helper.make_tensor_value_info(name, TensorProto.FLOAT, shape))
    images = helper.make_tensor_value_info("images", TensorProto.FLOAT, ["batch", 3, SIDE, SIDE])
    constants = [
        numpy_helper.from_array(
            np.asarray(value, None if value.dtype == np.int64 else np.float32), name
        )
        for name, value in tensors.items()
    ]
    graph = helper.make_graph(nodes, "small", [images], outputs, constants)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)


@pytest.fixture
def images() -> list[Array]:
    rng = np.random.default_rng(1)
    return [rng.normal(0, 1, (3, SIDE, SIDE)).astype(np.float32) for _ in range(12)]


def scores_error(model: onnx.ModelProto, right: onnx.ModelProto, image: Array) -> float:
    """The mean difference of the logits, as the runtime optimises both."""
    first, second = (
        onnxruntime.InferenceSession(m.SerializeToString()).run(["logits"], {"images": image[None]})
        for m in (model, right)
    )
    return float(np.abs(first[0] - second[0]).mean())


def test_convolutions_become_int8_but_for_the_heads_last_ones(images: list[Array]) -> None:
    raw = small_network()
    quantizer = Quantizer.calibrated(raw, images)
    assert quantizer.layers() == list(LAYERS)
    made_by = {o: n for n in quantizer.quantized().graph.node for o in n.output}
    for node in made_by.values():
        if node.op_type == "Conv":
            weights = made_by.get(node.input[1])
            assert (weights is not None and weights.op_type == "DequantizeLinear") == (
                node.name in LAYERS
            )
    assert scores_error(quantizer.quantized(), raw, images[0]) < 0.1


@pytest.mark.parametrize("layer", LAYERS)
def test_a_layer_in_float32_makes_nothing_worse(images: list[Array], layer: str) -> None:
    raw = small_network()
    quantizer = Quantizer.calibrated(raw, images)
    assert scores_error(quantizer.quantized([layer]), raw, images[0]) < 0.1


def test_a_relu6_before_a_layer_in_float32_is_kept(images: list[Array]) -> None:
    """onnxruntime drops it for the int8 range behind, then that; what is below 0 gets through.

    Training leaves channels that are always below 0, with weights of any size behind.
    """
    raw = small_network(dead_channel=True)
    quantizer = Quantizer.calibrated(raw, images)
    assert scores_error(quantizer.quantized(["depthwise"]), raw, images[0]) < 0.1


def test_the_layer_that_costs_most_is_found(images: list[Array]) -> None:
    """Sums of large weights that cancel are what int8 is worst at."""
    quantizer = Quantizer.calibrated(small_network(depthwise_scale=40.0), images)
    costs = dict(quantizer.costs(images[:4]))
    assert set(costs) == set(LAYERS) and max(costs, key=lambda name: costs[name]) != "last"

"""What an exporter writes, said in the operators that all readers have: with the same result."""

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper

from mindssd.deploy.onnx_nodes import fix_batch
from mindssd.deploy.portable import IR_VERSION, OPSET, make_portable, spell_out_activations
from mindssd.types import Array


def graph_of(
    nodes: Sequence[onnx.NodeProto],
    constants: Mapping[str, Array | float],
    source: tuple[int, ...],
    result: tuple[int, ...],
) -> onnx.ModelProto:
    """A model from `images` (B, …) to `out` (B, …), as PyTorch's exporter has them: opset 18."""
    images, out = (
        helper.make_tensor_value_info(name, TensorProto.FLOAT, ["batch", *shape])
        for name, shape in (("images", source), ("out", result))
    )
    tensors = [
        numpy_helper.from_array(
            np.asarray(value, np.int64 if np.asarray(value).dtype.kind == "i" else np.float32), name
        )
        for name, value in constants.items()
    ]
    graph = helper.make_graph(nodes, "g", [images], [out], tensors)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
    onnx.checker.check_model(model, full_check=True)
    return model


def require_same(
    before: onnx.ModelProto, after: onnx.ModelProto, source: tuple[int, ...]
) -> Counter[str]:
    """Run both on two images; the kinds of the second's nodes."""
    onnx.checker.check_model(after, full_check=True)
    images = np.random.default_rng(0).normal(0, 3, (2, *source)).astype(np.float32)
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    first, second = (
        onnxruntime.InferenceSession(m.SerializeToString(), options).run(None, {"images": images})
        for m in (before, after)
    )
    np.testing.assert_allclose(first[0], second[0], atol=5e-5)
    return Counter(node.op_type for node in after.graph.node)


def portable(model: onnx.ModelProto) -> onnx.ModelProto:
    result = onnx.ModelProto()
    result.CopyFrom(model)
    make_portable(result)
    assert (result.ir_version, result.opset_import[0].version) == (IR_VERSION, OPSET)
    return result


def enlarging(old: tuple[int, int], new: tuple[int, int]) -> onnx.ModelProto:
    """What PyTorch writes for `engines.torch.necks.resize`: sizes from a `Shape`, and a cut."""
    nodes = [
        helper.make_node("Pad", ["images", "pads"], ["padded"], mode="edge"),
        helper.make_node("Shape", ["padded"], ["first"], start=0, end=2),
        helper.make_node("Concat", ["first", "last"], ["sizes"], axis=0),
        helper.make_node(
            "Resize",
            ["padded", "", "", "sizes"],
            ["resized"],
            mode="linear",
            coordinate_transformation_mode="align_corners",
            antialias=0,
        ),
        helper.make_node("Slice", ["resized", "zero", "height", "two", "one"], ["cut"]),
        helper.make_node("Slice", ["cut", "zero", "width", "three", "one"], ["out"]),
    ]
    constants = {
        "pads": np.array([0] * 6 + [1, 1]),
        "last": np.array([x + 1 for x in new]),
        "zero": np.array([0]),
        "one": np.array([1]),
        "two": np.array([2]),
        "three": np.array([3]),
        "height": np.array([new[0]]),
        "width": np.array([new[1]]),
    }
    return graph_of(nodes, constants, (2, *old), (2, *new))


@pytest.mark.parametrize(
    ("old", "new"), [((10, 10), (19, 19)), ((5, 7), (10, 13)), ((20, 20), (40, 40))]
)
def test_an_enlargement_is_one_resize_by_constant_scales(
    old: tuple[int, int], new: tuple[int, int]
) -> None:
    before = enlarging(old, new)
    after = portable(before)
    assert require_same(before, after, (2, *old)) == {"Resize": 1}
    (node,) = after.graph.node
    (scales,) = (numpy_helper.to_array(x).tolist() for x in after.graph.initializer)
    assert list(node.input[1:2]) == [""] and len(node.input) == 3 and scales[:2] == [1, 1]
    # In float64, where 10 times the float32 below 1.9 would be rounded down to 18.
    assert [int(a * scale) for a, scale in zip(old, scales[2:], strict=True)] == list(new)


def test_sizes_that_stay_computed_are_refused() -> None:
    model = enlarging((10, 10), (19, 19))
    for attribute in model.graph.node[0].attribute:
        attribute.s = b"reflect"
    with pytest.raises(ValueError, match="shape of first is not known before the graph runs"):
        portable(model)


def test_a_mean_over_height_and_width_is_a_pooling() -> None:
    nodes = [helper.make_node("ReduceMean", ["images", "axes"], ["out"], keepdims=1)]
    before = graph_of(nodes, {"axes": np.array([2, 3])}, (4, 5, 6), (4, 1, 1))
    assert require_same(before, portable(before), (4, 5, 6)) == {"GlobalAveragePool": 1}


def test_zeros_around_what_is_not_negative_are_the_poolings_own() -> None:
    pool = {"kernel_shape": [3, 3], "strides": [2, 2]}
    nodes = [
        helper.make_node("Relu", ["images"], ["positive"]),
        helper.make_node("Pad", ["positive", "pads"], ["padded"]),
        helper.make_node("MaxPool", ["padded"], ["out"], **pool),
    ]
    pads = {"pads": np.array([0] * 6 + [1, 1])}
    before = graph_of(nodes, pads, (2, 6, 6), (2, 3, 3))
    assert require_same(before, portable(before), (2, 6, 6)) == {"Relu": 1, "MaxPool": 1}
    nodes[0] = helper.make_node("Tanh", ["images"], ["positive"])  # a zero may be the largest
    before = graph_of(nodes, pads, (2, 6, 6), (2, 3, 3))
    assert require_same(before, portable(before), (2, 6, 6))["Pad"] == 1


def test_of_a_kernel_over_one_cell_its_middle_is_left() -> None:
    kernel = np.random.default_rng(1).normal(size=(4, 1, 3, 3)).astype(np.float32)
    nodes = [
        helper.make_node(
            "Conv", ["images", "kernel"], ["out"], group=4, pads=[1] * 4, kernel_shape=[3, 3]
        )
    ]
    before = graph_of(nodes, {"kernel": kernel}, (4, 1, 1), (4, 1, 1))
    after = portable(before)
    require_same(before, after, (4, 1, 1))
    (cell,) = after.graph.initializer
    assert list(cell.dims) == [4, 1, 1, 1]
    larger = graph_of(nodes, {"kernel": kernel}, (4, 2, 2), (4, 2, 2))
    require_same(larger, portable(larger), (4, 2, 2))


def test_a_reshape_without_zeros_says_nothing_of_zeros() -> None:
    nodes = [helper.make_node("Reshape", ["images", "shape"], ["out"], allowzero=1)]
    before = graph_of(nodes, {"shape": np.array([-1, 6, 4])}, (4, 6), (6, 4))
    after = portable(before)
    require_same(before, after, (4, 6))
    assert not after.graph.node[0].attribute


@pytest.mark.parametrize("behind_a_convolution", [True, False])
def test_hard_swish_and_hard_sigmoid_are_sums_limits_and_products(
    behind_a_convolution: bool,
) -> None:
    rng = np.random.default_rng(2)
    constants = {"weight": rng.normal(size=(3, 3, 1, 1)), "bias": rng.normal(size=3)}
    first = (
        helper.make_node("Conv", ["images", "weight", "bias"], ["x"])
        if behind_a_convolution
        else helper.make_node("Neg", ["images"], ["x"])
    )
    nodes = [
        first,
        helper.make_node("HardSwish", ["x"], ["swish"]),
        helper.make_node("HardSigmoid", ["swish"], ["gate"], alpha=1 / 6, beta=0.5),
        helper.make_node("Mul", ["swish", "gate"], ["out"]),
    ]
    before = graph_of(nodes, constants if behind_a_convolution else {}, (3, 4, 4), (3, 4, 4))
    after = portable(before)
    spell_out_activations(after.graph)
    kinds = require_same(before, after, (3, 4, 4))
    assert "HardSwish" not in kinds and "HardSigmoid" not in kinds
    # One product less where the convolution takes it over, and the sum is a convolution too.
    assert kinds["Mul"] == (3 if behind_a_convolution else 4)
    assert (kinds["Conv"], kinds["Add"]) == ((2, 1) if behind_a_convolution else (0, 2))


def test_onnx_runtime_keeps_its_order_of_maps_through_a_hard_swish(tmp_path: Path) -> None:
    """Where it has one of its own, which depends on the processor."""
    rng = np.random.default_rng(4)
    constants = {"first": rng.normal(size=(32, 3, 3, 3)), "last": rng.normal(size=(32, 32, 1, 1))}
    nodes = [
        helper.make_node("Conv", ["images", "first"], ["x"]),
        helper.make_node("HardSwish", ["x"], ["swish"]),
        helper.make_node("Conv", ["swish", "last"], ["out"]),
    ]
    model = portable(graph_of(nodes, constants, (3, 8, 8), (32, 6, 6)))
    spell_out_activations(model.graph)
    options = onnxruntime.SessionOptions()
    options.optimized_model_filepath = str(tmp_path / "optimised.onnx")
    options.log_severity_level = 3
    onnxruntime.InferenceSession(
        model.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
    kinds = Counter(node.op_type for node in onnx.load(tmp_path / "optimised.onnx").graph.node)
    assert kinds["Clip"] == 0  # one of its convolutions does that
    assert kinds["ReorderOutput"] <= 1


def test_a_convolution_whose_values_others_take_too_keeps_its_weights() -> None:
    rng = np.random.default_rng(3)
    nodes = [
        helper.make_node("Conv", ["images", "weight"], ["x"]),
        helper.make_node("HardSwish", ["x"], ["swish"]),
        helper.make_node("Add", ["x", "swish"], ["out"]),
    ]
    before = graph_of(nodes, {"weight": rng.normal(size=(3, 3, 1, 1))}, (3, 4, 4), (3, 4, 4))
    after = portable(before)
    spell_out_activations(after.graph)
    require_same(before, after, (3, 4, 4))


def test_a_fixed_batch_is_in_the_shape_of_every_value() -> None:
    nodes = [
        helper.make_node("Relu", ["images"], ["positive"]),
        helper.make_node("Reshape", ["positive", "shape"], ["out"]),
    ]
    model = portable(graph_of(nodes, {"shape": np.array([-1, 24])}, (4, 6), (24,)))
    fix_batch(model.graph, 3)
    values = (*model.graph.input, *model.graph.value_info, *model.graph.output)
    assert [x.type.tensor_type.shape.dim[0].dim_value for x in values] == [3, 3, 3]

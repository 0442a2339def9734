"""What is written behind an engine's raw graph: decoding, NMS and folded BatchNorms."""

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper

from mindssd.deploy.graph import finish, fold_batch_norms, read_raw
from mindssd.deploy.manifest import InGraphNMS
from mindssd.geometry.postprocess import PostProcess, PostProcessDecoded, PostProcessSelected
from mindssd.geometry.selection import Selection
from mindssd.types import Array
from tests.deploy.conftest import CLASS_NAMES, DEFAULT_BOXES, IMAGE_SIZE, random_outputs, raw_graph

SIZE = (480, 640)


def run(model: onnx.ModelProto, images: Array) -> list[Array]:
    session = onnxruntime.InferenceSession(model.SerializeToString())
    outputs: list[Array] = session.run(None, {"images": images})
    return outputs


def images_of_means(*means: float) -> Array:
    return np.stack([np.full((3, *IMAGE_SIZE), mean, np.float32) for mean in means])


def finished(raw: onnx.ModelProto, nms: InGraphNMS | None = None) -> onnx.ModelProto:
    return finish(raw, DEFAULT_BOXES.boxes_cxcywh, (0.1, 0.2), len(CLASS_NAMES), nms)


def test_decoding_inside_the_graph_is_the_projects_for_a_batch_of_any_size() -> None:
    raw = raw_graph(*random_outputs())
    for images in (images_of_means(0), images_of_means(-1, 0, 1)):
        offsets, logits = run(raw, images)
        boxes, scores = run(finished(raw), images)
        for i in range(len(images)):
            expected = PostProcess(DEFAULT_BOXES)(offsets[i], logits[i], SIZE)
            found = PostProcessDecoded(num_boxes=len(DEFAULT_BOXES))(boxes[i], scores[i], SIZE)
            assert len(expected[0]) > 10
            for one, other in zip(expected, found, strict=True):
                np.testing.assert_allclose(one, other, atol=1e-3)


@pytest.mark.parametrize("threshold", [0.01, 0.5])
@pytest.mark.parametrize("iou", [0.3, 0.6])
def test_nms_inside_the_graph_is_the_projects(threshold: float, iou: float) -> None:
    raw = raw_graph(*random_outputs(1))
    images = images_of_means(-2, 0, 2)
    offsets, logits = run(raw, images)
    outputs = run(finished(raw, InGraphNMS(threshold, iou, 50)), images)
    assert [output.shape for output in outputs] == [(3, 50, 4), (3, 50), (3, 50)]
    selection = Selection(score_threshold=threshold, iou_threshold=iou, max_detections=50)
    from_rows = PostProcessSelected(num_boxes=50, selection=selection)
    counts = set()
    for i in range(len(images)):
        expected = PostProcess(DEFAULT_BOXES, selection=selection)(offsets[i], logits[i], SIZE)
        found = from_rows(*(x[i] for x in outputs), SIZE)
        counts.add(len(expected[0]))
        for one, other in zip(expected, found, strict=True):
            np.testing.assert_allclose(one, other, atol=1e-3)
    assert len(counts) > 1 or counts == {50}


def test_rows_that_nms_leaves_over_have_no_score_and_no_class() -> None:
    offsets, logits = random_outputs()
    logits[:] = -20
    logits[5, 2] = 3
    outputs = finished(raw_graph(offsets, logits), InGraphNMS(0.3, 0.5, 10))
    boxes, scores, class_ids = run(outputs, images_of_means(0, -40))
    assert (scores[0] > 0).tolist() == [True] + [False] * 9
    assert class_ids[0].tolist() == [1] + [-1] * 9
    assert not boxes[0, 1:].any() and not scores[1].any()


def test_a_box_without_area_is_kept_by_neither() -> None:
    offsets, logits = random_outputs()
    offsets[:, 1] = 1000  # all far to the right, clipped to nothing
    outputs = run(
        finished(raw_graph(offsets, logits), InGraphNMS(0.01, 0.5, 10)), images_of_means(0)
    )
    assert not outputs[1].any()


def test_nms_has_its_five_inputs_and_other_shapes_are_static() -> None:
    model = finished(raw_graph(*random_outputs()), InGraphNMS(0.01, 0.5, 10))
    (nms,) = [node for node in model.graph.node if node.op_type == "NonMaxSuppression"]
    assert len(nms.input) == 5 and all(nms.input)
    for output in model.graph.output:
        batch, *rest = output.type.tensor_type.shape.dim
        assert batch.dim_param == "batch" and all(dim.dim_value > 0 for dim in rest)


def test_nothing_gathers_by_what_nms_keeps_before_it_has_rows() -> None:
    """OpenCV 5.0 ends with a division by zero where nothing is kept."""
    graph = finished(raw_graph(*random_outputs()), InGraphNMS(0.01, 0.5, 10)).graph
    (nms,) = [node for node in graph.node if node.op_type == "NonMaxSuppression"]
    takers = {node.op_type for node in graph.node if nms.output[0] in node.input}
    assert takers == {"Pad"}


def convolution_and_norm() -> onnx.ModelProto:
    rng = np.random.default_rng(0)
    constants = {
        "weight": rng.normal(size=(4, 3, 3, 3)),
        "gamma": rng.uniform(0.5, 1, 4),
        "beta": rng.normal(size=4),
        "mean": rng.normal(size=4),
        "variance": rng.uniform(0.5, 2, 4),
    }
    images = helper.make_tensor_value_info("images", TensorProto.FLOAT, ["batch", 3, *IMAGE_SIZE])
    output = helper.make_tensor_value_info("out", TensorProto.FLOAT, None)
    norm = ["gamma", "beta", "mean", "variance"]
    nodes = [
        helper.make_node("Conv", ["images", "weight"], ["convolved"]),
        helper.make_node("BatchNormalization", ["convolved", *norm], ["out"], epsilon=1e-3),
    ]
    tensors = [numpy_helper.from_array(v.astype(np.float32), n) for n, v in constants.items()]
    graph = helper.make_graph(nodes, "g", [images], [output], tensors)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)


def test_a_folded_batch_norm_changes_nothing_but_its_node() -> None:
    before, after = convolution_and_norm(), convolution_and_norm()
    fold_batch_norms(after.graph)
    assert [node.op_type for node in after.graph.node] == ["Conv"]
    assert {constant.name for constant in after.graph.initializer} == {"out.weight", "out.bias"}
    images = np.random.default_rng(1).normal(size=(2, 3, *IMAGE_SIZE)).astype(np.float32)
    np.testing.assert_allclose(run(before, images)[0], run(after, images)[0], atol=1e-4)


def test_what_an_exporter_notes_of_its_machine_is_left_out() -> None:
    raw = raw_graph(*random_outputs())
    for part in (raw.graph.node[0], raw.graph.value_info.add(name="flat")):
        part.metadata_props.add(key="pkg.torch.onnx.stack_trace", value='File "/home/me/code.py"')
    assert b"/home/me" in raw.SerializeToString()
    assert b"/home/me" not in read_raw(raw.SerializeToString(), IMAGE_SIZE).SerializeToString()


def test_a_graph_that_is_no_engines_is_refused() -> None:
    raw = raw_graph(*random_outputs())
    assert read_raw(raw.SerializeToString(), IMAGE_SIZE).graph.output[0].name == "offsets"
    with pytest.raises(ValueError, match="expected a free batch"):
        read_raw(raw.SerializeToString(), (64, 64))
    with pytest.raises(ValueError, match="expected images to offsets and logits"):
        read_raw(convolution_and_norm().SerializeToString(), IMAGE_SIZE)

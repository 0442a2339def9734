"""Every tensor is accounted for, by name and shape."""

import json

import numpy as np
import pytest
from safetensors.numpy import save

from mindssd.errors import WeightsError
from mindssd.weights.mindspore_checkpoint import read_checkpoint, write_checkpoint
from mindssd.weights.names import reference_to_canonical
from mindssd.weights.safetensors_file import ModelMetadata, write_model
from mindssd.weights.transfer import (
    fit,
    load_backbone,
    load_detector,
    num_classes,
    read_description,
    read_weights,
    shapes_of,
    start_from_detector,
)

# Two default boxes at each cell and three classes: 2·4 box outputs, 2·(3 + 1) class outputs.
SHAPES = {
    "backbone.features_0.weight": (4, 3, 3, 3),
    "backbone.features_1.gamma": (4,),
    "head.boxes.0.predict.bias": (8,),
    "head.classes.0.predict.weight": (8, 4, 1, 1),
    "head.classes.0.predict.bias": (8,),
}


def _arrays(shapes):
    rng = np.random.default_rng(0)
    return {name: rng.normal(size=shape).astype(np.float32) for name, shape in shapes.items()}


def _other_width(num_outputs):
    return {
        **SHAPES,
        "head.classes.0.predict.weight": (num_outputs, 4, 1, 1),
        "head.classes.0.predict.bias": (num_outputs,),
    }


def _golden_shapes(golden_dir, recipe="ssd_mobilenetv2"):
    entries = json.loads((golden_dir / f"{recipe}.parameters.json").read_text())
    return {reference_to_canonical(e["name"]): tuple(e["shape"]) for e in entries}


def test_a_checkpoint_that_fits_is_loaded_in_the_networks_order():
    parameters = _arrays(dict(reversed(SHAPES.items())))
    to_load, report = fit(parameters, SHAPES)
    assert list(to_load) == list(SHAPES)
    assert report.summary() == "5 tensors loaded"


def test_a_mismatch_counts_and_shows_the_first_of_each():
    shapes = {f"backbone.layer{i}.weight": (1,) for i in range(6)} | {"backbone.a.bias": (2, 2)}
    found = _arrays({"backbone.a.bias": (2,), "backbone.layer0.weight": (1,), "neck.x": (1,)})
    with pytest.raises(WeightsError) as caught:
        fit(found, shapes, source="old.ckpt")
    message = str(caught.value)
    assert message.startswith(
        "old.ckpt does not fit the network: 5 missing (backbone.layer1.weight"
    )
    assert "layer3.weight, …)" in message and "layer4" not in message
    assert (
        "1 unexpected (neck.x); 1 wrongly shaped (backbone.a.bias (2,) instead of (2, 2))"
        in message
    )
    assert "\n" not in message


def test_other_classes_are_refused_with_both_counts_and_the_way_out():
    with pytest.raises(
        WeightsError,
        match="has 80 classes, this network 3; in training, initial_weights=FILE takes",
    ):
        fit(_arrays(_other_width(162)), SHAPES)


def test_more_that_differs_than_the_classes_is_said():
    other = _other_width(162) | {"head.boxes.0.predict.bias": (12,)}
    with pytest.raises(WeightsError, match=r"predict\.bias \(12,\) instead.*; but more than these"):
        fit(_arrays(other), SHAPES)
    deeper = SHAPES | {"head.classes.0.predict.weight": (8, 5, 1, 1)}
    with pytest.raises(WeightsError, match=r"1 wrongly shaped .*of another recipe, backbone"):
        fit(_arrays(deeper), SHAPES)


def test_the_number_of_classes_is_read_off_the_shapes():
    assert num_classes(SHAPES) == 3
    assert num_classes(_other_width(162)) == 80
    assert num_classes({"backbone.conv1.weight": (1,)}) is None
    assert num_classes({"head.classes.predict.bias": (8,)}) is None


def test_a_value_that_is_not_finite_names_its_tensor(tmp_path):
    write_checkpoint(
        tmp_path / "a.ckpt", {"conv1.weight": np.array([1, np.nan, np.inf], np.float32)}
    )
    with pytest.raises(WeightsError, match=r"'conv1\.weight' has 2 of 3 values.*not finite"):
        read_weights(tmp_path / "a.ckpt")


def test_a_count_that_is_no_known_training_state_is_not_ignored(tmp_path):
    write_checkpoint(
        tmp_path / "a.ckpt", {"conv1.weight": np.zeros(3, "f4"), "x": np.zeros(1, int)}
    )
    with pytest.raises(WeightsError, match="'x' has type int64"):
        read_weights(tmp_path / "a.ckpt")


def test_the_content_decides_what_a_file_is_not_its_suffix(tmp_path):
    arrays = _arrays(SHAPES)
    metadata = ModelMetadata({}, ("a",), (1,), (300, 300), (0, 0, 0), (1, 1, 1), ((1, 1),))
    write_model(tmp_path / "ours.ckpt", arrays, metadata)
    write_checkpoint(tmp_path / "canonical.safetensors", arrays)
    (tmp_path / "plain").write_bytes(save(arrays, metadata={"format": "ms"}))
    for name, described in (
        ("ours.ckpt", metadata),
        ("canonical.safetensors", None),
        ("plain", None),
    ):
        parameters, kind, found = read_weights(tmp_path / name)
        assert (kind, found) == ("canonical", described)
        assert shapes_of(parameters) == SHAPES
        assert read_description(tmp_path / name) == described


def test_a_home_folder_is_understood(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    write_checkpoint(tmp_path / "a.ckpt", _arrays(SHAPES))
    assert shapes_of(read_weights("~/a.ckpt")[0]) == SHAPES
    assert read_description("~/a.ckpt") is None


def test_names_of_no_one_kind_name_the_file(tmp_path):
    write_checkpoint(tmp_path / "a.ckpt", _arrays({"backbone.a.weight": (1,), "fc.weight": (1,)}))
    with pytest.raises(WeightsError, match=r"a\.ckpt: its 2 parameter names are not of one kind"):
        read_weights(tmp_path / "a.ckpt")


def test_optimizer_state_beside_the_parameters_is_set_aside(
    tmp_path, golden_dir, reference_checkpoint
):
    tensors = read_checkpoint(reference_checkpoint)
    state = {f"moments.{name}": np.zeros_like(value) for name, value in tensors.items()}
    state |= {"learning_rate": np.float32(0.05).reshape(()), "global_step": np.zeros(1, np.int32)}
    write_checkpoint(tmp_path / "training.ckpt", tensors | state)
    parameters, kind, _ = read_weights(tmp_path / "training.ckpt")
    assert kind == "reference_ssd"
    assert len(parameters) == len(_golden_shapes(golden_dir))


def test_the_references_detector_fits_a_network_of_three_classes(golden_dir, reference_checkpoint):
    parameters, _, _ = read_weights(reference_checkpoint)
    assert num_classes(shapes_of(parameters)) == 3
    shapes = _golden_shapes(golden_dir)  # of 80 classes
    three = {name: parameters[name].shape for name in shapes}
    to_load, report = load_detector(reference_checkpoint, three)
    assert list(to_load) == list(shapes)
    assert report.left_at_initial_values == ()


def test_the_references_detector_starts_one_of_eighty_classes(golden_dir, reference_checkpoint):
    shapes = _golden_shapes(golden_dir)
    with pytest.raises(WeightsError, match=r"12 wrongly shaped .* 3 classes, this network 80"):
        load_detector(reference_checkpoint, shapes)
    initial = {name: np.zeros(shape, np.float32) for name, shape in shapes.items()}
    to_load, report = start_from_detector(
        reference_checkpoint, initial, [f"class {i}" for i in range(80)]
    )
    assert len(report.left_at_initial_values) == 12  # weight and bias of six levels
    assert len(to_load) == len(shapes) - 12


def test_another_recipes_detector_is_refused(golden_dir, reference_checkpoint):
    with pytest.raises(WeightsError, match=r"bccd_trained\.ckpt does not fit.*missing.*of another"):
        load_detector(reference_checkpoint, _golden_shapes(golden_dir, "ssd_resnet50_fpn"))


def test_mindcvs_backbone_fits_and_its_classifier_is_left_out_by_design(
    golden_dir, backbone_checkpoint
):
    shapes = _golden_shapes(golden_dir)
    to_load, report = load_backbone(backbone_checkpoint, shapes)
    assert list(to_load) == [name for name in shapes if name.startswith("backbone.")]
    assert len(to_load) == 260
    assert report.left_out == ("backbone.classifier.1.weight", "backbone.classifier.1.bias")
    assert (
        "260 tensors loaded; not part of this network: 2 (backbone.classifier" in report.summary()
    )


def test_layers_beyond_the_last_map_are_left_out_but_never_one_within(tmp_path):
    names = ["features.0.weight", "features.1.gamma", "features.2.weight", "classifier.bias"]
    write_checkpoint(tmp_path / "a.ckpt", _arrays(dict.fromkeys(names, (4,))))
    shapes = {"backbone.features_0.weight": (4,), "backbone.features_1.gamma": (4,)}
    to_load, report = load_backbone(tmp_path / "a.ckpt", shapes)
    assert list(to_load) == list(shapes)
    assert report.left_out == ("backbone.features_2.weight", "backbone.classifier.bias")
    names.append("features.0.bias")
    write_checkpoint(tmp_path / "b.ckpt", _arrays(dict.fromkeys(names, (4,))))
    with pytest.raises(WeightsError, match=r"1 unexpected \(backbone\.features_0\.bias\)"):
        load_backbone(tmp_path / "b.ckpt", shapes)


def test_a_detectors_backbone_starts_another_detector(golden_dir, reference_checkpoint):
    shapes = _golden_shapes(golden_dir)
    to_load, report = load_backbone(reference_checkpoint, shapes)
    assert len(to_load) == 260
    assert len(to_load) + len(report.left_out) == len(shapes)


def test_a_backbone_of_another_family_is_refused(golden_dir, backbone_checkpoint):
    with pytest.raises(WeightsError, match=r"265 missing \(backbone\.conv1\.weight"):
        load_backbone(backbone_checkpoint, _golden_shapes(golden_dir, "ssd_resnet50_fpn"))


def test_a_backbone_alone_is_no_detector(golden_dir, backbone_checkpoint):
    with pytest.raises(WeightsError, match=r"only a backbone.*backbone_ckpt_path="):
        load_detector(backbone_checkpoint, _golden_shapes(golden_dir))

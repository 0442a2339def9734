"""Names map exactly, in both directions."""

import json

import pytest

from mindssd.errors import WeightsError
from mindssd.weights import names

RECIPES = ("ssd_mobilenetv2", "ssd_mobilenetv3", "ssd_resnet50_fpn")


@pytest.mark.parametrize(
    ("reference", "canonical"),
    [
        ("backbone_wrapper.backbone.net.features_0.weight", "backbone.features_0.weight"),
        ("backbone_wrapper.backbone.net.layer1.0.bn2.beta", "backbone.layer1.0.bn2.beta"),
        ("backbone_wrapper.feature1_expand_layer.features.0.weight", "neck.expand.conv.weight"),
        (
            "backbone_wrapper.multi_residual.3.conv.1.features.1.gamma",
            "neck.extras.3.depthwise.norm.gamma",
        ),
        ("backbone_wrapper.multi_residual.0.conv.2.weight", "neck.extras.0.project.conv.weight"),
        ("backbone_wrapper.fpn.lateral_convs_list.2.bias", "neck.lateral.2.bias"),
        ("backbone_wrapper.bottom_up.blocks.1.features.1.beta", "neck.bottom_up.1.norm.beta"),
        ("multi_box.multi_loc_layers.5.3.bias", "head.boxes.5.predict.bias"),
        ("multi_box.multi_cls_layers.0.0.weight", "head.classes.0.depthwise.conv.weight"),
        ("multi_box.addition_layer_loc.0.3.features.0.bias", "head.boxes.tower.3.conv.bias"),
        # level 4, third convolution: the reference counts levels first, we count layers first
        ("multi_box.addition_layer_cls.4.2.features.1.beta", "head.classes.tower.2.norm.4.beta"),
        ("multi_box.cls_layers.0.weight", "head.classes.predict.weight"),
    ],
)
def test_a_reference_name_and_its_canonical_name(reference, canonical):
    assert names.reference_to_canonical(reference) == canonical
    assert names.canonical_to_reference(canonical) == reference


def test_the_two_mobilenets_name_their_expansion_differently():
    canonical = "neck.expand.norm.moving_mean"
    for style, layer in (("relu6", "features.1"), ("mobilenet_v3", "1")):
        reference = f"backbone_wrapper.feature1_expand_layer.{layer}.moving_mean"
        assert names.canonical_to_reference(canonical, style) == reference
        assert names.reference_to_canonical(reference) == canonical
    with pytest.raises(WeightsError, match="expand_first_style is 'gelu'; expected one of relu6"):
        names.canonical_to_reference(canonical, "gelu")


@pytest.mark.parametrize("recipe", RECIPES)
def test_every_golden_name_maps_to_a_canonical_name_and_back(golden_dir, recipe):
    golden = [e["name"] for e in json.loads((golden_dir / f"{recipe}.parameters.json").read_text())]
    assert names.detect_kind(golden) == "reference_ssd"
    mapped = names.to_canonical(golden, "reference_ssd")
    assert len(set(mapped.values())) == len(golden)
    assert names.detect_kind(mapped.values()) == "canonical"
    style = "mobilenet_v3" if recipe == "ssd_mobilenetv3" else "relu6"
    assert [names.canonical_to_reference(name, style) for name in mapped.values()] == golden


@pytest.mark.parametrize(
    ("mindcv", "canonical"),
    [
        ("features.18.layers.1.gamma", "backbone.features_18.layers.1.gamma"),  # MobileNetV2, V3
        ("features.1.0.block.0.weight", "backbone.features_1.0.block.0.weight"),  # EfficientNet
        ("feature.0.0.weight", "backbone.feature_0.0.weight"),  # ConvNeXt
        ("layer1.0.down_sample.1.beta", "backbone.layer1.0.down_sample.1.beta"),  # ResNet
        ("stage1.0.rbr_dense.0.weight", "backbone.stage1.0.rbr_dense.0.weight"),  # RepVGG
        ("classifier.1.weight", "backbone.classifier.1.weight"),
    ],
)
def test_a_mindcv_name_and_its_canonical_name(mindcv, canonical):
    assert names.mindcv_to_canonical(mindcv) == canonical


def test_a_name_that_no_map_knows_is_an_error():
    for name in ("multi_box.multi_loc_layers.0.2.weight", "backbone_wrapper.fpn.x", "classifier"):
        with pytest.raises(WeightsError, match="is not a parameter of MindCV's SSD example"):
            names.reference_to_canonical(name)
    with pytest.raises(WeightsError, match="is not a canonical parameter name"):
        names.canonical_to_reference("head.boxes.0.predict.gamma")


@pytest.mark.parametrize(
    "name",
    [
        "neck.output.0.depthwise.conv.weight",
        "neck.bottom_up.1.pointwise.norm.moving_mean",
        "neck.path.0.down.depthwise.norm.beta",
        "neck.path.1.output.pointwise.conv.weight",
        "head.boxes.tower.0.depthwise.conv.weight",
        "head.classes.tower.1.pointwise.norm.4.gamma",
    ],
)
def test_what_the_reference_has_not_is_mindssds_own(name):
    assert names.detect_kind(["backbone.conv1.weight", name]) == "canonical"
    with pytest.raises(WeightsError, match="parts that MindCV's SSD example has not"):
        names.canonical_to_reference(name)
    assert not names.is_canonical(name.replace("wise", "less"))


def test_the_kind_is_that_of_all_names_or_an_error_with_examples():
    assert names.detect_kind(["features.0.weight", "classifier.1.bias"]) == "mindcv_backbone"
    assert names.detect_kind(["backbone.conv1.weight"]) == "canonical"
    with pytest.raises(WeightsError, match="holds no parameters"):
        names.detect_kind([])
    mixed = ["backbone.conv1.weight", "multi_box.loc_layers.0.bias", "fc.weight"]
    with pytest.raises(WeightsError, match=r"1 are mindssd's, 1 those of.*1 neither.*'fc.weight'"):
        names.detect_kind(mixed)


def test_two_names_for_one_parameter_are_an_error():
    with pytest.raises(WeightsError, match=r"both mean 'backbone\.features_0\.weight'"):
        names.to_canonical(["features.0.weight", "features_0.weight"], "mindcv_backbone")


def test_training_state_is_left_out():
    parameters = ["layer1.0.weight", "layer1.0.beta"]
    state = ["moments.layer1.0.weight", "accum.layer1.0.beta", "learning_rate", "global_step"]
    assert names.without_training_state([*parameters, *state]) == parameters


def test_state_of_an_absent_parameter_is_not_hidden():
    """A layer that happens to be called `stat` stays a parameter."""
    parameters = ["stat.weight", "conv.weight"]
    assert names.without_training_state(parameters) == parameters

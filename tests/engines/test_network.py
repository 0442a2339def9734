"""A network gives and takes parameters by name, and puts out raw values."""

from dataclasses import replace

import numpy as np
import pytest

from mindssd.build.engine import build_engine
from mindssd.build.network import build_network
from mindssd.config.load import load_config
from mindssd.config.schema import Config
from mindssd.engines.base import FPNNeck, SharedHead
from mindssd.errors import EngineError, WeightsError


@pytest.fixture(scope="module")
def network(engine, tiny_spec):
    return engine.build_network(tiny_spec, seed=0)


def test_a_level_and_a_cell_and_a_box_each_have_their_output(network, make_batch):
    assert network.grids == ((8, 8), (4, 4), (2, 2))
    offsets, logits = network.forward(make_batch([0, 1]).images)
    assert offsets.shape == (2, 312, 4)
    assert logits.shape == (2, 312, 4)  # background and three classes
    assert offsets.dtype == logits.dtype == np.float32


def test_outputs_are_raw_and_not_scores(network, make_batch):
    _, logits = network.forward(make_batch([0, 1]).images)
    assert logits.min() < 0


def test_an_image_does_not_see_its_neighbours_in_the_batch(network, make_batch):
    """BatchNorm infers: the same image gives the same outputs beside any other."""
    one, _ = network.forward(make_batch([5, 6]).images)
    other, _ = network.forward(make_batch([5, 7]).images)
    np.testing.assert_array_equal(one[0], other[0])


def test_the_seed_alone_decides_the_initial_values(engine, network, tiny_spec):
    before = network.parameters()
    same, other = (engine.build_network(tiny_spec, seed).parameters() for seed in (0, 1))
    assert all(np.array_equal(before[name], same[name]) for name in before)
    assert any(not np.array_equal(before[name], other[name]) for name in before)


def test_parameters_are_copies(network):
    name = "head.boxes.0.predict.bias"
    network.parameters()[name][:] = 7
    assert not np.any(network.parameters()[name] == 7)


def test_what_was_loaded_comes_back_and_is_not_shared(network):
    name = "head.boxes.0.predict.bias"
    old = network.parameters()[name]
    value = np.arange(old.size, dtype=np.float32)
    network.load_parameters({name: value})
    value[:] = 7
    np.testing.assert_array_equal(network.parameters()[name], np.arange(old.size))
    network.load_parameters({name: old})


def test_a_name_or_shape_that_does_not_fit_is_an_error(network):
    with pytest.raises(WeightsError, match=r"the network has no parameter 'head\.boxes\.9\.bias'"):
        network.load_parameters({"head.boxes.9.bias": np.zeros(1, np.float32)})
    with pytest.raises(WeightsError, match=r"predict\.bias has shape \(3,\); expected \(12,\)"):
        network.load_parameters({"head.boxes.0.predict.bias": np.zeros(3, np.float32)})


def test_a_height_and_a_width_of_their_own_give_grids_of_their_own(engine, tiny_spec):
    network = engine.build_network(replace(tiny_spec, image_size=(32, 64)), seed=0)
    assert network.grids == ((8, 16), (4, 8), (2, 4))


def test_a_pyramid_and_a_shared_head_build_from_any_maps(engine, tiny_spec, make_batch):
    spec = replace(
        tiny_spec,
        neck=FPNNeck(channels=8, extra_levels=1),
        head=SharedHead(tower_depth=1),
        boxes_per_location=(6, 6, 6),
    )
    network = engine.build_network(spec, seed=0)
    offsets, logits = network.forward(make_batch([0]).images)
    assert offsets.shape == logits.shape == (1, 6 * (64 + 16 + 4), 4)


def test_a_prior_makes_each_class_as_likely_at_the_start(engine, make_batch):
    config = load_config(
        "ssd_mobilenetv2",
        [
            "device=CPU",
            "image_size=32",
            "backbone={name: mobilenet_v2_035_96, out_indices: [3, 6]}",
            "neck={extra_channels: [16], extra_expand_ratios: [0.5], expand_first: 2}",
            "head.class_prior=0.01",
        ],
    )
    network = build_network(config, engine, num_classes=3)
    _, logits = network.forward(make_batch([0]).images)
    scores = 1 / (1 + np.exp(-logits.mean(axis=(0, 1))))
    np.testing.assert_allclose(scores, [0.99, 0.01, 0.01, 0.01], atol=0.003)


def test_a_fault_of_the_framework_is_one_line_and_the_next_call_is_sound(network, make_batch):
    images = make_batch([0, 1]).images
    expected = network.forward(images)
    with pytest.raises(EngineError, match=r"^(PyTorch|MindSpore) fails: .+") as caught:
        network.forward(np.concatenate([images, images], axis=1))
    assert "\n" not in str(caught.value)
    for one, other in zip(expected, network.forward(images), strict=True):
        np.testing.assert_array_equal(one, other)


def test_an_unknown_backbone_is_named(engine, tiny_spec):
    with pytest.raises(EngineError, match="backbone 'resnet51' is no"):
        engine.build_network(replace(tiny_spec, backbone="resnet51"), seed=0)


def test_a_backbone_without_features_is_named(mindspore_engine, tiny_spec):
    with pytest.raises(EngineError, match=r"backbone 'vit_b_16_224'.*cannot extract features"):
        mindspore_engine.build_network(replace(tiny_spec, backbone="vit_b_16_224"), seed=0)


def test_an_index_beyond_the_last_layer_is_an_error(engine, tiny_spec):
    with pytest.raises(EngineError, match=r"out_indices \[3, 99\]"):
        engine.build_network(replace(tiny_spec, out_indices=(3, 99)), seed=0)


def test_a_device_that_is_not_there_is_an_error_with_those_that_are(engine):
    with pytest.raises(EngineError, match=r"device=Ascend: \w+ .* offers .*CPU here; use one"):
        build_engine(Config(engine=engine.name, device="Ascend"))


def test_an_engine_can_be_built_again(engine):
    """Each detector that a program opens builds one; MindSpore takes its settings but once."""
    again = build_engine(Config(engine=engine.name, device="CPU", precision="float32"))
    assert again.describe() == engine.describe()
    assert again.describe()["device"].startswith("CPU")

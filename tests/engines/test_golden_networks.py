"""The three recipes' networks are the reference's: names, shapes, counts, outputs."""

import numpy as np
import pytest

from mindssd.build.network import build_default_boxes, network_spec
from mindssd.geometry.coding import decode
from tests.golden.facts import Golden
from tests.golden.runs import forward

# Trainable and all, as DESIGN.md counts them.
NUM_PARAMETERS = {
    "ssd_mobilenetv2": (4_393_461, 4_445_365),
    "ssd_mobilenetv3": (4_841_093, 4_882_325),
    "ssd_resnet50_fpn": (33_294_654, 33_370_814),
}
GRIDS = {
    "ssd_mobilenetv2": (19, 10, 5, 3, 2, 1),
    "ssd_mobilenetv3": (19, 10, 5, 3, 2, 1),
    "ssd_resnet50_fpn": (80, 40, 20, 10, 5),
}
RECIPES = [
    "ssd_mobilenetv2",
    pytest.param("ssd_mobilenetv3", marks=pytest.mark.slow),
    pytest.param("ssd_resnet50_fpn", marks=pytest.mark.slow),
]
FORWARD_TOLERANCE = 2e-4


@pytest.fixture(scope="module", params=RECIPES)
def golden(request, golden_network):
    return golden_network(request.param)


@pytest.fixture(scope="module")
def network(golden, engine):
    """The recipe's network for 80 classes, at the values of the golden rule."""
    network = engine.build_network(network_spec(golden.config(), 80), seed=0)
    network.load_parameters(golden.parameters())
    return network


def test_every_parameter_has_the_references_name_and_shape(golden, network):
    ours = {name: value.shape for name, value in network.parameters().items()}
    assert ours == golden.canonical_shapes()


def test_parameters_come_in_the_references_order(golden, network):
    """But for the shared towers, which the reference lists level by level, we layer by layer."""
    ours, theirs = (
        [name for name in names if ".tower." not in name]
        for names in (network.parameters(), golden.canonical_shapes())
    )
    assert ours == theirs


def test_the_parameter_counts_are_those_of_the_design(golden, network):
    sizes = {name: value.size for name, value in network.parameters().items()}
    trainable = sum(sizes[name] for name in network.trainable_names())
    assert (trainable, sum(sizes.values())) == NUM_PARAMETERS[golden.recipe]


def test_what_is_not_trainable_are_batchnorms_statistics(network):
    others = set(network.parameters()) - set(network.trainable_names())
    assert others
    assert {name.rpartition(".")[2] for name in others} == {"moving_mean", "moving_variance"}


def test_grids_are_read_off_the_network(golden, network):
    assert network.grids == tuple((length, length) for length in GRIDS[golden.recipe])


def test_the_engines_grids_give_the_references_default_boxes(golden, network):
    ours = build_default_boxes(golden.config(), network.grids)
    theirs = golden.load("anchors")
    assert len(ours) == theirs["num_anchors"]
    centres, corners = (
        boxes[theirs["anchor_index"]][:, [1, 0, 3, 2]] for boxes in (ours.boxes_cxcywh, ours.boxes)
    )
    np.testing.assert_allclose(centres, theirs["cy_cx_h_w"], rtol=0, atol=1e-6)
    np.testing.assert_allclose(corners, theirs["y1_x1_y2_x2"], rtol=0, atol=1e-6)


def test_the_forward_pass_gives_the_references_outputs(
    golden, network, golden_sets, difference, record_figure
):
    """For photographs in the full set, and for images by rule, which need no file."""
    for folder in golden_sets:
        facts = Golden(golden.recipe, folder).load("forward")
        offsets, logits = forward(network, golden.config(), facts["images_rgb_uint8"])
        for name, ours in (("offsets", offsets), ("logits", logits)):
            off = difference(ours[:, facts["anchor_index"]], facts[name])
            record_figure(f"{golden.recipe} forward {name} of {folder}", off)
            assert off < FORWARD_TOLERANCE


def test_decoded_outputs_are_the_references(golden, network):
    """Our decoding of the golden offsets, on default boxes from the engine's own grids."""
    facts = golden.load("decode")
    default_boxes = build_default_boxes(golden.config(), network.grids)
    chosen = default_boxes.boxes_cxcywh[facts["anchor_index"]]
    for offsets, expected in zip(facts["offsets"], facts["boxes_y1_x1_y2_x2"], strict=True):
        ours = np.clip(decode(offsets, chosen, golden.config().matching.variances), 0, 1)
        np.testing.assert_allclose(ours[:, [1, 0, 3, 2]], expected, rtol=0, atol=1e-5)

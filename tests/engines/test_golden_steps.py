"""Three optimizer steps of the two MobileNets end where the reference's do.

Two runs of the reference itself, on other instruction sets, differ by 1e-6 in the first loss, by
0.15 % in the third and by 1e-3 in the tensors of neck and head after it: the bounds here leave a
little more.
"""

import numpy as np
import pytest

from mindssd.build.data import matcher
from mindssd.build.network import build_default_boxes, network_spec
from mindssd.build.predictor import normalization
from mindssd.build.training import step_spec
from mindssd.data.targets import Targets
from mindssd.images import normalise
from mindssd.types import Array, Batch

FIRST_LOSS_TOLERANCE = 1e-4
LATER_LOSS_TOLERANCE = 1e-2
TENSOR_TOLERANCE = 2e-3
NUM_STEPS, BATCH_SIZE = 3, 4


def _batch(golden, default_boxes, step: int) -> Batch:
    """The images a, b as [a, a, b, b], rolled by `step` pixels, and their targets by us.

    The facts say "rolled right", but their images were rolled down: MobileNetV3's second loss is
    theirs to 2e-7 then, and off by 1.5e-3 otherwise.
    """
    config = golden.config()
    facts = golden.load("steps")
    targets = Targets(default_boxes, config.matching.variances, matcher(config))
    first, second = golden.load("forward")["images_rgb_uint8"]
    images, offsets, labels = [], [], []
    for index, image in enumerate((first, first, second, second)):
        rolled = np.roll(image, step, axis=0)
        images.append(normalise(rolled, normalization(config)))
        truths: Array = facts[f"truth_{step}_{index}_y1_x1_y2_x2_label"]
        boxes_unit = truths[:, [1, 0, 3, 2]]
        # An image of one pixel: its fractions are its pixels.
        image_offsets, image_labels = targets(boxes_unit, truths[:, 4].astype(np.int32), (1, 1))
        offsets.append(image_offsets)
        labels.append(image_labels)
    return Batch(
        images=np.stack(images),
        offsets=np.stack(offsets),
        labels=np.stack(labels),
        weights=np.ones(BATCH_SIZE, np.float32),
        image_ids=np.arange(BATCH_SIZE),
        unreadable=np.zeros(BATCH_SIZE, np.bool_),
    )


@pytest.fixture(scope="module", params=["ssd_mobilenetv2", "ssd_mobilenetv3"])
def steps(request, engine, golden_network):
    """(the facts' recipe, the losses of three steps, the parameters after them)."""
    golden = golden_network(request.param)
    config = golden.config()
    network = engine.build_network(network_spec(config, 80), seed=0)
    network.load_parameters(golden.parameters())
    stepper = engine.build_stepper(network, step_spec(config, list(network.parameters())))
    default_boxes = build_default_boxes(config, network.grids)
    rates = golden.load("steps")["learning_rate"]
    results = [
        stepper.step(_batch(golden, default_boxes, step), float(rates[step]), 0.0)
        for step in range(NUM_STEPS)
    ]
    return golden, results, network.parameters()


@pytest.mark.slow
def test_each_steps_loss_is_the_references(steps, record_figure):
    golden, results, _ = steps
    theirs = golden.load("steps")["losses"]
    off = np.abs(np.array([result.loss for result in results]) / theirs - 1)
    for index, value in enumerate(off):
        record_figure(f"{golden.recipe} loss {index + 1}", value)
    assert off[0] < FIRST_LOSS_TOLERANCE
    assert off[1:].max() < LATER_LOSS_TOLERANCE
    assert all(result.finite for result in results)


@pytest.mark.slow
def test_the_tensors_after_three_steps_are_the_references(
    steps, by_canonical_name, difference, record_figure
):
    golden, _, parameters = steps
    after = by_canonical_name(golden.load("steps"))
    checked = 0
    for name, theirs in after.items():
        off = difference(parameters[name], theirs)
        record_figure(f"{golden.recipe} after three steps {name}", off)
        if not name.startswith("backbone."):  # the backbone's are for information
            assert off < TENSOR_TOLERANCE, name
            checked += 1
    assert checked >= 3

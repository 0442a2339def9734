"""The computations that the facts of networks are of: a forward pass, and three optimizer steps."""

import numpy as np

from mindssd.build.data import matcher
from mindssd.build.network import build_default_boxes, network_spec
from mindssd.build.predictor import normalization
from mindssd.build.training import step_spec
from mindssd.config.schema import Config
from mindssd.data.targets import Targets
from mindssd.engines.base import Engine, Network, StepResult
from mindssd.geometry.default_boxes import DefaultBoxes
from mindssd.images import normalise
from mindssd.types import Array, Batch
from tests.golden.facts import NUM_CLASSES, Golden

STEP_RECIPES = ("ssd_mobilenetv2", "ssd_mobilenetv3")
NUM_STEPS, BATCH_SIZE = 3, 4


def forward(network: Network, config: Config, images: Array) -> tuple[Array, Array]:
    """Offsets and logits of RGB images, (B, H, W, 3) uint8 of the network's own size."""
    return network.forward(np.stack([normalise(image, normalization(config)) for image in images]))


def three_steps(
    engine: Engine, golden: Golden, images: Array
) -> tuple[list[StepResult], dict[str, Array]]:
    """Train from the parameters by rule: (what each step gives, the parameters after them)."""
    config = golden.config()
    network = engine.build_network(network_spec(config, NUM_CLASSES), seed=0)
    network.load_parameters(golden.parameters())
    stepper = engine.build_stepper(network, step_spec(config, list(network.parameters())))
    default_boxes = build_default_boxes(config, network.grids)
    rates = golden.load("steps")["learning_rate"]
    results = [
        stepper.step(_batch(golden, default_boxes, images, step), float(rates[step]), 0.0)
        for step in range(NUM_STEPS)
    ]
    return results, network.parameters()


def _batch(golden: Golden, default_boxes: DefaultBoxes, images: Array, step: int) -> Batch:
    """The images a, b as [a, a, b, b], rolled by `step` pixels, and their targets by us.

    The facts say "rolled right", but their images were rolled down: MobileNetV3's second loss is
    theirs to 2e-7 then, and off by 1.5e-3 otherwise.
    """
    config = golden.config()
    facts = golden.load("steps")
    targets = Targets(default_boxes, config.matching.variances, matcher(config))
    first, second = images
    normalised, offsets, labels = [], [], []
    for index, image in enumerate((first, first, second, second)):
        rolled = np.roll(image, step, axis=0)
        normalised.append(normalise(rolled, normalization(config)))
        truths: Array = facts[f"truth_{step}_{index}_y1_x1_y2_x2_label"]
        boxes_unit = truths[:, [1, 0, 3, 2]]
        # An image of one pixel: its fractions are its pixels.
        image_offsets, image_labels = targets(boxes_unit, truths[:, 4].astype(np.int32), (1, 1))
        offsets.append(image_offsets)
        labels.append(image_labels)
    return Batch(
        images=np.stack(normalised),
        offsets=np.stack(offsets),
        labels=np.stack(labels),
        weights=np.ones(BATCH_SIZE, np.float32),
        image_ids=np.arange(BATCH_SIZE),
        unreadable=np.zeros(BATCH_SIZE, np.bool_),
    )

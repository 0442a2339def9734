"""`python -m tests.golden.reduce FULL_SET` makes the facts of this folder, out of the full set.

It needs MindSpore for what our engine computes; README.md says which facts these are, and what was
tested first.
"""

import json
import sys
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from mindssd.build.engine import build_engine
from mindssd.build.network import image_size, network_spec
from mindssd.config.schema import Config
from mindssd.engines.base import Engine
from mindssd.types import Array
from mindssd.weights.mindspore_checkpoint import read_checkpoint
from tests.golden.facts import NUM_CLASSES, RECIPES, REDUCED, Golden, images_by_rule
from tests.golden.runs import STEP_RECIPES, forward, three_steps

Facts = dict[str, Array]

MOST_ANCHORS = 2000
"""More default boxes than these are sampled."""
NUM_FORWARD, NUM_DECODED, NUM_OUTPUTS, NUM_VALUES = 48, 100, 300, 256


def spread(length: int, count: int) -> Array:
    """At most `count` indices below `length`, evenly spread, the first and the last among them."""
    return np.unique(np.linspace(0, length - 1, min(count, length)).round().astype(np.int32))


def of_the_reference(full: Golden) -> dict[str, Facts]:
    """What is the reference's own, by kind of file; whole, or some rows of it."""
    anchors, decoded = full.load("anchors"), full.load("decode")
    count = len(anchors["cy_cx_h_w"])
    index = spread(count, MOST_ANCHORS)
    rows = spread(len(decoded["anchor_index"]), NUM_DECODED)
    return {
        "targets": full.load("targets"),
        "schedule": full.load("schedule"),
        "anchors": {
            "anchor_index": index,
            "num_anchors": np.array(count),
            "cy_cx_h_w": anchors["cy_cx_h_w"][index],
            "y1_x1_y2_x2": anchors["y1_x1_y2_x2"][index],
        },
        "decode": {
            "anchor_index": decoded["anchor_index"][rows],
            "offsets": decoded["offsets"][:, rows],
            "boxes_y1_x1_y2_x2": decoded["boxes_y1_x1_y2_x2"][:, rows],
        },
    }


def trained_outputs(outputs: Mapping[str, Array]) -> Facts:
    """Of each image the default boxes of the highest scores, in the reference's order."""
    best = np.argsort(-outputs["scores"][:, :, 1:].max(axis=2), axis=1, kind="stable")
    rows = np.sort(best[:, :NUM_OUTPUTS], axis=1)[:, :, None]
    return {
        key: np.take_along_axis(outputs[key], rows, axis=1)
        for key in ("boxes_y1_x1_y2_x2", "scores")
    }


def of_our_engine(full: Golden, engine: Engine) -> dict[str, Facts]:
    """What our engine gives for the images by rule, where the reference's are of photographs."""
    config = full.config()
    index = full.load("forward")["anchor_index"]
    index = index[spread(len(index), NUM_FORWARD)]
    size, _ = image_size(config)
    network = engine.build_network(network_spec(config, NUM_CLASSES), seed=0)
    network.load_parameters(full.parameters())
    offsets, logits = forward(network, config, images_by_rule(size))
    facts = {
        "forward": {
            "image_size": np.array(size),
            "anchor_index": index,
            "offsets": offsets[:, index],
            "logits": logits[:, index],
        }
    }
    if full.recipe in STEP_RECIPES:
        theirs = full.load("steps")
        results, parameters = three_steps(engine, full, images_by_rule(size))
        steps = {k: v for k, v in theirs.items() if k.startswith(("truth_", "learning_rate"))}
        steps["losses"] = np.array([result.loss for result in results], np.float32)
        reference_names = [k.removeprefix("after_") for k in theirs if k.startswith("after_")]
        for name, canonical in zip(reference_names, full.after_steps(), strict=True):
            values = parameters[canonical].ravel()
            largest = np.abs(values).argmax()  # differences are told as a share of it
            places = np.union1d(spread(values.size, NUM_VALUES), [largest]).astype(np.int32)
            steps |= {f"places_{name}": places, f"after_{name}": values[places]}
        facts["steps"] = steps
    return facts


def write_shapes(path: Path, shapes: Mapping[str, tuple[int, ...]]) -> None:
    lines = [json.dumps({"name": name, "shape": shape}) for name, shape in shapes.items()]
    path.write_text("[\n" + ",\n".join(lines) + "\n]\n", encoding="utf-8")


def main(folder: Path) -> None:
    engine = build_engine(Config(engine="mindspore", device="CPU"), training=True)
    for recipe in RECIPES:
        full = Golden(recipe, folder)
        write_shapes(REDUCED / f"{recipe}.parameters.json", full.reference_shapes())
        for kind, facts in (of_the_reference(full) | of_our_engine(full, engine)).items():
            np.savez_compressed(REDUCED / f"{recipe}.{kind}.npz", **facts)
    with np.load(folder / "bccd_trained.outputs.npz") as outputs:
        np.savez_compressed(REDUCED / "bccd_trained.outputs.npz", **trained_outputs(outputs))
    backbone = read_checkpoint(folder.parent / "weights" / "mobilenet_v2_100.ckpt")
    shapes = {name: value.shape for name, value in backbone.items()}
    write_shapes(REDUCED / "mobilenet_v2_100.parameters.json", shapes)


if __name__ == "__main__":
    main(Path(sys.argv[1]))

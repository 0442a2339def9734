"""What the reference computes, read alike from the full set and from what is kept of it here."""

import json
import re
import zlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from mindssd.config.load import load_config
from mindssd.config.schema import Config
from mindssd.types import Array
from mindssd.weights.names import reference_to_canonical

RECIPES = ("ssd_mobilenetv2", "ssd_mobilenetv3", "ssd_resnet50_fpn")
REDUCED = Path(__file__).resolve().parent
NUM_CLASSES = 80
"""The facts are of COCO's classes."""


@dataclass(frozen=True)
class Golden:
    """One recipe's facts, out of a folder: the full set's, or `REDUCED`."""

    recipe: str
    folder: Path

    def load(self, kind: str) -> dict[str, Array]:
        """The arrays of one file, with what the full set leaves out, or the reduced one draws.

        `anchors` with `anchor_index` and `num_anchors`, `decode` with the `offsets` decoded, and
        `forward` with `images_rgb_uint8`, as the full set has them.
        """
        with np.load(self.folder / f"{self.recipe}.{kind}.npz") as file:
            facts = dict(file)
        if kind == "anchors" and "anchor_index" not in facts:
            count = len(facts["cy_cx_h_w"])
            facts |= {"anchor_index": np.arange(count), "num_anchors": np.array(count)}
        if kind == "decode" and "offsets" not in facts:
            facts["offsets"] = self.load("forward")["offsets"]
        if kind == "forward" and "images_rgb_uint8" not in facts:
            facts["images_rgb_uint8"] = images_by_rule(int(facts["image_size"]))
        return facts

    def config(self) -> Config:
        return load_config(self.recipe, ["device=CPU"])

    def reference_shapes(self) -> dict[str, tuple[int, ...]]:
        """The reference's name and shape of each parameter, in order."""
        return read_shapes(self.folder / f"{self.recipe}.parameters.json")

    def canonical_shapes(self) -> dict[str, tuple[int, ...]]:
        return {reference_to_canonical(n): shape for n, shape in self.reference_shapes().items()}

    def parameters(self) -> dict[str, Array]:
        """The parameters by rule that the golden figures were made with, by canonical name."""
        return {
            reference_to_canonical(name): parameter_by_rule(name, shape)
            for name, shape in self.reference_shapes().items()
        }

    def after_steps(self) -> dict[str, tuple[Array, Array]]:
        """Parameters after three optimizer steps: (places in the flat array, values there)."""
        facts = self.load("steps")
        found = {}
        for key, values in facts.items():
            if key.startswith("after_"):
                name = key.removeprefix("after_")
                places = facts.get(f"places_{name}", np.arange(values.size))
                found[reference_to_canonical(name)] = places, values.ravel()
        return found


def read_shapes(path: Path) -> dict[str, tuple[int, ...]]:
    """Names and shapes of parameters, in order."""
    entries = json.loads(path.read_text(encoding="utf-8"))
    return {entry["name"]: tuple(entry["shape"]) for entry in entries}


def parameter_by_rule(name: str, shape: tuple[int, ...]) -> Array:
    """A parameter that its reference name alone determines, so that no weights need storing."""
    rng = np.random.default_rng(zlib.crc32(name.encode()))
    kind = name.rpartition(".")[2]
    if kind == "gamma":
        value = rng.uniform(0.5, 1.0, shape)
    elif kind == "moving_variance":
        value = rng.uniform(0.5, 1.5, shape)
    elif kind in ("beta", "moving_mean", "bias"):
        value = rng.normal(0, 0.1, shape)
    else:
        value = rng.normal(0, np.sqrt(2 / np.prod(shape[1:])), shape)
    return value.astype(np.float32)


def images_by_rule(size: int) -> Array:
    """Two images of coloured squares, 20 pixels a side: (2, size, size, 3) uint8."""
    squares = np.random.default_rng(0).integers(0, 256, (2, size // 20, size // 20, 3), np.uint8)
    return squares.repeat(20, axis=1).repeat(20, axis=2)


def with_classes(
    shapes: dict[str, tuple[int, ...]], num_classes: int
) -> dict[str, tuple[int, ...]]:
    """A reference detector's shapes for another number of classes than `NUM_CLASSES`."""
    resized = {}
    for name, shape in shapes.items():
        if re.fullmatch(r"multi_box\.multi_cls_layers\.\d+\.3\.(weight|bias)", name):
            shape = (shape[0] // (NUM_CLASSES + 1) * (num_classes + 1), *shape[1:])
        resized[name] = shape
    return resized

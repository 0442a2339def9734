"""`mindssd predict` with a network that is a formula, in this process or in one of its own.

`python -m tests.predict.formula ARGUMENTS…` is the command with it in the place of any model.
"""

import os
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

from mindssd.geometry.postprocess import PostProcess
from mindssd.images import Normalization
from mindssd.inference.detector import Detector
from mindssd.inference.predictor import Predictor
from mindssd.inference.tiling import TiledPredictor
from mindssd.predict import job
from mindssd.types import Array
from mindssd.weights.safetensors_file import ModelMetadata
from tests.default_boxes import default_boxes_at

DELAY = "TEST_DELAY"
"""In the environment: seconds that the network takes."""

CLASS_NAMES = ("cat", "dog")
CATEGORY_IDS = (2, 7)
SIZE = (8, 8)
UNIT = Normalization((0.0, 0.0, 0.0), (1.0, 1.0, 1.0))
HALVES = default_boxes_at(np.array([[0.25, 0.5, 0.5, 1.0], [0.75, 0.5, 0.5, 1.0]], np.float32))


def bright_halves(images: Array) -> tuple[Array, Array]:
    """See a dog in a half of the image that is bright, a cat in one of medium brightness."""
    time.sleep(float(os.environ.get(DELAY, "0")))
    middle = images.shape[3] // 2
    means = np.stack([x.mean(axis=(1, 2, 3)) for x in np.split(images, [middle], axis=3)], axis=1)
    logits = np.full((len(images), 2, 3), -20.0, np.float32)  # (B, A, C + 1)
    logits[:, :, 1][(means > 0.3) & (means <= 0.6)] = 2.0
    logits[:, :, 2][means > 0.6] = 3.0
    return np.zeros((len(images), 2, 4), np.float32), logits


def load(path: Path, tile: int | None = None, **settings: Any) -> Detector:
    """In the place of `mindssd.load`."""
    metadata = ModelMetadata({}, CLASS_NAMES, CATEGORY_IDS, SIZE, UNIT.mean, UNIT.std, ((1, 2),))
    predictor = Predictor(bright_halves, SIZE, UNIT, PostProcess(HALVES), CLASS_NAMES)
    return Detector(predictor if tile is None else TiledPredictor(predictor, tile), metadata)


if __name__ == "__main__":
    from mindssd.cli.main import main

    job.load = load  # type: ignore[assignment]
    sys.argv = ["mindssd", "predict", *sys.argv[1:]]
    main()

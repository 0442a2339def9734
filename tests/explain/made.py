"""Evaluations made by hand: a small data set, and what a model is said to have found in it."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from mindssd.build.data import build_dataset
from mindssd.build.evaluation import Detected
from mindssd.config.load import load_config
from mindssd.evaluation.detections import DetectionTable
from mindssd.evaluation.protocol import COCO
from mindssd.inference.predictor import Predictor
from mindssd.weights.safetensors_file import ModelMetadata
from tests.build.test_reach import GRIDS
from tests.inspect.sets import CATEGORIES, Entry, noise, write_part

Found = tuple[int, str, Sequence[float], float]
"""An image's id, a class, (x, y, width, height) and a score."""

CAT, DOG = [20.0, 20, 100, 80], [180.0, 100, 100, 100]
PICTURES: Mapping[str, Sequence[Entry]] = {
    "a.png": [("cat", CAT), ("dog", DOG)],
    "b.png": [("cat", CAT), ("dog", DOG)],
    "c <i>.png": [("cat", CAT)],
    "d.png": [],
}
FOUND: Sequence[Found] = [
    (1, "cat", CAT, 0.9),
    (1, "dog", DOG, 0.8),
    (2, "cat", CAT, 0.7),
    (2, "cat", [24, 20, 100, 80], 0.65),  # twice
    (2, "cat", DOG, 0.85),  # of another class
    (3, "cat", [70, 20, 100, 80], 0.75),  # badly placed: IoU 1/3
    (4, "dog", DOG, 0.6),  # nothing there
]


def with_thresholds(**thresholds: float) -> ModelMetadata:
    """The description of a model that has saved these thresholds."""
    return ModelMetadata(
        config={},
        class_names=tuple(CATEGORIES),
        category_ids=tuple(range(1, len(CATEGORIES) + 1)),
        image_size=(64, 64),
        mean=(0, 0, 0),
        std=(1, 1, 1),
        grids=GRIDS["small_data"],
        thresholds=thresholds,
        thresholds_by="precision 0.95 on 60 images" if thresholds else "",
    )


def made(
    folder: Path,
    pictures: Mapping[str, Sequence[Entry]] = PICTURES,
    found: Sequence[Found] = FOUND,
    metadata: ModelMetadata | None = None,
) -> Detected:
    """The validation images of a data set written into `folder`, and `found` in them."""
    write_part(folder, "train", {"t.png": (noise(99), [("cat", CAT)])})
    images = {name: (noise(i), boxes) for i, (name, boxes) in enumerate(pictures.items())}
    write_part(folder, "val", images)
    config = load_config("small_data", [f"data_dir={folder}"])
    dataset = build_dataset(config, "val")
    xywh = np.array([box for _, _, box, _ in found], np.float32).reshape(-1, 4)
    table = DetectionTable(
        image_ids=np.array([image for image, *_ in found], np.int64),
        class_ids=np.array([CATEGORIES.index(name) for _, name, *_ in found], np.int32),
        boxes=np.concatenate([xywh[:, :2], xywh[:, :2] + xywh[:, 2:]], axis=1),
        scores=np.array([score for *_, score in found], np.float32),
    )
    predictor = Predictor.__new__(Predictor)  # a report asks nothing of it
    indices = list(range(len(dataset)))
    grids = GRIDS["small_data"]
    path = Path("best.safetensors")
    return Detected(path, metadata, config, dataset, indices, COCO, predictor, grids, table)

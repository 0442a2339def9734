"""Small data sets of images written for a test."""

from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest

from mindssd.data.augment import Augmentation
from mindssd.data.check import CheckReport
from mindssd.data.dataset import DetectionDataset
from mindssd.data.samples import TrainingSamples
from mindssd.data.targets import Targets
from mindssd.geometry.default_boxes import PaperDefaultBoxes
from mindssd.images import Normalization

MakeSamples = Callable[..., TrainingSamples]


@pytest.fixture
def make_samples(tmp_path: Path) -> MakeSamples:
    """Make samples of `num_images` noisy images, 40 high and 60 wide, with a truth each.

    Image i has id 100 + i and label 1 + i % 2. Those named in `unreadable` are cut short, those in
    `background` have no truth, those in `crowds` only a crowd.
    """

    def make(
        num_images: int,
        augmentation: Augmentation | None = Augmentation(),  # noqa: B008 - frozen
        unreadable: tuple[int, ...] = (),
        background: tuple[int, ...] = (),
        crowds: tuple[int, ...] = (),
        seed: int = 0,
    ) -> TrainingSamples:
        rng = np.random.default_rng(0)
        for index in range(num_images):
            path = tmp_path / f"{index}.png"
            cv2.imwrite(str(path), rng.integers(0, 256, (40, 60, 3), dtype=np.uint8))
            if index in unreadable:
                path.write_bytes(path.read_bytes()[:1000])
        owners = [index for index in range(num_images) if index not in background]
        counts = [index not in background for index in range(num_images)]
        dataset = DetectionDataset(
            class_names=("even", "odd"),
            category_ids=(1, 2),
            annotation_file="annotations.json",
            image_dir=str(tmp_path),
            report=CheckReport("annotations.json", num_images, len(owners), 0, len(background)),
            image_ids=100 + np.arange(num_images),
            file_names=[f"{index}.png" for index in range(num_images)],
            sizes=np.tile(np.array([40, 60], np.int32), (num_images, 1)),
            file_sizes=np.zeros((num_images, 2), np.int32),
            starts=np.concatenate([[0], np.cumsum(counts)]),
            boxes_xywh=np.tile(np.array([[10.0, 5, 30, 25]]), (len(owners), 1)),
            areas=np.full(len(owners), 750.0),
            labels=np.array([1 + index % 2 for index in owners], np.int32),
            is_crowd=np.array([index in crowds for index in owners], np.bool_),
        )
        targets = Targets(PaperDefaultBoxes().generate((32, 48), [(4, 6), (2, 3), (1, 1)]))
        return TrainingSamples(dataset, (32, 48), Normalization(), augmentation, targets, seed)

    return make

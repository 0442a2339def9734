"""Parts of a data set: folds for cross-validation."""

from dataclasses import replace

import numpy as np

from mindssd.data.dataset import DetectionDataset
from mindssd.errors import DatasetError
from mindssd.types import Array


def subset(dataset: DetectionDataset, indices: Array) -> DetectionDataset:
    """The images at `indices` (n,), in that order, with all classes of the whole.

    Its report counts what is left and repeats no fault of the whole.
    """
    counts = np.diff(dataset.starts)[indices]
    starts = np.concatenate([[0], np.cumsum(counts)])
    # The rows of an image follow each other, in the part as in the whole.
    rows = np.repeat(dataset.starts[indices] - starts[:-1], counts) + np.arange(starts[-1])
    is_crowd = dataset.is_crowd[rows]
    num_crowds = int(np.count_nonzero(is_crowd))
    return replace(
        dataset,
        report=replace(
            dataset.report,
            num_images=len(indices),
            num_boxes=len(rows) - num_crowds,
            num_crowds=num_crowds,
            num_empty_images=int(np.count_nonzero(counts == 0)),
            findings=(),
        ),
        image_ids=dataset.image_ids[indices],
        file_names=[dataset.file_names[index] for index in indices.tolist()],
        sizes=dataset.sizes[indices],
        file_sizes=dataset.file_sizes[indices],
        starts=starts,
        boxes_xywh=dataset.boxes_xywh[rows],
        areas=dataset.areas[rows],
        labels=dataset.labels[rows],
        is_crowd=is_crowd,
    )


def folds(dataset: DetectionDataset, num_folds: int, seed: int = 0) -> list[Array]:
    """Deal the images into folds: each image in one, each class spread as evenly as can be.

    Images are dealt in the order of the rarest class that they show, so that a class of few images
    is in as many folds as it has images; images without truths come last. DatasetError for fewer
    images than folds.
    """
    num_images = len(dataset)
    if num_images < num_folds:
        raise DatasetError(
            f"{dataset.annotation_file}: {num_images} images cannot be dealt into {num_folds} folds"
        )
    of_image = np.repeat(np.arange(num_images), np.diff(dataset.starts))
    shown = np.zeros((num_images, len(dataset.class_names) + 1), np.bool_)
    shown[of_image[~dataset.is_crowd], dataset.labels[~dataset.is_crowd]] = True
    frequency = shown.sum(axis=0)
    rarest = np.where(shown, frequency, num_images + 1).min(axis=1)
    of_class = np.where(shown, frequency, num_images + 1).argmin(axis=1)
    shuffled = np.random.default_rng(seed).random(num_images)
    order = np.lexsort((shuffled, of_class, rarest))
    return [np.sort(order[fold::num_folds]) for fold in range(num_folds)]

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

    The images of the rarest classes are dealt first, each to the fold that shows its rarest class
    least often, then to the one of fewest images; images without truths come last. Every fold has
    truths: DatasetError for fewer images with truths than folds.
    """
    num_images = len(dataset)
    of_image = np.repeat(np.arange(num_images), np.diff(dataset.starts))
    # Column 0 is of images without truths.
    shows = np.zeros((num_images, len(dataset.class_names) + 1), np.int64)
    shows[of_image[~dataset.is_crowd], dataset.labels[~dataset.is_crowd]] = 1
    num_shown = int(shows.any(axis=1).sum())
    if num_shown < num_folds:
        raise DatasetError(
            f"{dataset.annotation_file}: {num_shown} images with boxes cannot be dealt into "
            f"{num_folds} folds"
        )
    shows[:, 0] = ~shows.any(axis=1)
    frequency = np.where(shows, shows.sum(axis=0), num_images + 1)
    frequency[shows[:, 0] == 1, 0] = num_images + 1
    rarest = frequency.argmin(axis=1)
    shuffled = np.random.default_rng(seed).random(num_images)
    order = np.lexsort((shuffled, rarest, frequency.min(axis=1)))
    dealt = np.zeros((num_folds, shows.shape[1]), np.int64)
    sizes = np.zeros(num_folds, np.int64)
    parts: list[list[int]] = [[] for _ in range(num_folds)]
    for image in order.tolist():
        fold = int(np.lexsort((sizes, dealt[:, rarest[image]]))[0])
        parts[fold].append(image)
        dealt[fold] += shows[image]
        sizes[fold] += 1
    return [np.sort(np.array(part)) for part in parts]

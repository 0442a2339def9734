"""Parts of a data set, each class spread over them: folds for cross-validation, and others."""

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


def folds(
    dataset: DetectionDataset, num_folds: int, seed: int = 0, groups: Array | None = None
) -> list[Array]:
    """Deal the images into folds: each image in one, each class spread as evenly as can be.

    `groups` (N,) from 0, where given, keeps the images of a group in one fold. Those of the rarest
    classes are dealt first, each to the fold that shows its rarest class least often, then to the
    one of fewest images; images without truths come last. Every fold has truths: DatasetError for
    fewer images, or groups, with truths than folds.
    """
    if groups is None:
        groups = np.arange(len(dataset))
    num_groups = int(groups.max(initial=-1)) + 1
    shows = np.zeros((num_groups, len(dataset.class_names) + 1), np.int64)
    np.add.at(shows, groups, shown_classes(dataset))
    num_shown = int(shows[:, 1:].any(axis=1).sum())
    if num_shown < num_folds:
        kind = "images" if num_groups == len(dataset) else "groups of images that are alike"
        raise DatasetError(
            f"{dataset.annotation_file}: {num_shown} {kind} with boxes cannot be dealt into "
            f"{num_folds} folds"
        )
    sizes = np.bincount(groups, minlength=num_groups)
    shares = np.full(num_folds, 1 / num_folds)
    order = np.random.default_rng(seed).random(num_groups)
    parts = deal(shows, sizes, shares, order)[groups]
    return [np.flatnonzero(parts == fold) for fold in range(num_folds)]


def shown_classes(dataset: DetectionDataset) -> Array:
    """Which classes N images show, (N, 1 + C) of 0 and 1; column 0 is of images without truths."""
    of_image = np.repeat(np.arange(len(dataset)), np.diff(dataset.starts))
    shows = np.zeros((len(dataset), len(dataset.class_names) + 1), np.int64)
    shows[of_image[~dataset.is_crowd], dataset.labels[~dataset.is_crowd]] = 1
    shows[:, 0] = ~shows.any(axis=1)
    return shows


def deal(shows: Array, sizes: Array, shares: Array, order: Array) -> Array:
    """Deal G groups of images into parts: (G,) the part of each.

    `shows` (G, 1 + C) counts a group's images that show each class, column 0 those without truths;
    `sizes` (G,) its images, `shares` (P,) of the parts sum to 1, and `order` (G,) decides between
    groups that are alike. The groups of the rarest classes come first, the larger ones before the
    others, each to the part that lacks most of its rarest class, then to the one that lacks most
    images.
    """
    totals = shows.sum(axis=0)
    frequency = np.where(shows > 0, totals, totals.sum() + 1)
    with_truths = shows[:, 1:].any(axis=1)
    frequency[with_truths, 0] = totals.sum() + 1
    rarest = frequency.argmin(axis=1)
    # Images without truths come last.
    rarity = np.where(with_truths, frequency.min(axis=1), totals.sum() + 1)
    lacking = shares[:, None] * totals
    lacking_images = shares * sizes.sum()
    parts = np.zeros(len(shows), np.int64)
    for group in np.lexsort((order, -sizes, rarest, rarity)).tolist():
        part = int(np.lexsort((-lacking_images, -lacking[:, rarest[group]]))[0])
        parts[group] = part
        lacking[part] -= shows[group]
        lacking_images[part] -= sizes[group]
    return parts

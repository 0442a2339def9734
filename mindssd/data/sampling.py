"""Which images an epoch holds, and in which order: a function of the seed and the epoch.

Either every image once, or those with rare classes more often (arXiv:1908.03195, appendix B).
"""

from dataclasses import dataclass

import numpy as np

from mindssd.data.dataset import DetectionDataset
from mindssd.types import Array


@dataclass(frozen=True, eq=False)
class ClassCounts:
    """In how many of a data set's `num_images` each of its classes is: `images` (C,).

    `owners` (m,) and `labels` (m,) are the pairs of an image and a class in it, each pair once.
    """

    num_images: int
    images: Array
    owners: Array
    labels: Array

    @classmethod
    def of(cls, dataset: DetectionDataset) -> "ClassCounts":
        """Crowds are no truths, here as in training."""
        owners = np.repeat(np.arange(len(dataset)), np.diff(dataset.starts))
        pairs = np.stack([owners, dataset.labels], axis=1)[~dataset.is_crowd]
        owners, labels = np.unique(pairs.reshape(-1, 2), axis=0).T
        images = np.bincount(labels, minlength=len(dataset.class_names) + 1)[1:]
        return cls(len(dataset), images, owners, labels)


def repeat_factors(counts: ClassCounts, threshold: float) -> Array:
    """How often each image should come, beside others: (N,) float64, at least 1.

    A class in a share f of the images asks for max(1, √(`threshold` / f)) times, and an image comes
    as often as the rarest of its classes asks for. Background asks for nothing: 1. A threshold of 1
    is the square root alone, 0 leaves all alike (arXiv:1908.03195, appendix B.2).
    """
    factors = np.ones(counts.num_images)
    share = np.maximum(counts.images, 1) / max(counts.num_images, 1)  # a class without images: any
    asked = np.maximum(1, np.sqrt(threshold / share))
    np.maximum.at(factors, counts.owners, asked[counts.labels - 1])
    return factors


def describe_repeats(counts: ClassCounts, class_names: tuple[str, ...], threshold: float) -> str:
    """Say in one line what `repeat_factors` do to a data set."""
    present = np.flatnonzero(counts.images)
    rare = [c for c in present if counts.images[c] < threshold * counts.num_images]
    said = f"repeat_threshold={threshold:g}"
    factors = repeat_factors(counts, threshold)
    if not rare or factors.min() == factors.max():
        return f"{said} changes nothing: all images come equally often"
    least = min(rare, key=lambda c: counts.images[c])
    return (
        f"{said}: images of {len(rare)} of {len(present)} classes come more often, up to "
        f"{factors.max() / factors.min():.1f} times as often as others "
        f"({class_names[least]}, in {counts.images[least]} of {counts.num_images} images)"
    )


class EpochOrders:
    """The order of any epoch's images; it keeps those of the last two, which batches ask for."""

    def __init__(self, num_images: int, seed: int, factors: Array | None = None) -> None:
        """`factors` (N,), above 0: how often images come beside each other; None: all once."""
        self.num_images = num_images
        self.seed = seed
        # Where all are alike each image comes once, in the order of a run without factors.
        alike = factors is None or not len(factors) or factors.min() == factors.max()
        self._factors = None if alike else factors
        self._made: dict[int, tuple[Array, Array]] = {}

    def __getitem__(self, epoch: int) -> tuple[Array, Array]:
        """Give the images (N,) in order, and which time of that image in the epoch it is, from 0.

        An epoch has N images in any case, so its steps are those of one without factors.
        """
        made = self._made.get(epoch)
        if made is None:
            order = epoch_order(self.num_images, self.seed, epoch)
            if self._factors is not None:
                order = _balanced(order, self._factors, _generator(self.seed, epoch, 2))
            made = order, occurrences(order)
            # Steps at the turn of an epoch alternate between two.
            self._made = {**dict(list(self._made.items())[-1:]), epoch: made}
        return made


def epoch_order(num_images: int, seed: int, epoch: int) -> Array:
    """Order an epoch's images. (N,), a permutation."""
    return _generator(seed, epoch, 1).permutation(num_images)


def occurrences(order: Array) -> Array:
    """Count how often each entry has come before: (N,) to (N,), 0 where it is the first."""
    by_image = np.argsort(order, kind="stable")
    together = order[by_image]
    counted = np.empty(len(order), np.int64)
    counted[by_image] = np.arange(len(order)) - np.searchsorted(together, together)
    return counted


def _generator(seed: int, epoch: int, purpose: int) -> np.random.Generator:
    # Four numbers, because NumPy pads seeds with zeros: (seed, epoch) would be the generator of
    # the epoch's image 0.
    return np.random.default_rng((seed, epoch, 0, purpose))


def _balanced(order: Array, factors: Array, rng: np.random.Generator) -> Array:
    """Draw N of a permutation's N images by their factors: (N,).

    Systematic sampling: an image that is expected e times comes ⌊e⌋ or ⌈e⌉ times. With factors
    drawn at random instead, as in the paper, an epoch's length would be random too.
    """
    ends = np.cumsum(factors[order] / factors.mean())
    ends[-1] = len(order)  # whatever the sum was rounded to
    marks = np.floor(ends + rng.random()).astype(np.int64)
    return rng.permutation(np.repeat(order, np.diff(marks, prepend=0)))

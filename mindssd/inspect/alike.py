"""Images of a data set that are nearly the same, above all one in train and one in val."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from mindssd.data.dataset import DetectionDataset
from mindssd.data.file_search import path_of
from mindssd.data.similar import near_duplicates
from mindssd.data.thumbnails import Progress

PAIRS = 500
"""So many pairs are written, those across parts first; all are counted."""


@dataclass(frozen=True)
class ImageName:
    """An image: its part, its place there, and its file below the part's image folder."""

    part: str
    image: int
    file_name: str


@dataclass(frozen=True)
class AlikePair:
    """Two images that are nearly the same; `agreement` 1 is the same file twice."""

    first: ImageName
    second: ImageName
    agreement: float

    @property
    def crosses(self) -> bool:
        return self.first.part != self.second.part


@dataclass(frozen=True)
class Unreadable:
    """An image file that is there and cannot be read, and why."""

    image: ImageName
    reason: str


@dataclass(frozen=True)
class Alike:
    """How many images are nearly the same as another, and in how many groups.

    `num_shared` validation images have one of their group among the training images. `num_flat`
    images have no content to compare, `num_left_out` pairs came near and were too many to look at.
    """

    num_images: int
    num_alike: int
    num_groups: int
    num_equal_files: int
    num_shared: int
    num_pairs: int
    pairs: tuple[AlikePair, ...]
    unreadable: tuple[Unreadable, ...]
    num_flat: int
    num_left_out: int


def find_alike(datasets: Mapping[str, DetectionDataset], progress: Progress | None = None) -> Alike:
    """Read every image once, and compare all with all; files that are absent are passed over."""
    names, paths = [], []
    for part, dataset in datasets.items():
        for image, file_name in enumerate(dataset.file_names):
            path = path_of(dataset.image_dir, file_name)
            if Path(path).is_file():
                names.append(ImageName(part, image, file_name))
                paths.append(path)
    found = near_duplicates(paths, progress=progress)
    groups = found.groups()
    sizes = np.bincount(groups, minlength=len(names))
    in_val = np.array([name.part != "train" for name in names], np.bool_)
    has_train = np.bincount(groups, ~in_val, len(names)) > 0
    pairs = [AlikePair(names[p.first], names[p.second], p.agreement) for p in found.pairs]
    pairs.sort(key=lambda pair: not pair.crosses)
    return Alike(
        num_images=len(names),
        num_alike=int(np.count_nonzero(sizes[groups] > 1)),
        num_groups=int(np.count_nonzero(sizes > 1)),
        num_equal_files=sum(pair.agreement == 1 for pair in pairs),
        num_shared=int(np.count_nonzero(in_val & has_train[groups])),
        num_pairs=len(pairs),
        pairs=tuple(pairs[:PAIRS]),
        unreadable=tuple(Unreadable(names[i], why) for i, why in found.unreadable.items()),
        num_flat=len(found.flat),
        num_left_out=found.num_left_out,
    )

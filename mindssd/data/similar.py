"""Images that are nearly the same: copies, also compressed again, resized or slightly cropped.

Three steps, each on what the one before leaves. Every picture has a descriptor of 64 numbers, its
coarse light and dark, and one of its middle; all pairs of them are compared by matrix products,
exactly, which takes a core two minutes for 100,000 images. Pairs that come near are compared again
in more detail, as crops of each other. What is left is aligned and looked at closely
(`mindssd.data.alignment`).

A hash of 64 bits would pair faster, but a crop turns many of its bits, where a correlation falls
only a little; and the files take longer to read than their descriptors to pair.
"""

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

import cv2
import numpy as np

from mindssd.data.alignment import agreement, coarse_map
from mindssd.data.thumbnails import SIDE, CloserLooks, Progress, read_thumbnails
from mindssd.errors import ImageError
from mindssd.platform import available_cores
from mindssd.types import Array

CELLS = 8
"""A descriptor is a picture of so many cells a side."""

NEAR = 0.75
"""The correlation of descriptors from which a pair is looked at at all. Of copies and crops as in
`alignment` all had 0.80 and more."""

NEARER = 0.7
"""The correlation in detail from which a pair is looked at closely. Of those copies and crops all
had 0.92 and more; of 1,553 pairs of drawn scenes that are alike in light and dark, one."""

DETAIL = 16
"""Cells a side of the descriptor that tells this."""

PARTNERS = 12
"""So many of an image's nearest are looked at closely: of a series of alike pictures a few are
enough to hold it together."""

MOST_CLOSE_LOOKS = 50_000
"""So many pairs are looked at closely, the nearest first, some 20 ms each; the rest is counted."""

FLAT = 2.0
"""Grey levels: a picture that varies less shows nothing to compare."""

_ROWS = 256
_MOST_NEAR = 4 * PARTNERS + 1
_BATCH = 512
_LOOKS = 32


@dataclass(frozen=True)
class Pair:
    """Two images, the earlier first, and how well they agree: 1 is the same file."""

    first: int
    second: int
    agreement: float


@dataclass(frozen=True)
class Similar:
    """What was found among `num_images`.

    `pairs` join images that are nearly the same, each group of them by some of its pairs.
    `unreadable` says why of each image that cannot be read, `flat` are those without content, which
    are compared byte by byte alone, and `num_left_out` pairs came near and were not looked at.
    """

    num_images: int
    pairs: tuple[Pair, ...] = ()
    unreadable: dict[int, str] = field(default_factory=dict)
    flat: tuple[int, ...] = ()
    num_left_out: int = 0

    def groups(self) -> Array:
        """A number for each image, (N,), the same for those that are nearly the same."""
        joined = _Groups(self.num_images)
        for pair in self.pairs:
            joined.join(pair.first, pair.second)
        return np.array([joined.of(image) for image in range(self.num_images)], np.intp)


def near_duplicates(
    paths: Sequence[str], threads: int | None = None, progress: Progress | None = None
) -> Similar:
    """Find the images that are nearly the same; none, and one, give no pairs.

    Files that are equal byte by byte are paired first, and one of them stands for all.
    """
    thumbnails = read_thumbnails(paths, threads, progress)
    pairs = list(_equal_files(thumbnails.digests))
    twins = {pair.second for pair in pairs}
    left = [i for i, digest in enumerate(thumbnails.digests) if digest and i not in twins]
    spread = thumbnails.grey[left].std(axis=(1, 2)) if left else np.zeros(0)
    images = np.array(left, np.intp)[spread >= FLAT]
    flat = tuple(np.array(left, np.intp)[spread < FLAT].tolist())
    grey = thumbnails.grey[images]
    near = _nearer(grey, _near(grey))
    looked_at, left_out = near[:MOST_CLOSE_LOOKS], near[MOST_CLOSE_LOOKS:]
    joined = _Groups(len(images))
    look = CloserLooks()

    def compare(pair: tuple[int, int]) -> float:
        first, second = (int(images[place]) for place in pair)
        mapped = coarse_map(thumbnails.grey[first], thumbnails.grey[second])
        if mapped is None:
            return 0.0
        try:
            return agreement(look(paths[first]), look(paths[second]), mapped, SIDE)
        except ImageError:
            return 0.0

    with ThreadPoolExecutor(threads or available_cores()) as pool:
        for start in range(0, len(looked_at), _LOOKS):
            # What others have joined already needs no look of its own.
            batch = [p for p in looked_at[start : start + _LOOKS] if not joined.together(*p)]
            for (first, second), value in zip(batch, pool.map(compare, batch), strict=True):
                if value:
                    joined.join(first, second)
                    ends = sorted((int(images[first]), int(images[second])))
                    pairs.append(Pair(ends[0], ends[1], round(value, 4)))
    return Similar(
        num_images=len(paths),
        pairs=tuple(sorted(pairs, key=lambda p: (-p.agreement, p.first, p.second))),
        unreadable=thumbnails.unreadable,
        flat=flat,
        num_left_out=len(left_out),
    )


class _Groups:
    """Which of n things are joined, one with another or by way of others."""

    def __init__(self, num_things: int) -> None:
        self._parents = list(range(num_things))

    def of(self, thing: int) -> int:
        """The first of the group."""
        while self._parents[thing] != thing:
            self._parents[thing] = self._parents[self._parents[thing]]
            thing = self._parents[thing]
        return thing

    def together(self, thing: int, other: int) -> bool:
        return self.of(thing) == self.of(other)

    def join(self, thing: int, other: int) -> None:
        first, second = sorted((self.of(thing), self.of(other)))
        self._parents[second] = first


def _equal_files(digests: Sequence[bytes]) -> Iterator[Pair]:
    first: dict[bytes, int] = {}
    for image, digest in enumerate(digests):
        if digest and first.setdefault(digest, image) != image:
            yield Pair(first[digest], image, 1.0)


Crop = tuple[float, float, float, float]
"""What is taken away at left, top, right and bottom, as shares of the picture."""

_WHOLE: Crop = (0, 0, 0, 0)
_MIDDLE: Crop = (0.06, 0.06, 0.06, 0.06)
_SOME_CROPS: list[Crop] = [
    *(_WHOLE, _MIDDLE, (0.03, 0.03, 0.03, 0.03), (0.09, 0.09, 0.09, 0.09)),
    *(crop for a in (0.05, 0.09) for crop in ((a, a, 0, 0), (0, a, a, 0), (0, 0, a, a))),
    *(crop for a in (0.05, 0.09) for crop in ((a, 0, 0, a), (a, 0, 0, 0), (0, a, 0, 0))),
    *(crop for a in (0.05, 0.09) for crop in ((0, 0, a, 0), (0, 0, 0, a))),
]


def _without_light(grey: Array) -> Array:
    """Thumbnails without their coarse light and dark, in which scenes of one kind are alike."""
    blurred = [cv2.GaussianBlur(image.astype(np.float32), (0, 0), SIDE / CELLS) for image in grey]
    return np.asarray(grey.astype(np.float32) - np.stack(blurred))


def _descriptors(grey: Array, crops: Sequence[Crop], num_cells: int = CELLS) -> Array:
    """Of n thumbnails the descriptors of each crop: (n, crops, cells²) float32 of length 1.

    Their product is their correlation.
    """
    middles = (np.arange(num_cells) + 0.5) / num_cells
    across, down = [], []
    for left, top, right, bottom in crops:
        x = (left + middles * (1 - left - right)) * SIDE - 0.5
        y = (top + middles * (1 - top - bottom)) * SIDE - 0.5
        across.append(np.tile(x, (num_cells, 1)))
        down.append(np.tile(y[:, None], (1, num_cells)))
    map_x = np.concatenate(across).astype(np.float32)
    map_y = np.concatenate(down).astype(np.float32)
    result = np.empty((len(grey), len(across), num_cells**2), np.float32)
    for image, thumbnail in enumerate(grey):
        blurred = cv2.GaussianBlur(thumbnail.astype(np.float32), (0, 0), SIDE / num_cells / 2)
        sampled = cv2.remap(blurred, map_x, map_y, cv2.INTER_LINEAR)
        result[image] = np.asarray(sampled).reshape(len(across), -1)
    result -= result.mean(axis=2, keepdims=True)
    result /= np.maximum(np.linalg.norm(result, axis=2, keepdims=True), 1e-6)
    return result


def _near(grey: Array) -> Array:
    """Pairs of thumbnails that come near: their places (m, 2), the lower first.

    Of a thumbnail with many partners behind it the nearest are given.
    """
    whole = np.ascontiguousarray(_descriptors(grey, [_WHOLE])[:, 0])
    middle = np.ascontiguousarray(_descriptors(grey, [_MIDDLE])[:, 0])
    found = [np.zeros((0, 2), np.intp)]
    for start in range(0, len(whole), _ROWS):
        rows = slice(start, start + _ROWS)
        products = whole[rows] @ whole[start:].T  # (rows, those from the first of them on)
        np.maximum(products, middle[rows] @ whole[start:].T, out=products)
        np.maximum(products, whole[rows] @ middle[start:].T, out=products)
        first, second = np.divmod(np.flatnonzero(products >= NEAR), products.shape[1])
        crowded = np.flatnonzero(np.bincount(first, minlength=len(products)) > _MOST_NEAR)
        if len(crowded):
            for row in crowded:
                lowest = np.partition(products[row], -_MOST_NEAR)[-_MOST_NEAR]
                products[row, products[row] < lowest] = 0
            first, second = np.divmod(np.flatnonzero(products >= NEAR), products.shape[1])
        later = second > first
        found.append(np.stack([first[later], second[later]], axis=1) + start)
    return np.concatenate(found)


def _nearer(grey: Array, pairs: Array) -> list[tuple[int, int]]:
    """Those of the pairs that are near in detail, as crops of each other, the nearest first."""
    scores = np.zeros(len(pairs), np.float32)
    for start in range(0, len(pairs), _BATCH):
        images, places = np.unique(pairs[start : start + _BATCH], return_inverse=True)
        detail = _descriptors(_without_light(grey[images]), _SOME_CROPS, DETAIL)
        first, second = places.reshape(-1, 2).T
        scores[start : start + _BATCH] = np.maximum(
            np.einsum("ncd,nd->nc", detail[first], detail[second, 0]).max(axis=1),
            np.einsum("ncd,nd->nc", detail[second], detail[first, 0]).max(axis=1),
        )
    kept = []
    partners = np.zeros(len(grey), np.intp)
    for row in np.argsort(-scores, kind="stable").tolist():
        if scores[row] < NEARER:
            break
        first, second = (int(place) for place in pairs[row])
        if min(partners[first], partners[second]) < PARTNERS:
            partners[[first, second]] += 1
            kept.append((first, second))
    return kept

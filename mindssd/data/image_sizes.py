"""The annotated sizes of images beside those of their files, and which of them boxes are in.

Boxes are in pixels of the annotated size. Where the file has another one of the same shape, it was
resized, and its boxes are scaled with it. But where boxes tell, by reaching over the annotated size
and not over the file's, that size is wrong and they are in pixels of the file. Of another shape
without such a sign, no one knows.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from mindssd.data.check import Finding, count_where
from mindssd.data.file_headers import UNREAD, UNREADABLE, FileHeaders
from mindssd.data.sizes import same_shapes, size_words
from mindssd.errors import DatasetError, printable
from mindssd.types import Array

_SUSPICIOUS_PIXELS = 1.0
"""A box that reaches further over its image than a careless rounding casts doubt on the size."""
_CARELESS_SHARE = 0.05
"""A box may be drawn so far over an image that was resized later; further, its size is wrong."""
_JURY = 256
"""So many images, evenly chosen, tell for all of a sort whether their size is wrong."""
_ENOUGH_BOXES = 10
"""So many would not all lie in one quarter of their images, as seen from its corner."""


@dataclass(frozen=True)
class ImageSizes:
    """(height, width) of N images: `annotated` (N, 2) int32, that boxes are in, and `of_files` as
    far as these have been read; 0 where not known."""

    annotated: Array
    of_files: Array
    findings: list[Finding]


def settle_sizes(
    annotated: Array,
    headers: FileHeaders,
    present: Array,
    owners: Array,
    boxes_xywh: Array,
    seconds: float | None,
    expected: bool = True,
) -> ImageSizes:
    """Compare annotated sizes (N, 2), 0 where not given, with those of the files of `headers`.

    `owners` (n,) are the images' positions of `boxes_xywh` (n, 4). The headers of images without a
    size, or with boxes over it, are read in any case, the others as far as `seconds` allow. A size
    that is not given is worth a report where it was `expected`.
    DatasetError where files have another shape than annotated.
    """
    file_names = headers.file_names
    reach = _Reach.of(owners, boxes_xywh, len(annotated))
    unknown = present & (annotated[:, 0] == 0)
    headers.read(np.flatnonzero(unknown))
    annotated = np.where(unknown[:, None], shown_sizes(headers.columns, annotated), annotated)
    wrong = _wrong_alone(annotated, headers, reach, present)
    wrong |= _wrong_together(annotated, headers, reach, present)
    annotated = np.where(wrong[:, None], shown_sizes(headers.columns, annotated), annotated)
    headers.read(np.flatnonzero(present), seconds)
    headers.save()
    of_files = shown_sizes(headers.columns, annotated)
    sorts = np.where(reach.counts > 0, _sorts(annotated, of_files), _SAME)

    def example(index: int) -> str:
        size, file_size = size_words(annotated[index]), size_words(of_files[index])
        name = printable(file_names[index])
        return f"{name}, {file_size} pixels where width and height say {size}"

    _refuse(sorts == _OTHER, headers.image_dir, example)
    name_of = file_names.__getitem__
    resized = np.isin(sorts, (_LARGER, _SMALLER, _MUCH_SMALLER))
    states = headers.columns[:, 0]
    return ImageSizes(
        annotated,
        of_files,
        [
            *count_where(
                unknown & expected,
                "images without width and height: read from their files",
                name_of,
            ),
            *count_where(
                wrong, "images of another size than annotated: the file is right", name_of
            ),
            *count_where(
                resized,
                "images resized after their annotation: boxes scaled" + _looked_at(present, states),
                example,
            ),
            *count_where(
                states == UNREADABLE, "image files that cannot be read: not trained on", name_of
            ),
        ],
    )


def _refuse(other_shape: Array, image_dir: Path, example: Callable[[int], str]) -> None:
    """DatasetError where images (N,) bool are of another shape than annotated."""
    if other_shape.any():
        raise DatasetError(
            f"{image_dir}: {np.count_nonzero(other_shape)} images have another shape than "
            f"annotated, such as {example(int(np.argmax(other_shape)))}, so nobody knows where "
            "their boxes lie; correct width and height in the annotations, or leave them out if "
            "boxes are in pixels of the files"
        )


def _looked_at(present: Array, states: Array) -> str:
    """How many files have been read, where there was no time for all of them."""
    num_left = np.count_nonzero(present & (states == UNREAD))
    num_seen = np.count_nonzero(present) - num_left
    return f" ({num_seen} files looked at so far)" if num_left else ""


_SAME, _LARGER, _SMALLER, _MUCH_SMALLER, _OTHER = range(5)
"""Sorts of files: of the annotated size, or none known; of its shape, the much smaller ones with
half its sides at most; of another shape."""


@dataclass(frozen=True)
class _Reach:
    """How far the boxes of N images reach, `ends` (N, 2) as (y, x), and their `counts` (N,)."""

    ends: Array
    counts: Array

    @classmethod
    def of(cls, owners: Array, boxes_xywh: Array, num_images: int) -> "_Reach":
        finite = np.isfinite(boxes_xywh).all(axis=1)
        owners, boxes_xywh = owners[finite], boxes_xywh[finite]
        ends = np.zeros((num_images, 2))
        np.maximum.at(ends, owners, (boxes_xywh[:, :2] + boxes_xywh[:, 2:])[:, ::-1])
        return cls(ends, np.bincount(owners, minlength=num_images))

    def over(self, sizes: Array) -> Array:
        """Whether boxes reach over their images further than carelessness explains, (N,) bool."""
        over: Array = (self.ends > sizes * (1 + _CARELESS_SHARE)).any(axis=1)
        return over


def _wrong_alone(annotated: Array, headers: FileHeaders, reach: _Reach, present: Array) -> Array:
    """Tell images whose annotated size is wrong by their own boxes, (N,) bool.

    A file of the same shape may have been resized after a careless annotation: then boxes reach
    only a little over the annotated size.
    """
    doubtful = present & (reach.ends > annotated + _SUSPICIOUS_PIXELS).any(axis=1)
    headers.read(np.flatnonzero(doubtful))
    of_files = np.where(doubtful[:, None], shown_sizes(headers.columns, annotated), 0)
    sorts = _sorts(annotated, of_files)
    differing = (sorts == _OTHER) | ((sorts != _SAME) & reach.over(annotated))
    wrong: Array = differing & ~reach.over(of_files)
    return wrong


def _wrong_together(annotated: Array, headers: FileHeaders, reach: _Reach, present: Array) -> Array:
    """Tell images whose annotated size is wrong by what most of their sort show, (N,) bool.

    Of larger files, and those of another shape, half must have boxes over the annotated size. Of
    much smaller ones, none may have a box over its file, and there must be enough boxes. Smaller
    ones are always taken for resized: objects that keep off the edges would fit into these too.
    """
    rows = np.flatnonzero(present & _known(annotated) & (reach.counts > 0))
    jury = np.zeros(len(annotated), np.bool_)
    jury[rows[:: max(1, -(-len(rows) // _JURY))]] = True
    headers.read(np.flatnonzero(jury))
    of_files = np.where(jury[:, None], shown_sizes(headers.columns, annotated), 0)
    sorts = _sorts(annotated, of_files)
    over_file = reach.over(of_files)
    over_annotated = reach.over(annotated) & ~over_file
    wrong = []
    for sort in (_LARGER, _MUCH_SMALLER, _OTHER):
        mine = sorts == sort
        if sort == _MUCH_SMALLER:
            tells = reach.counts[mine].sum() >= _ENOUGH_BOXES
        else:
            tells = 2 * over_annotated[mine].sum() >= mine.sum() > 0
        if tells and not over_file[mine].any():
            wrong.append(sort)
    if not wrong:
        return np.zeros(len(annotated), np.bool_)
    headers.read(np.flatnonzero(present))
    sorts = _sorts(annotated, shown_sizes(headers.columns, annotated))
    return np.isin(sorts, wrong) & (reach.counts > 0)


def _sorts(annotated: Array, of_files: Array) -> Array:
    """Compare sizes (N, 2): the sort of each file, (N,) int64."""
    differing = _known(annotated) & _known(of_files) & (annotated != of_files).any(axis=1)
    sorts = np.where(differing, _OTHER, _SAME)
    a, b = annotated[differing], of_files[differing]
    smaller = np.where((2 * b <= a + 1).all(axis=1), _MUCH_SMALLER, _SMALLER)
    larger = b.astype(np.int64).prod(axis=1) > a.astype(np.int64).prod(axis=1)
    by_size = np.where(larger, _LARGER, smaller)
    sorts[differing] = np.where(same_shapes(a, b), by_size, _OTHER)
    return sorts


def shown_sizes(headers: Array, annotated: Array) -> Array:
    """Give the sizes (N, 2) that images are read with, 0 where not known.

    Where EXIF turns a picture, and only as stored has it the annotated shape, its annotators saw it
    unrotated: so it stays (`mindssd.images.read_image`).
    """
    stored = np.maximum(headers[:, :2], 0)
    turned = headers[:, 2] > 0
    upright = np.where(turned[:, None], stored[:, ::-1], stored)
    if turned.any():
        unrotated = turned & _known(annotated) & _known(stored)
        unrotated &= (annotated == stored).all(axis=1) | (
            same_shapes(annotated, stored) & ~same_shapes(annotated, upright)
        )
        upright[unrotated] = stored[unrotated]
    return upright


def _known(sizes: Array) -> Array:
    known: Array = (sizes > 0).all(axis=1)
    return known

"""The annotated sizes of images beside those of their files, and which of them boxes are in.

Boxes are in pixels of the annotated size. Where the file has another one of the same shape, it was
resized, and its boxes are scaled with it. Where boxes reach over the annotated size but not over
the file's, that size is wrong and they are in pixels of the file. Of another shape, no one knows.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from mindssd.data.check import Finding, count_where
from mindssd.data.file_headers import UNREAD, UNREADABLE, FileHeaders
from mindssd.data.sizes import same_shapes, size_words
from mindssd.errors import DatasetError
from mindssd.types import Array

_SUSPICIOUS_PIXELS = 1.0
"""A box that reaches further over its image than a careless rounding casts doubt on the size."""
_CARELESS_SHARE = 0.05
"""A box may be drawn so far over an image that was resized later; further, its size is wrong."""


@dataclass(frozen=True)
class ImageSizes:
    """(height, width) of N images: `annotated` (N, 2) int32, that boxes are in, and `of_files` as
    far as these have been read; 0 where not known."""

    annotated: Array
    of_files: Array
    findings: list[Finding]


def settle_sizes(
    annotated: Array,
    file_names: Sequence[str],
    present: Array,
    image_dir: Path,
    owners: Array,
    boxes_xywh: Array,
    seconds: float | None,
) -> ImageSizes:
    """Compare annotated sizes (N, 2), 0 where not given, with those of the files.

    `owners` (n,) are the images' positions of `boxes_xywh` (n, 4). The headers of images without a
    size, or with boxes over it, are read in any case, the others as far as `seconds` allow.
    DatasetError where files have another shape than annotated.
    """
    headers = FileHeaders(image_dir, file_names)
    annotated = annotated.copy()
    finite = np.isfinite(boxes_xywh).all(axis=1)
    owners, boxes_xywh = owners[finite], boxes_xywh[finite]
    unknown = present & (annotated[:, 0] == 0)
    headers.read(np.flatnonzero(unknown))
    annotated[unknown] = _shown(headers.columns[unknown], annotated[unknown])
    ends = np.zeros((len(annotated), 2))  # how far an image's boxes reach, (y, x)
    np.maximum.at(ends, owners, (boxes_xywh[:, :2] + boxes_xywh[:, 2:])[:, ::-1])
    over = np.flatnonzero(present & (ends > annotated + _SUSPICIOUS_PIXELS).any(axis=1))
    headers.read(over)
    wrong = np.zeros(len(annotated), np.bool_)
    shown = _shown(headers.columns[over], annotated[over])
    wrong[over] = _is_wrong(annotated[over], shown, ends[over])
    annotated[wrong] = shown[wrong[over]]
    headers.read(np.flatnonzero(present), seconds)
    headers.save()
    of_files = _shown(headers.columns, annotated)
    with_boxes = np.bincount(owners, minlength=len(annotated)) > 0
    differing = _known(annotated) & _known(of_files) & (annotated != of_files).any(axis=1)
    resized = differing.copy()
    resized[differing] = same_shapes(annotated[differing], of_files[differing])

    def example(index: int) -> str:
        size, file_size = size_words(annotated[index]), size_words(of_files[index])
        return f"{file_names[index]}, {file_size} pixels where width and height say {size}"

    other_shape = differing & ~resized & with_boxes
    if other_shape.any():
        raise DatasetError(
            f"{image_dir}: {np.count_nonzero(other_shape)} images have another shape than "
            f"annotated, such as {example(int(np.argmax(other_shape)))}, so nobody knows where "
            "their boxes lie; correct width and height in the annotations, or leave them out if "
            "boxes are in pixels of the files"
        )
    num_left = np.count_nonzero(present & (headers.columns[:, 0] == UNREAD))
    looked_at = f" ({np.count_nonzero(present) - num_left} files looked at so far)"
    return ImageSizes(
        annotated,
        of_files,
        [
            *count_where(
                unknown,
                "images without width and height: read from their files",
                file_names.__getitem__,
            ),
            *count_where(
                wrong,
                "images of another size than annotated: the file is right",
                file_names.__getitem__,
            ),
            *count_where(
                resized & with_boxes,
                f"images resized after their annotation: boxes scaled{looked_at * (num_left > 0)}",
                example,
            ),
            *count_where(
                headers.columns[:, 0] == UNREADABLE,
                "image files that cannot be read: not trained on",
                file_names.__getitem__,
            ),
        ],
    )


def _shown(headers: Array, annotated: Array) -> Array:
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


def _is_wrong(annotated: Array, of_files: Array, ends: Array) -> Array:
    """Tell annotated sizes that are wrong, (N,) bool: boxes reach over them, in their files.

    A file of the same shape may have been resized after a careless annotation: then boxes reach
    only a little over the annotated size.
    """
    in_file = _known(of_files) & (ends <= of_files * (1 + _CARELESS_SHARE)).all(axis=1)
    careless = (ends <= annotated * (1 + _CARELESS_SHARE)).all(axis=1)
    resized = same_shapes(annotated, of_files)
    differing = (annotated != of_files).any(axis=1)
    wrong: Array = in_file & differing & ~(resized & careless)
    return wrong


def _known(sizes: Array) -> Array:
    known: Array = (sizes > 0).all(axis=1)
    return known

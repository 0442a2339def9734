"""Training and validation images of one data set, looked at together."""

import functools
import hashlib
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np

from mindssd.data.check import Finding, count_where
from mindssd.data.classes import with_classes
from mindssd.data.dataset import DetectionDataset
from mindssd.data.file_search import path_of
from mindssd.errors import DatasetError

_MANY_FILES = 20_000
"""Of more files, those of one name alone are compared: COCO's start must not wait for them."""
_BLOCKS, _BLOCK_BYTES = 16, 4096
"""A file's content is told by so many pieces of it, evenly spread."""


def require_boxes(train: DetectionDataset) -> None:
    """Raise DatasetError where there is no box to learn from, with the likeliest cause."""
    report = train.report
    if report.num_boxes:
        return
    causes = [str(finding) for finding in report.findings if finding.what.endswith(": dropped")]
    if report.num_crowds:
        causes.insert(0, f"{report.num_crowds} crowds, which are never learned")
    found = f": {causes[0]}" if causes else ""
    raise DatasetError(
        f"{train.annotation_file}: has no boxes to learn from{found}; expected at least one "
        "annotation with a box in an image"
    )


def paired(train: DetectionDataset, val: DetectionDataset) -> DetectionDataset:
    """The validation images with the classes of the training images, in their order.

    What they share is said in its report. DatasetError where classes differ.
    """
    val = with_classes(
        val,
        train.class_names,
        train.annotation_file,
        "write one list of categories into both, or leave out of val what train has not",
    )
    return replace(val, report=val.report.with_findings(*shared_images(train, val)))


def shared_images(train: DetectionDataset, val: DetectionDataset) -> list[Finding]:
    """Count the validation images whose files are training images too.

    Of very many files only those of the same name are compared.
    """
    common = set(train.file_names) & set(val.file_names)
    only = common if len(train) + len(val) > _MANY_FILES else None
    val_files = list(_files(val, only))
    sizes = {size for _, size, _ in val_files}
    train_files: dict[int, list[str]] = defaultdict(list)
    for _, size, path in _files(train, only):
        if size in sizes:
            train_files[size].append(path)
    content = functools.cache(content_of)
    shared = np.zeros(len(val), np.bool_)
    for row, size, path in val_files:
        mine = content(path, size) if train_files[size] else None
        shared[row] = mine is not None and any(
            mine == content(other, size) for other in train_files[size]
        )
    what = f"of {len(val)} validation images are training images too: AP says little of new ones"
    return count_where(shared, what, val.file_names.__getitem__)


def _files(dataset: DetectionDataset, only: set[str] | None) -> Iterator[tuple[int, int, str]]:
    """Yield the row, length and path of each file that is there and not empty."""
    for row, name in enumerate(dataset.file_names):
        if only is None or name in only:
            path = path_of(dataset.image_dir, name)
            try:
                size = Path(path).stat().st_size
            except OSError:
                continue
            if size:
                yield row, size, path


def content_of(path: str, size: int) -> bytes | None:
    """A digest of a file's content; None where it cannot be read."""
    digest = hashlib.blake2b(digest_size=16)
    step = max(_BLOCK_BYTES, (size - _BLOCK_BYTES) // (_BLOCKS - 1))
    try:
        with Path(path).open("rb") as file:
            for start in range(0, size, step):
                file.seek(start)
                digest.update(file.read(_BLOCK_BYTES))
    except OSError:
        return None
    return digest.digest()

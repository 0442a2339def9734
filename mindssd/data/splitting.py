"""The validation part of a data set that has none: split off once, and written down."""

import re
from collections import defaultdict
from collections.abc import Hashable, Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from posixpath import join

import msgspec
import numpy as np

from mindssd.data.check import Finding, count_where
from mindssd.data.dataset import DetectionDataset
from mindssd.data.file_search import path_of
from mindssd.data.folds import deal, shown_classes, subset
from mindssd.data.similar import near_duplicates
from mindssd.data.splits import content_of
from mindssd.errors import ConfigError, DatasetError
from mindssd.types import Array


class Split(msgspec.Struct, frozen=True, kw_only=True):
    """The images of each part by their names, which are below the data set's folder in a file."""

    train: list[str]
    val: list[str]

    def below(self, folder: str) -> "Split":
        """The same images, named as in a folder that the one they were named in lies in."""
        train, val = ([join(folder, name) for name in names] for names in (self.train, self.val))
        return Split(train=train, val=val)

    def to_json(self) -> bytes:
        return msgspec.json.format(msgspec.json.encode(self), indent=1) + b"\n"


def read_split(path: Path) -> Split:
    """Read what `Split.to_json` wrote; DatasetError where it is no such file."""
    try:
        return msgspec.json.decode(path.read_bytes(), type=Split)
    except (OSError, msgspec.DecodeError) as error:
        raise DatasetError(
            f"{path}: is no list of the images of train and val ({error}); remove it, and the data "
            "set is split again"
        ) from error


def split_off(dataset: DetectionDataset, val_share: float, group_by: str | None = None) -> Split:
    """Split off a share of a data set for validation, each class in both parts as it is in all.

    Images stay together that have one content, that are nearly the same to the eye, or in whose
    names the pattern `group_by` finds the same. The files' contents alone decide which go where, so
    the same images are split alike everywhere. DatasetError where a part would have no truths.
    """
    digests = [_digest(dataset, row) for row in range(len(dataset))]
    groups = _groups_of(dataset, digests, group_by)
    num_groups = int(groups.max(initial=-1)) + 1
    shows = np.zeros((num_groups, len(dataset.class_names) + 1), np.int64)
    np.add.at(shows, groups, shown_classes(dataset))
    first: dict[int, bytes] = {}
    for group, digest in zip(groups.tolist(), digests, strict=True):
        first[group] = min(digest, first.get(group, digest))
    order = np.argsort(np.argsort([first[group] for group in range(num_groups)]))
    shares = np.array([1 - val_share, val_share])
    parts = deal(shows, np.bincount(groups, minlength=num_groups), shares, order)[groups]
    for part in (0, 1):
        if not shown_classes(dataset)[parts == part, 1:].any():
            raise DatasetError(
                f"{dataset.annotation_file}: has no validation part, and its {len(dataset)} images "
                f"in {num_groups} groups cannot be split so that both parts have boxes; add images "
                "with boxes, or make a validation part of your own"
            )
    names = np.array(dataset.file_names, dtype=object)
    return Split(train=names[parts == 0].tolist(), val=names[parts == 1].tolist())


def alike_groups(dataset: DetectionDataset, group_by: str | None = None) -> Array:
    """Number the groups of images that `split_off` keeps together: (N,) from 0."""
    return _groups_of(dataset, [_digest(dataset, row) for row in range(len(dataset))], group_by)


def _groups_of(dataset: DetectionDataset, digests: list[bytes], group_by: str | None) -> Array:
    paths = [path_of(dataset.image_dir, name) for name in dataset.file_names]
    alike = _equal(near_duplicates(paths).groups().tolist())
    return _groups(len(dataset), [*_equal(digests), *_named_alike(dataset, group_by), *alike])


def parts_of(
    dataset: DetectionDataset, split: Split, folder: str = ""
) -> tuple[DetectionDataset, DetectionDataset]:
    """The training and validation images of a data set, as they were split.

    `folder` is where the images lie in the one that the split names them in.
    What the whole has is said of the training images; images that the split does not name are in
    neither part. DatasetError where it names none of them.
    """
    places = {join(folder, name): place for place, name in enumerate(dataset.file_names)}
    rows = [[places[n] for n in names if n in places] for names in (split.train, split.val)]
    if not all(rows):
        raise DatasetError(
            f"{dataset.annotation_file}: none of its {len(dataset)} images is in the split that "
            "was written down for it; is this another data set?"
        )
    unnamed = np.ones(len(dataset), np.bool_)
    unnamed[rows[0] + rows[1]] = False
    num_gone = len(split.train) + len(split.val) - len(rows[0]) - len(rows[1])
    findings = [
        *dataset.report.findings,
        *count_where(
            unnamed,
            "images that came after the split: passed over",
            dataset.file_names.__getitem__,
        ),
    ]
    if num_gone:
        gone = next(name for name in [*split.train, *split.val] if name not in places)
        findings.append(
            Finding(num_gone, "images of the split that are no more: passed over", gone)
        )
    train, val = (
        _titled(subset(dataset, np.sort(np.array(chosen))), title, len(dataset))
        for chosen, title in zip(rows, ("training", "validation"), strict=True)
    )
    return replace(train, report=train.report.with_findings(*findings)), val


def numbered(dataset: DetectionDataset) -> DetectionDataset:
    """The same images with the ids 1, 2, …, which no image of another part changes."""
    return replace(dataset, image_ids=np.arange(1, len(dataset) + 1))


def _titled(part: DetectionDataset, title: str, num_all: int) -> DetectionDataset:
    source = f"{part.annotation_file}, split for {title}: {len(part)} of {num_all} images"
    return replace(
        part, annotation_file=source, report=replace(part.report, annotation_file=source)
    )


def _digest(dataset: DetectionDataset, row: int) -> bytes:
    """What decides about an image: its content, or its name where it cannot be read."""
    name = dataset.file_names[row]
    path = path_of(dataset.image_dir, name)
    try:
        size = Path(path).stat().st_size
    except (OSError, ValueError):
        size = 0
    return (size and content_of(path, size)) or name.encode("utf-8", "surrogateescape")


def _equal(values: Iterable[Hashable]) -> list[list[int]]:
    """The places of values that are equal."""
    places: dict[Hashable, list[int]] = defaultdict(list)
    for place, value in enumerate(values):
        places[value].append(place)
    return [of for of in places.values() if len(of) > 1]


def _named_alike(dataset: DetectionDataset, group_by: str | None) -> list[list[int]]:
    """Images in whose names a pattern finds the same; ConfigError for no such pattern."""
    if group_by is None:
        return []
    try:
        pattern = re.compile(group_by)
    except re.error as error:
        raise ConfigError(f"group_by={group_by}: no regular expression: {error}") from error
    found = [pattern.search(name) for name in dataset.file_names]
    if not any(found):
        raise ConfigError(
            f"group_by={group_by}: found in none of the {len(dataset)} names, such as "
            f"{dataset.file_names[0]}"
        )
    # One that has no such mark is a group of its own.
    return _equal(
        (match.groups() or match.group()) if match else place for place, match in enumerate(found)
    )


def _groups(count: int, together: Iterable[Sequence[int]]) -> Array:
    """Number the groups that places form which are to stay together: (count,) int64."""
    parents = list(range(count))

    def root(place: int) -> int:
        while parents[place] != place:
            parents[place] = parents[parents[place]]
            place = parents[place]
        return place

    for places in together:
        for place in places[1:]:
            parents[root(place)] = root(places[0])
    roots = np.array([root(place) for place in range(count)], np.int64)
    return np.unique(roots, return_inverse=True)[1]

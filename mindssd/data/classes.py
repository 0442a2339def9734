"""One data set's classes as those of another, or of a model: the same by name."""

import unicodedata
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from mindssd.data.check import count_where
from mindssd.data.dataset import DetectionDataset
from mindssd.errors import DatasetError, printable
from mindssd.types import Array

_NAMED = 12
"""So many classes are named in a line."""


def with_classes(
    dataset: DetectionDataset, class_names: tuple[str, ...], owner: str, way_out: str
) -> DetectionDataset:
    """Give a data set the classes of `owner`, a file, in their order.

    Names decide, in another case or form of Unicode where one alone fits. Classes that the data set
    lacks are added; those that no annotation is of may be left out, and are counted. DatasetError,
    with both lists and the way out, where annotations are of classes that `owner` lacks, or no
    class is the same.
    """
    if dataset.class_names == class_names:
        return dataset
    names = dataset.class_names
    places = match_names(names, class_names)
    counts = np.bincount(dataset.labels, minlength=len(names) + 1)[1:]
    left_out = places < 0
    if (left_out & (counts > 0)).any() or left_out.all():
        raise DatasetError(
            f"{owner} and {dataset.annotation_file} name different classes: {list(class_names)} "
            f"and {list(names)}; {way_out}"
        )
    respelled = np.array(
        [p >= 0 and class_names[p] != n for n, p in zip(names, places, strict=True)]
    )
    findings = [
        *count_where(
            respelled,
            "classes spelled otherwise: taken for the same",
            lambda row: f"{names[row]}, {class_names[places[row]]} in {owner}",
        ),
        *count_where(
            left_out,
            "classes that no annotation is of: dropped",
            lambda row: f"{names[row]}, not in {owner}",
        ),
    ]
    own_ids = {int(place): i for i, place in zip(dataset.category_ids, places, strict=True)}
    unused_id = max(dataset.category_ids) + 1
    return replace(
        dataset,
        class_names=class_names,
        category_ids=tuple(
            own_ids.get(place, unused_id + place) for place in range(len(class_names))
        ),
        labels=np.concatenate([[0], places + 1]).astype(np.int32)[dataset.labels],
        report=dataset.report.with_findings(*findings),
    )


def only_classes(dataset: DetectionDataset, names: Sequence[str]) -> DetectionDataset:
    """The same images with the classes of these `names` alone, by `match_names`, and their boxes.

    Those left out are counted. DatasetError where none is left.
    """
    kept = match_names(dataset.class_names, names) >= 0
    if kept.all():
        return dataset
    if not kept.any():
        raise DatasetError(
            f"{dataset.annotation_file}: has none of {', '.join(names[:_NAMED])}, only "
            f"{', '.join(dataset.class_names[:_NAMED])}"
        )
    of_box = np.concatenate([[False], kept])[dataset.labels]
    finding = count_where(
        ~kept, "classes that are not compared: left out", lambda row: dataset.class_names[row]
    )
    rows = np.flatnonzero(of_box)
    return replace(
        dataset,
        class_names=tuple(np.array(dataset.class_names, object)[kept]),
        category_ids=tuple(np.array(dataset.category_ids)[kept].tolist()),
        starts=np.concatenate([[0], np.cumsum(of_box)])[dataset.starts],
        boxes_xywh=dataset.boxes_xywh[rows],
        areas=dataset.areas[rows],
        labels=np.concatenate([[0], np.cumsum(kept)]).astype(np.int32)[dataset.labels[rows]],
        is_crowd=dataset.is_crowd[rows],
        report=dataset.report.with_findings(*finding),
    )


def classes_line(dataset: DetectionDataset) -> str:
    """Say the classes in one line, by name as far as they fit, and how many have no box."""
    names = dataset.class_names
    shown = ", ".join(names[:_NAMED]) + (", …" if len(names) > _NAMED else "")
    counts = np.bincount(dataset.labels[~dataset.is_crowd], minlength=len(names) + 1)[1:]
    absent = [name for name, count in zip(names, counts, strict=True) if not count]
    line = f"{len(names)} class{'es' if len(names) != 1 else ''}: {shown}"
    if absent:
        line += f"; {len(absent)} of them without a box to learn from, such as {absent[0]}"
    return printable(line)


def match_names(names: Sequence[str], others: Sequence[str]) -> Array:
    """Find each name among the others: (n,) int64 places, -1 where none is the same.

    Of names that differ in case, space or Unicode's form alone, one each must be left.
    """
    places = {name: place for place, name in enumerate(others)}
    exact = [places.get(name, -1) for name in names]
    left = [_plain(name) for name, place in zip(names, exact, strict=True) if place < 0]
    theirs = [_plain(name) for place, name in enumerate(others) if place not in exact]
    only = {name for name, count in Counter(left).items() if count == 1}
    only &= {name for name, count in Counter(theirs).items() if count == 1}
    plain = {_plain(name): place for place, name in enumerate(others) if place not in exact}
    return np.array(
        [
            plain[_plain(name)] if place < 0 and _plain(name) in only else place
            for name, place in zip(names, exact, strict=True)
        ],
        np.int64,
    )


def _plain(name: str) -> str:
    return " ".join(unicodedata.normalize("NFC", name).casefold().split())

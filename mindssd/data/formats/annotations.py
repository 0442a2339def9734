"""The annotations of a COCO file in columns."""

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from operator import attrgetter
from typing import Any, cast

import numpy as np

from mindssd.data.check import Finding, count_where
from mindssd.data.formats.coco_json import CocoAnnotation, crowds, number, numbers
from mindssd.data.formats.ids import NO_REFERENCE, UNKNOWN
from mindssd.types import Array

Find = Callable[[Sequence[Any]], Array]
"""Gives the positions of what is referred to, as `mindssd.data.formats.ids.positions`."""


@dataclass(frozen=True)
class Annotations:
    """n annotations: the positions of their images and categories (n,), boxes as annotated (n, 4)
    float64 as (x, y, width, height), areas (n,) float64, NaN if not given, and crowds (n,) bool."""

    images: Array
    categories: Array
    boxes_xywh: Array
    areas: Array
    is_crowd: Array

    def __len__(self) -> int:
        return len(self.images)

    def at(self, rows: Array) -> "Annotations":
        """Those at some rows, or of a mask (n,) bool."""
        if rows.dtype == np.bool_ and rows.all():
            return self
        return Annotations(
            self.images[rows],
            self.categories[rows],
            self.boxes_xywh[rows],
            self.areas[rows],
            self.is_crowd[rows],
        )


def read_annotations(
    entries: Sequence[CocoAnnotation | None], find_images: Find, find_categories: Find
) -> tuple[Annotations, list[Finding]]:
    """Turn annotations into columns, without those that name no box, image or category."""
    if None in entries:
        entries = [entry or CocoAnnotation() for entry in entries]
    entries = cast("Sequence[CocoAnnotation]", entries)
    owners = list(map(attrgetter("image_id"), entries))
    classes = list(map(attrgetter("category_id"), entries))
    images, categories = find_images(owners), find_categories(classes)
    boxes_xywh, whole = _boxes(list(map(attrgetter("bbox"), entries)))
    unreferred = (images == NO_REFERENCE) | (categories == NO_REFERENCE)
    incomplete = ~whole | unreferred
    unknown_image = (images == UNKNOWN) & ~incomplete
    unknown_category = (categories == UNKNOWN) & ~incomplete & ~unknown_image
    findings = [
        *count_where(
            incomplete,
            "annotations without image, category or box: dropped",
            lambda row: f"annotations[{row}]",
        ),
        *count_where(
            unknown_image,
            "annotations of an image that is not listed: dropped",
            lambda row: f"image id {owners[row]}",
        ),
        *count_where(
            unknown_category,
            "annotations of a category that is not listed: dropped",
            lambda row: f"category id {classes[row]}",
        ),
    ]
    read = Annotations(
        images=images,
        categories=categories,
        boxes_xywh=boxes_xywh,
        areas=_areas(list(map(attrgetter("area"), entries))),
        is_crowd=crowds(list(map(attrgetter("iscrowd"), entries))),
    )
    return read.at(~(incomplete | unknown_image | unknown_category)), findings


def _boxes(values: list[Any]) -> tuple[Array, Array]:
    """Boxes (n, 4) float64, and which are one: four numbers, or four texts that are."""
    if set(map(type, values)) != {list}:
        values = [value if type(value) is list else [] for value in values]
    whole = np.fromiter(map(len, values), np.int64, len(values)) == 4
    if not whole.all():
        values = [v if w else [0, 0, 0, 0] for v, w in zip(values, whole.tolist(), strict=True)]
    boxes = numbers(list(itertools.chain.from_iterable(values))).reshape(-1, 4)
    # NaN stands for what is no number, but a file may also have it: that box is not finite.
    for row in np.flatnonzero(np.isnan(boxes).any(axis=1)).tolist():
        whole[row] = all(isinstance(s, float) or number(s) is not None for s in values[row])
    return boxes, whole


def _areas(values: list[Any]) -> Array:
    kinds = set(map(type, values))
    if kinds <= {type(None)}:
        return np.full(len(values), np.nan)
    if type(None) in kinds:
        values = [np.nan if value is None else value for value in values]
    return numbers(values)

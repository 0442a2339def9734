"""What the parts of a data set hold: images, boxes and classes, counted."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from mindssd.data.dataset import DetectionDataset
from mindssd.data.sizes import size_words
from mindssd.types import Array

PARTS = ("train", "val")

FEW_BOXES = 20
"""From fewer boxes a class is hardly learned, and its AP says little."""

IMBALANCED = 20.0
"""Where the commonest class has so many times the boxes of the rarest, it is said."""


@dataclass(frozen=True)
class Finding:
    """One kind of fault in the annotations or files, as loading counts it."""

    count: int
    what: str
    example: str


@dataclass(frozen=True)
class Part:
    """Training or validation images in figures; sizes as annotated, as WIDTHxHEIGHT."""

    annotation_file: str
    image_dir: str
    num_images: int
    num_boxes: int
    num_crowds: int
    num_empty_images: int
    smallest_image: str
    median_image: str
    largest_image: str
    boxes_of_classes: dict[str, int]
    boxes_per_image: float
    findings: tuple[Finding, ...]


def count_part(dataset: DetectionDataset) -> Part:
    """Count what a part holds; crowds are no boxes."""
    report = dataset.report
    counts = class_counts(dataset)
    known = dataset.sizes[(dataset.sizes > 0).all(axis=1)]
    order = np.argsort(known.prod(axis=1), kind="stable")
    sizes = ["unknown"] * 3
    if len(order):
        sizes = [size_words(known[order[place]]) for place in (0, len(order) // 2, -1)]
    return Part(
        annotation_file=dataset.annotation_file,
        image_dir=dataset.image_dir,
        num_images=report.num_images,
        num_boxes=report.num_boxes,
        num_crowds=report.num_crowds,
        num_empty_images=report.num_empty_images,
        smallest_image=sizes[0],
        median_image=sizes[1],
        largest_image=sizes[2],
        boxes_of_classes=dict(zip(dataset.class_names, counts.tolist(), strict=True)),
        boxes_per_image=round(report.num_boxes / max(1, report.num_images), 2),
        findings=tuple(Finding(f.count, f.what, f.example) for f in report.findings),
    )


def class_counts(dataset: DetectionDataset) -> Array:
    """How many boxes each class has, without crowds: (C,)."""
    labels = dataset.labels[~dataset.is_crowd]
    return np.bincount(labels, minlength=len(dataset.class_names) + 1)[1:]


def class_remarks(parts: Mapping[str, Part]) -> list[str]:
    """What is worth knowing about the classes, a line each: absent, rare, out of balance."""
    remarks = []
    for name, part in parts.items():
        absent = [word for word, count in part.boxes_of_classes.items() if not count]
        if absent and part.num_boxes:
            way_out = (
                "they cannot be learned"
                if name == "train"
                else "their AP is undefined: move some of their images from train to val"
            )
            remarks.append(f"{name} has no boxes of {_listed(absent)}: {way_out}")
    counts = parts["train"].boxes_of_classes if "train" in parts else {}
    rare = {name: count for name, count in counts.items() if 0 < count < FEW_BOXES}
    if rare:
        words = [f"{name} ({count})" for name, count in rare.items()]
        remarks.append(
            f"train has fewer than {FEW_BOXES} boxes of {_listed(words)}: label more of them"
        )
    present = {name: count for name, count in counts.items() if count}
    if len(present) > 1:
        most, least = max(present, key=lambda k: present[k]), min(present, key=lambda k: present[k])
        if present[most] >= IMBALANCED * present[least]:
            remarks.append(
                f"{most} has {present[most] / present[least]:.0f} times the boxes of {least}: "
                "expect a lower AP of the rare ones, and label more of them first"
            )
    return remarks


def _listed(words: list[str], most: int = 8) -> str:
    shown = ", ".join(words[:most])
    return shown if len(words) <= most else f"{shown} and {len(words) - most} more"

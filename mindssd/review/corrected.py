"""A data set with the mistakes corrected that a person has accepted: a copy in COCO's layout."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from mindssd.data.convert.coco import CocoWriter
from mindssd.data.convert.job import Settings, part_of, read_all, require_apart, write_parts
from mindssd.data.convert.parts import Changes, Names, Part, Picture
from mindssd.data.dataset import DetectionDataset
from mindssd.errors import DatasetError
from mindssd.review.listed import Entry
from mindssd.review.mistakes import Mistake


def write_corrected(
    source: Path,
    out: Path,
    format_name: str,
    reviewed: DetectionDataset,
    accepted: Sequence[Entry],
    say: Callable[[str], None],
) -> None:
    """Copy the data set of `source` into the new folder `out`, its training part corrected.

    `changes.csv` lists what was done. DatasetError where `accepted` has two that change one label.
    """
    require_apart(source, out, "--to")
    changes, writer = Changes(), CocoWriter()
    names = Names(writer.one_folder, writer.by_stem)
    parts = []
    for name, dataset in read_all(source, Settings("coco", format_name)).items():
        for line in dataset.report.lines():  # what is left out of the copy as well
            say(line)
        part = part_of(name, dataset, names, changes)
        parts.append(corrected(part, reviewed, accepted, changes) if name == "train" else part)
    write_parts(out, parts, writer, changes)
    for what, count in changes.counts().items():
        say(f"  {count} {what}")
    say(f"{out}: {len(accepted)} corrections; {source} is as it was")


def corrected(
    part: Part, reviewed: DetectionDataset, accepted: Sequence[Entry], changes: Changes
) -> Part:
    """The part with the accepted corrections of the images that were reviewed."""
    paths = {Path(reviewed[image].path): image for image in range(len(reviewed))}
    by_image: dict[int, list[Mistake]] = {}
    for entry in accepted:
        by_image.setdefault(entry.mistake.image, []).append(entry.mistake)
    pictures = []
    for picture in part.pictures:
        mistakes = by_image.pop(paths.get(picture.source, -1), [])
        pictures.append(_picture(picture, part, mistakes, changes) if mistakes else picture)
    if by_image:
        gone = reviewed.file_names[next(iter(by_image))]
        raise DatasetError(f"{gone}: was reviewed, and is not among the images to be copied")
    return replace(part, pictures=pictures)


def _picture(picture: Picture, part: Part, mistakes: list[Mistake], changes: Changes) -> Picture:
    boxes, labels = picture.boxes_xywh.copy(), picture.labels.copy()
    areas, crowds = picture.areas.copy(), picture.is_crowd.copy()
    kept = np.ones(len(labels), np.bool_)
    touched: set[int] = set()
    for mistake in mistakes:
        where = f"{picture.name}: "
        if mistake.label >= 0:
            if mistake.label in touched:
                raise DatasetError(f"{where}label {mistake.label} is corrected twice; accept one")
            touched.add(mistake.label)
            where += f"{part.class_names[labels[mistake.label] - 1]} at "
            where += _words(boxes[mistake.label])
        if mistake.kind == "spurious":
            kept[mistake.label] = False
            changes.add(part.name, "labels of nothing: removed", where)
        elif mistake.kind == "class":
            assert mistake.found_class is not None
            labels[mistake.label] = mistake.found_class + 1
            what = f"{where} to {part.class_names[mistake.found_class]}"
            changes.add(part.name, "labels of another class: changed", what)
        else:
            assert mistake.found_box is not None and mistake.found_class is not None
            x1, y1, x2, y2 = mistake.found_box
            new = np.array([x1, y1, x2 - x1, y2 - y1])
            if mistake.kind == "box":
                boxes[mistake.label], areas[mistake.label] = new, new[2] * new[3]
                changes.add(part.name, "boxes: moved", f"{where} to {_words(new)}")
                continue
            boxes = np.concatenate([boxes, new[None]])
            labels = np.append(labels, mistake.found_class + 1).astype(labels.dtype)
            areas, crowds = np.append(areas, new[2] * new[3]), np.append(crowds, False)
            kept = np.append(kept, True)
            name = part.class_names[mistake.found_class]
            changes.add(part.name, "missing labels: added", f"{where}{name} at {_words(new)}")
    return replace(
        picture,
        boxes_xywh=boxes[kept],
        labels=labels[kept],
        areas=areas[kept],
        is_crowd=crowds[kept],
    )


def _words(box_xywh: np.ndarray) -> str:  # type: ignore[type-arg]
    return "(" + ", ".join(f"{value:g}" for value in box_xywh.tolist()) + ")"

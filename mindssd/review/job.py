"""A review in its folder: what was found out of fold, the list of mistakes, the page, the forms.

OUT/ has besides what `mindssd.review.trainings` keeps there:
  index.html             the likeliest mistakes, with pictures
  mistakes.csv           all of them, for a person to decide
  proposed_coco.json, proposed_cvat.xml, proposed_label_studio.json
"""

import json
import os
from dataclasses import replace
from pathlib import Path

import numpy as np
from rich.console import Console

from mindssd.build.folded import Folded
from mindssd.data.dataset import DetectionDataset
from mindssd.errors import ConfigError, DatasetError, ImageError
from mindssd.evaluation.detections import DetectionTable
from mindssd.files import write_file
from mindssd.geometry.boxes import area, pairwise_intersection
from mindssd.images import read_image
from mindssd.platform import as_typed
from mindssd.review.corrected import write_corrected
from mindssd.review.editors import as_coco, as_cvat, as_label_studio, proposals
from mindssd.review.evidence import Seen
from mindssd.review.listed import LIST, Entry, as_csv, entries, is_written_in, read_decisions
from mindssd.review.mistakes import Mistake, likely_mistakes
from mindssd.review.page import page
from mindssd.review.trainings import kept_detections, out_of_fold, resume
from mindssd.types import Array, ImageRecord

PAGE = "index.html"
PROPOSED = 0.5
"""Editors get what is likelier a mistake than not."""


def review(folded: Folded, console: Console, seconds: float | None = None) -> list[Entry]:
    """Train what is left to be trained, and write the list, the page and the editors' forms."""

    def say(line: str) -> None:
        console.print(line, highlight=False, markup=False, soft_wrap=True)

    dataset, folder = folded.data[0], folded.folder
    for line in dataset.report.lines():
        say(line)
    found = out_of_fold(folded, console, seconds)
    say(found.words())
    unread = unread_images(dataset, found.table)
    if unread:
        say(
            f"{len(unread)} images cannot be read: their labels are not reviewed (such as "
            f"{dataset.file_names[unread[0]]})"
        )
    mistakes = mistakes_of(dataset, found.table)
    listed = entries(mistakes, dataset)
    if is_written_in(folder / LIST):
        say(f"{folder / LIST} has decisions, and stays as it is")
    else:
        write_file(folder / LIST, as_csv(listed, dataset))
    name = Path(str(folded.config.data_dir)).name
    text = page(name, listed, dataset, found)
    write_file(folder / PAGE, text.encode("utf-8", "replace"))
    sheets = proposals(dataset, mistakes, PROPOSED)
    _write_json(folder / "proposed_coco.json", as_coco(dataset, sheets))
    write_file(folder / "proposed_cvat.xml", as_cvat(dataset, sheets))
    below = Path(os.path.relpath(dataset.image_dir, Path(str(folded.config.data_dir)).parent))
    tasks = as_label_studio(dataset, sheets, below.as_posix())
    _write_json(folder / "proposed_label_studio.json", tasks)
    likely = sum(entry.mistake.probability >= PROPOSED for entry in listed)
    say(f"{len(listed)} labels and places to look at, {likely} likelier wrong than right")
    say(f"look at {folder / PAGE}, write accept or reject into {folder / LIST}, and then")
    typed = as_typed(folder), as_typed(folder / LIST)
    say(f"  mindssd review --out {typed[0]} --apply {typed[1]} --to CORRECTED")
    return listed


def apply(folder: Path, decisions: Path, out: Path, console: Console) -> None:
    """Write a corrected copy of the data set that was reviewed in `folder`.

    ConfigError and DatasetError where the review is not at its end, or has another list.
    """
    if not decisions.is_file():
        raise DatasetError(f"{decisions}: no such file; {LIST} of a review, with decisions in it")
    folded = resume(folder)
    table = kept_detections(folded)
    if table is None:
        raise ConfigError(
            f"{folder}: this review is not at its end: mindssd review --resume {as_typed(folder)}"
        )
    dataset = folded.data[0]
    accepted = read_decisions(decisions, entries(mistakes_of(dataset, table), dataset))
    if not accepted:
        raise DatasetError(f"{decisions}: accepts nothing; write accept into the column decision")

    def say(line: str) -> None:
        console.print(line, highlight=False, markup=False, soft_wrap=True)

    source = Path(str(folded.config.data_dir))
    write_corrected(source, out, folded.config.format, dataset, accepted, say)


def mistakes_of(dataset: DetectionDataset, table: DetectionTable) -> list[Mistake]:
    """The likely mistakes in a data set, by detections of all its images."""
    seen, places = seen_images(dataset, table)
    return [_placed(mistake, places) for mistake in likely_mistakes(seen)]


def seen_images(dataset: DetectionDataset, table: DetectionTable) -> tuple[list[Seen], list[Array]]:
    """Each image's labels and detections, and the places of these labels in the image.

    Crowds are no labels, and what is found in one is left out. Images that cannot be read are taken
    to have no labels: that nothing was found there says nothing of them.
    """
    records = [dataset[image] for image in range(len(dataset))]
    unread = unread_images(dataset, table)
    order = np.argsort(table.image_ids, kind="stable")
    ids = table.image_ids[order]
    seen, places = [], []
    for image, record in enumerate(records):
        rows = order[slice(*np.searchsorted(ids, [record.image_id, record.image_id + 1]))]
        in_crowd = _mostly_in(table.boxes[rows], record.boxes[record.is_crowd])
        is_label = ~record.is_crowd & (image not in unread)
        rows, single = rows[~in_crowd], np.flatnonzero(is_label)
        places.append(single)
        seen.append(
            Seen(
                boxes=record.boxes[single].astype(np.float64),
                classes=record.labels[single].astype(np.int64) - 1,
                found_boxes=table.boxes[rows],
                found_classes=table.class_ids[rows],
                scores=table.scores[rows],
                size=_size(record.width, record.height, record.boxes),
            )
        )
    return seen, places


def unread_images(dataset: DetectionDataset, table: DetectionTable) -> list[int]:
    """The images that cannot be read, among those in which nothing at all was found."""
    without = np.flatnonzero(~np.isin(dataset.image_ids, table.image_ids))
    return [image for image in without.tolist() if not _is_readable(dataset[image])]


def _is_readable(record: ImageRecord) -> bool:
    try:
        read_image(record.path, (record.height, record.width))
    except ImageError:
        return False
    return True


def _placed(mistake: Mistake, places: list[Array]) -> Mistake:
    if mistake.label < 0:
        return mistake
    return replace(mistake, label=int(places[mistake.image][mistake.label]))


def _mostly_in(boxes: Array, crowds: Array) -> Array:
    """Whether half of a box lies in a crowd, (n,): there it is neither right nor wrong."""
    if not len(crowds):
        return np.zeros(len(boxes), np.bool_)
    shared = pairwise_intersection(boxes, crowds).max(axis=1)
    return np.asarray(shared >= 0.5 * np.maximum(area(boxes), 1e-6))


def _size(width: int, height: int, boxes: Array) -> Array:
    """Width and height; as far as the boxes reach where nobody knows."""
    if width and height:
        return np.array([width, height])
    return np.asarray(boxes[:, 2:].max(axis=0, initial=1.0))


def _write_json(path: Path, content: object) -> None:
    text = json.dumps(content, indent=1, ensure_ascii=False) + "\n"
    # Bytes of a file name that are no text are JSON's own \udc80 to \udcff.
    write_file(path, text.encode("utf-8", "backslashreplace"))

"""A data set read from one folder and written into another, which nobody meets half done."""

import csv
import io
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from mindssd.data.check import every_example
from mindssd.data.convert.coco import CocoWriter
from mindssd.data.convert.mending import mend
from mindssd.data.convert.parts import Changes, Names, Part, Picture, Writer
from mindssd.data.convert.voc import VocWriter
from mindssd.data.convert.yolo import YoloWriter
from mindssd.data.dataset import DetectionDataset
from mindssd.data.formats.parsed import assemble
from mindssd.data.formats.recognise import recognise
from mindssd.data.splits import require_boxes
from mindssd.data.splitting import parts_of, split_off
from mindssd.errors import ConfigError, DatasetError
from mindssd.files import not_written, write_file

WRITERS: dict[str, Callable[[], Writer]] = {
    "coco": CocoWriter,
    "yolo": YoloWriter,
    "voc": VocWriter,
}
CHANGES_FILE = "changes.csv"


@dataclass(frozen=True)
class Settings:
    """What to write, and how.

    `val_share` splits a data set without a validation part, images that `group_by` finds alike kept
    together. `fix` leaves out what nothing can be learned from, and lists every change.
    """

    to: str
    format: str = "auto"
    val_share: float | None = None
    group_by: str | None = None
    fix: bool = False


def convert(
    source: Path,
    out: Path,
    settings: Settings,
    say: Callable[[str], None],
    progress: Callable[[int, int], None] | None = None,
) -> None:
    """Write the data set of `source` into the new or empty folder `out`; `source` stays as it is.

    Images are copied: a link would be the same file, so that who edits one edits both. What the
    format cannot hold is said. DatasetError and ConfigError before anything is written.
    """
    require_apart(source, out)
    changes = Changes()
    with every_example():
        datasets = read_all(source, settings)
    for name, dataset in datasets.items():
        for line in dataset.report.lines():
            say(line)
        for finding in dataset.report.findings:
            for example in finding.examples or (f"{finding.count}, such as {finding.example}",):
                changes.add(name, finding.what, example)
    num_read = len(changes.rows)
    writer = WRITERS[settings.to]()
    names = Names(writer.one_folder, writer.by_stem)
    parts = []
    for name, dataset in datasets.items():
        part = part_of(name, dataset, names, changes)
        parts.append(part)
    if settings.fix:
        parts = mend(parts, changes)
    parts = [writer.fit(part, changes) for part in parts]
    for what, count in Changes(changes.rows[num_read:]).counts().items():
        say(f"  {count} {what}")
    for part in parts:
        if not part.pictures:
            raise DatasetError(f"{source}: nothing is left of the part {part.name}")
    write_parts(out, parts, writer, changes if settings.fix else None, progress)
    for part in parts:
        num_boxes = sum(len(picture.labels) for picture in part.pictures)
        say(f"{out}: {part.name}: {len(part.pictures)} images, {num_boxes} boxes")


def require_apart(source: Path, out: Path, option: str = "--out") -> None:
    """ConfigError unless `out` is new or empty, and neither folder is in the other.

    `option` is what it was given by.
    """
    inner, outer = out.resolve(), source.resolve()
    if inner == outer or outer in inner.parents or inner in outer.parents:
        raise ConfigError(f"{option} {out}: {source} and it must lie apart; name another folder")
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise ConfigError(f"{option} {out}: is there already; expected a new or an empty folder")


def read_all(source: Path, settings: Settings) -> dict[str, DetectionDataset]:
    """The parts of a data set by name; one without parts is "train" unless it is split."""
    layout = recognise(source, settings.format)
    read = {part or "train": read for part, read in layout.parts.items()}
    order = [part for part in ("train", "val", "test") if part in read]
    parts: dict[str, DetectionDataset] = {part: assemble(read[part]()) for part in order}
    if layout.validation is None:
        if settings.val_share is None:
            if settings.group_by is not None:
                raise ConfigError("--group-by changes nothing without --val SHARE")
            return parts
        require_boxes(parts["train"])
        split = split_off(parts["train"], settings.val_share, settings.group_by)
        train, val = parts_of(parts["train"], split)
        return {**parts, "train": train, "val": val}
    if settings.val_share is not None or settings.group_by is not None:
        raise ConfigError(
            f"--val and --group-by change nothing: {source} has a part {layout.validation}"
        )
    if layout.validation == "test":
        parts = {"val" if part == "test" else part: dataset for part, dataset in parts.items()}
    return parts


def part_of(name: str, dataset: DetectionDataset, names: Names, changes: Changes) -> Part:
    pictures = []
    for index in range(len(dataset)):
        record = dataset[index]
        path = Path(record.path)
        if not path.is_file():
            changes.add(name, "images without a file: left out", dataset.file_names[index])
            continue
        new = names.choose(name, dataset.file_names[index])
        if new != dataset.file_names[index]:
            changes.add(name, "images renamed", f"{dataset.file_names[index]}, {new}")
        pictures.append(
            Picture(
                image_id=record.image_id,
                source=path,
                name=new,
                size=(record.height, record.width),
                boxes_xywh=record.boxes_xywh,
                labels=record.labels,
                areas=record.areas,
                is_crowd=record.is_crowd,
            )
        )
    return Part(name, dataset.class_names, dataset.category_ids, pictures)


def write_parts(
    out: Path,
    parts: Sequence[Part],
    writer: Writer,
    changes: Changes | None,
    progress: Callable[[int, int], None] | None = None,
) -> None:
    """Write all under a hidden name beside `out`, then give it that."""
    parts = _same_classes(parts)
    total, done = sum(len(part.pictures) for part in parts), 0
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        with TemporaryDirectory(prefix=f".{out.name}.", dir=out.parent) as folder:
            new = Path(folder) / "new"
            for part in parts:
                for picture in part.pictures:
                    target = new / writer.image_path(part.name, picture.name)
                    target.parent.mkdir(parents=True, exist_ok=True)
                    shutil.copyfile(picture.source, target)
                    done += 1
                    if progress is not None:
                        progress(done, total)
            for name, content in writer.files(parts):
                target = new / name
                target.parent.mkdir(parents=True, exist_ok=True)
                target.write_bytes(content)
            if changes is not None:
                write_file(new / CHANGES_FILE, _as_csv(changes))
            if out.is_dir():
                out.rmdir()
            new.rename(out)
    except OSError as error:
        raise not_written(error.filename or out, error) from error


def _same_classes(parts: Sequence[Part]) -> list[Part]:
    """The parts with the classes of all of them: those of the first, then others of the next."""
    names = list(dict.fromkeys(name for part in parts for name in part.class_names))
    ids: dict[str, int] = {}
    for part in parts:
        for name, number in zip(part.class_names, part.category_ids, strict=True):
            if name not in ids:
                ids[name] = number if number not in ids.values() else max(ids.values()) + 1
    places = {name: place for place, name in enumerate(names)}
    unified = []
    for part in parts:
        label_of = np.array([0, *(places[name] + 1 for name in part.class_names)], np.int32)
        pictures = [replace(p, labels=label_of[p.labels]) for p in part.pictures]
        unified.append(Part(part.name, tuple(names), tuple(ids[n] for n in names), pictures))
    return unified


def _as_csv(changes: Changes) -> bytes:
    file = io.StringIO()
    writer = csv.writer(file)
    writer.writerow(["part", "what", "which"])
    writer.writerows(changes.rows)
    return file.getvalue().encode("utf-8", "backslashreplace")

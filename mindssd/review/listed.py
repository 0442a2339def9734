"""The list of likely mistakes as a table, in which a person decides, and those decisions read."""

import csv
import hashlib
import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from mindssd.data.dataset import DetectionDataset
from mindssd.data.formats.csv_table import read_rows
from mindssd.errors import DatasetError
from mindssd.review.mistakes import Mistake

LIST = "mistakes.csv"

COLUMNS = (
    *("id", "image", "kind", "probability", "class", "box", "found_class", "found_box", "score"),
    "decision",
)

ACCEPT = {"accept", "accepted", "yes", "y", "1", "x", "true"}
REJECT = {"reject", "rejected", "no", "n", "0", "false", ""}

LETTER = "m"
"""Begins each id: digits alone, or with an e among them, are a number to a spreadsheet, which
writes another one back."""


@dataclass(frozen=True)
class Entry:
    """A mistake with the name by which it is decided about."""

    id: str
    mistake: Mistake


def entries(mistakes: Sequence[Mistake], dataset: DetectionDataset) -> list[Entry]:
    """Name mistakes by what they say of which data, so that no list is taken for another."""
    data = dataset.fingerprint()
    found = []
    for mistake in mistakes:
        unranked = replace(mistake, probability=0.0, score=0.0, detection=-1)
        said = f"{data} {dataset.file_names[mistake.image]} {unranked}"
        name = hashlib.sha256(said.encode("utf-8", "surrogateescape")).hexdigest()
        found.append(Entry(LETTER + name[:12], mistake))
    return found


def as_csv(listed: Sequence[Entry], dataset: DetectionDataset) -> bytes:
    """The table; boxes are `x1 y1 x2 y2` in pixels of the image."""
    file = io.StringIO()
    writer = csv.writer(file)
    writer.writerow(COLUMNS)
    for entry in listed:
        m = entry.mistake
        writer.writerow(
            [
                *(entry.id, dataset.file_names[m.image], m.kind, f"{m.probability:.4f}"),
                *(_class(m.class_id, dataset), _box(m.box)),
                *(_class(m.found_class, dataset), _box(m.found_box)),
                *(f"{m.score:.4f}", ""),
            ]
        )
    return file.getvalue().encode("utf-8", "backslashreplace")


def read_decisions(path: Path, listed: Sequence[Entry]) -> list[Entry]:
    """Those of a list that a person has accepted, in its order.

    As a spreadsheet may have written it: with semicolons or tabs, its columns and lines in another
    order, or fewer of them. DatasetError for a file that is no such table, is of another list, has
    an unknown word, or decides both ways.
    """
    known = {entry.id: entry for entry in listed}
    decided: dict[str, bool] = {}
    for line, name, word in _decisions(path):
        if name not in known:
            raise DatasetError(f"{path}:{line}: {name or 'no id'} is not in this review's list")
        if word not in ACCEPT | REJECT:
            raise DatasetError(
                f"{path}:{line}: decision {word}; expected accept, or reject or nothing"
            )
        if decided.setdefault(name, word in ACCEPT) != (word in ACCEPT):
            raise DatasetError(f"{path}:{line}: {name} is accepted and rejected")
    return [entry for entry in listed if decided.get(entry.id, False)]


def is_written_in(path: Path) -> bool:
    """Whether a person has written into a list, or it is none of ours any more; False for none."""
    if not path.exists():
        return False
    try:
        return any(word for _, _, word in _decisions(path))
    except DatasetError:
        return True


def _decisions(path: Path) -> Iterator[tuple[int, str, str]]:
    """Each line's number, id and decision; DatasetError for a file of other columns."""
    rows = read_rows(path)
    _, header = next(rows, (0, []))
    columns = [name.casefold() for name in header]
    if not {"id", "decision"} <= set(columns):
        raise DatasetError(f"{path}: has no columns id and decision, as {LIST} of a review has")
    of_id, of_decision = columns.index("id"), columns.index("decision")
    for line, values in rows:
        filled = [*values, *[""] * len(columns)]
        yield line, filled[of_id].casefold(), filled[of_decision].casefold()


def _class(class_id: int | None, dataset: DetectionDataset) -> str:
    return "" if class_id is None else dataset.class_names[class_id]


def _box(box: tuple[float, ...] | None) -> str:
    return "" if box is None else " ".join(f"{value:g}" for value in box)

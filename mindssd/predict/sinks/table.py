"""Tables: `detections.csv`, a row for each detection, and `counts.csv`, one for each crossing."""

import csv
import io
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from mindssd.evaluation.coco_results import detections_to_coco
from mindssd.files import FileAside, not_written
from mindssd.predict.sinks.base import Seen, Sink
from mindssd.predict.sinks.growing import Records

COLUMNS = ("file", "frame", "class", "score", "x1", "y1", "x2", "y2")
FOLLOWED_COLUMNS = (*COLUMNS, "seconds", "track_id")
COUNT_COLUMNS = ("file", "frame", "seconds", "place", "class", "direction", "track_id")


class Table(Sink):
    """A CSV file that grows with each image."""

    def __init__(self, path: Path, columns: Sequence[str]) -> None:
        self._path = path
        try:
            self._aside = FileAside(path)
            self._records = Records(self._aside.file)
            self._records.append(_rows([columns]))
        except OSError as error:
            raise not_written(path, error) from error

    def append(self, rows: Sequence[Sequence[Any]]) -> None:
        try:
            self._aside.check()
            self._records.append(_rows(rows))
        except OSError as error:
            raise not_written(self._path, error) from error

    def close(self, keep: bool) -> None:
        with self._aside:
            if not keep:
                return
            try:
                self._records.repair()
                self._aside.keep()
            except OSError as error:
                raise not_written(self._path, error) from error


class CsvTable(Table):
    """Writes each image's detections as they come, boxes as corners in pixels.

    With `is_followed` also the frame's time, and the number of the track where there is one.
    """

    def __init__(self, path: Path, is_followed: bool = False) -> None:
        super().__init__(path, FOLLOWED_COLUMNS if is_followed else COLUMNS)
        self._is_followed = is_followed

    def put(self, seen: Seen) -> None:
        name = _name(seen)
        frame = "" if seen.frame is None else seen.frame
        rows = []
        for found in detections_to_coco(name, seen.detections):
            x, y, width, height = found["bbox"]
            corners = [round(value, 3) for value in (x, y, x + width, y + height)]
            row = [name, frame, found["category_name"], found["score"], *corners]
            if self._is_followed:
                row += [round(seen.seconds or 0.0, 3), found.get("track_id", "")]
            rows.append(row)
        self.append(rows)


class CountsTable(Table):
    """Writes each crossing as it is noticed, with the time of the frame that first saw it."""

    def __init__(self, path: Path) -> None:
        super().__init__(path, COUNT_COLUMNS)

    def put(self, seen: Seen) -> None:
        name, classes = _name(seen), seen.detections.class_names
        self.append(
            [
                [
                    *(name, one.frame, round(one.seconds, 3), one.place),
                    *(classes[one.class_id], one.direction, one.track),
                ]
                for one in seen.crossings
            ]
        )


def _name(seen: Seen) -> str:
    return os.fsencode(seen.source).decode("utf-8", "replace")


def _rows(rows: Any) -> bytes:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(rows)
    return text.getvalue().encode()

"""`detections.csv`: a row for each detection."""

import csv
import io
import os
from pathlib import Path
from typing import Any

from mindssd.evaluation.coco_results import detections_to_coco
from mindssd.files import FileAside, not_written
from mindssd.predict.sinks.base import Seen, Sink
from mindssd.predict.sinks.growing import Records

COLUMNS = ("file", "frame", "class", "score", "x1", "y1", "x2", "y2")


class CsvTable(Sink):
    """Writes each image's rows as it comes, boxes as corners in pixels."""

    def __init__(self, path: Path) -> None:
        self._path = path
        try:
            self._aside = FileAside(path)
            self._records = Records(self._aside.file)
            self._records.append(_rows([COLUMNS]))
        except OSError as error:
            raise not_written(path, error) from error

    def put(self, seen: Seen) -> None:
        name = os.fsencode(seen.source).decode("utf-8", "replace")
        frame = "" if seen.frame is None else seen.frame
        rows = []
        for found in detections_to_coco(name, seen.detections):
            x, y, width, height = found["bbox"]
            corners = [round(value, 3) for value in (x, y, x + width, y + height)]
            rows.append([name, frame, found["category_name"], found["score"], *corners])
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


def _rows(rows: Any) -> bytes:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(rows)
    return text.getvalue().encode()

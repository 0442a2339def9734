"""`detections.json`: COCO's layout, as `pycocotools.COCO` opens it; and what was counted."""

import os
import tempfile
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any, BinaryIO, cast

import msgspec

from mindssd.evaluation.coco_results import as_annotations, detections_to_coco
from mindssd.files import FileAside, not_written
from mindssd.predict.counting import DIRECTIONS, Totals
from mindssd.predict.sinks.base import Seen, Sink
from mindssd.predict.sinks.growing import Records, Reserve


class CocoJson(Sink):
    """Writes annotations as they come, and at the end what was gathered in files beside.

    That are the images, and where `totals` are given what was counted, and these at its end.
    """

    def __init__(
        self,
        path: Path,
        class_names: Sequence[str],
        category_ids: Sequence[int],
        reserve: Reserve,
        totals: Totals | None = None,
    ) -> None:
        self._path = path
        self._totals = totals
        self._category_ids = category_ids
        self._reserve = reserve
        self._num_images = self._num_annotations = self._num_crossings = 0
        categories = [
            {"id": category_id, "name": name}
            for category_id, name in zip(category_ids, class_names, strict=True)
        ]
        head = b'{"categories": ' + msgspec.json.encode(categories) + b',\n"annotations": ['
        with ExitStack() as stack:
            try:
                self._aside = stack.enter_context(FileAside(path))
                self._images_file = stack.enter_context(_beside(path))
                self._crossings_file = stack.enter_context(_beside(path))
                self._annotations = Records(self._aside.file)
                self._images = Records(self._images_file)
                self._crossings = Records(self._crossings_file)
                self._annotations.append(head)
            except OSError as error:
                raise not_written(path, error) from error
            stack.pop_all()

    def put(self, seen: Seen) -> None:
        height, width = seen.picture.shape[:2]
        name = os.fsencode(seen.source).decode("utf-8", "replace")  # JSON is UTF-8
        image = {"id": self._num_images + 1, "file_name": name, "width": width, "height": height}
        if seen.frame is not None and seen.seconds is not None:
            image |= {"frame": seen.frame, "seconds": round(seen.seconds, 3)}
        found = detections_to_coco(self._num_images + 1, seen.detections, self._category_ids)
        annotations = as_annotations(found, self._num_annotations + 1)
        crossings = self._crossings_of(seen)
        sizes = self._images.size, self._annotations.size, self._crossings.size
        try:
            self._aside.check()
            self._images.append(_lines([image], self._num_images == 0))
            self._annotations.append(_lines(annotations, self._num_annotations == 0))
            self._crossings.append(_lines(crossings, self._num_crossings == 0))
        except BaseException as error:
            # An image with its annotations or neither, by whatever it is cut off.
            self._images.cut(sizes[0])
            self._annotations.cut(sizes[1])
            self._crossings.cut(sizes[2])
            if isinstance(error, OSError):
                raise not_written(self._path, error) from error
            raise
        self._num_images += 1
        self._num_annotations += len(annotations)
        self._num_crossings += len(crossings)
        self._reserve.hold(self._images.size + self._crossings.size)

    def _crossings_of(self, seen: Seen) -> list[dict[str, Any]]:
        """Each with the image that first saw it, of this video's so far."""
        return [
            {
                "image_id": self._num_images + 1 - ((seen.frame or 0) - one.frame),
                "place": one.place,
                "direction": one.direction,
                "category_id": self._category_ids[one.class_id],
                "category_name": seen.detections.class_names[one.class_id],
                "track_id": one.track,
                "seconds": round(one.seconds, 3),
            }
            for one in seen.crossings
        ]

    def close(self, keep: bool) -> None:
        with self._aside, self._images_file, self._crossings_file:
            if not keep:
                return
            try:
                self._add("images", self._images, self._images_file)
                if self._totals is not None:
                    self._add("crossings", self._crossings, self._crossings_file)
                    rows = _lines(_rows_of(self._totals), is_first=True)
                    self._annotations.append(b'\n],\n"counts": [' + rows)
                self._annotations.append(b"\n]}\n")
                self._aside.keep()
            except OSError as error:
                raise not_written(self._path, error) from error

    def _add(self, key: str, records: Records, file: BinaryIO) -> None:
        """End the list before, and add one of what was gathered."""
        records.repair()
        self._annotations.append(f'\n],\n"{key}": ['.encode())
        file.seek(0)
        while part := file.read(1 << 20):
            self._annotations.append(part)


def _beside(path: Path) -> BinaryIO:
    """A file whose name is gone at once: the system removes it with the process."""
    return cast(BinaryIO, tempfile.TemporaryFile(dir=path.parent))


def _rows_of(totals: Totals) -> list[dict[str, Any]]:
    """A row for each place and class, and one without a class where nothing was counted."""
    return [
        {
            "file_name": os.fsencode(source).decode("utf-8", "replace"),
            **{"place": place, "kind": kind, "category_name": class_name or None},
            **{direction: counts[direction] for direction in DIRECTIONS},
        }
        for (source, place, kind, class_name), counts in totals.rows()
    ]


def _lines(records: Sequence[dict[str, Any]], is_first: bool) -> bytes:
    """One record a line, each with a comma before it but the first of all."""
    text = b"".join(b",\n" + msgspec.json.encode(record) for record in records)
    return text.removeprefix(b",") if is_first else text

"""`detections.json`: COCO's layout, as `pycocotools.COCO` opens it."""

import os
import tempfile
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any, BinaryIO, cast

import msgspec

from mindssd.evaluation.coco_results import as_annotations, detections_to_coco
from mindssd.files import FileAside, not_written
from mindssd.predict.sinks.base import Seen, Sink
from mindssd.predict.sinks.growing import Records, Reserve


class CocoJson(Sink):
    """Writes annotations as they come, and the images, gathered in a file beside, at the end."""

    def __init__(
        self,
        path: Path,
        class_names: Sequence[str],
        category_ids: Sequence[int],
        reserve: Reserve,
    ) -> None:
        self._path = path
        self._category_ids = category_ids
        self._reserve = reserve
        self._num_images = self._num_annotations = 0
        categories = [
            {"id": category_id, "name": name}
            for category_id, name in zip(category_ids, class_names, strict=True)
        ]
        head = b'{"categories": ' + msgspec.json.encode(categories) + b',\n"annotations": ['
        with ExitStack() as stack:
            try:
                self._aside = stack.enter_context(FileAside(path))
                # Its name is gone at once: the system removes it with the process.
                images = tempfile.TemporaryFile(dir=path.parent)  # noqa: SIM115 - see `close`
                self._images_file = cast(BinaryIO, stack.enter_context(images))
                self._annotations = Records(self._aside.file)
                self._images = Records(self._images_file)
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
        sizes = self._images.size, self._annotations.size
        try:
            self._aside.check()
            self._images.append(_lines([image], self._num_images == 0))
            self._annotations.append(_lines(annotations, self._num_annotations == 0))
        except BaseException as error:
            # An image with its annotations or neither, by whatever it is cut off.
            self._images.cut(sizes[0])
            self._annotations.cut(sizes[1])
            if isinstance(error, OSError):
                raise not_written(self._path, error) from error
            raise
        self._num_images += 1
        self._num_annotations += len(annotations)
        self._reserve.hold(self._images.size)

    def close(self, keep: bool) -> None:
        with self._aside, self._images_file:
            if not keep:
                return
            try:
                self._images.repair()
                self._annotations.append(b'\n],\n"images": [')
                self._images_file.seek(0)
                while part := self._images_file.read(1 << 20):
                    self._annotations.append(part)
                self._annotations.append(b"\n]}\n")
                self._aside.keep()
            except OSError as error:
                raise not_written(self._path, error) from error


def _lines(records: Sequence[dict[str, Any]], is_first: bool) -> bytes:
    """One record a line, each with a comma before it but the first of all."""
    text = b"".join(b",\n" + msgspec.json.encode(record) for record in records)
    return text.removeprefix(b",") if is_first else text

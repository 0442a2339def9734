"""`crops/CLASS/NAME_1.jpg` and so on: each detection cut out of its image."""

from collections.abc import Sequence
from pathlib import Path

from mindssd.errors import OutputError
from mindssd.files import not_written
from mindssd.predict.naming import class_folders
from mindssd.predict.sinks.base import Seen, Sink, Writers, write_image


class Crops(Sink):
    """Cuts out each detection, best first; a folder for each class of which there is one."""

    def __init__(self, folder: Path, class_names: Sequence[str], writers: Writers) -> None:
        self._folders = [folder / name for name in class_folders(class_names)]
        self._writers = writers

    def put(self, seen: Seen) -> None:
        self._writers.write(_write_crops, self._folders, seen)


def _write_crops(folders: Sequence[Path], seen: Seen) -> None:
    """Write all that can be; then raise what came of the first that cannot."""
    height, width = seen.picture.shape[:2]
    failed: list[OutputError] = []
    detections = zip(seen.detections.boxes.tolist(), seen.detections.class_ids, strict=True)
    for number, (box, class_id) in enumerate(detections, start=1):
        x1, y1 = (max(0, int(value)) for value in box[:2])
        x2, y2 = min(width, int(box[2]) + 1), min(height, int(box[3]) + 1)
        if x2 <= x1 or y2 <= y1:
            continue
        path = folders[int(class_id)] / f"{seen.stem}_{number}.jpg"
        try:
            _make(path.parent)
            write_image(path, seen.picture[y1:y2, x1:x2])
        except OutputError as error:
            failed.append(error)
    if failed:
        rest = f"; and {len(failed) - 1} more of its crops" if len(failed) > 1 else ""
        raise OutputError(f"{failed[0]}{rest}") from failed[0]


def _make(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise not_written(folder, error) from error

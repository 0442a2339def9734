"""`labels/NAME.txt`: an image's detections in YOLO's layout."""

from pathlib import Path

from mindssd.files import write_file
from mindssd.geometry.boxes import pixels_to_unit, xyxy_to_cxcywh
from mindssd.predict.sinks.base import Seen, Sink, Writers
from mindssd.types import Detections, ImageSize


class YoloLabels(Sink):
    """A text file for each image, empty where nothing was found: an image of background."""

    def __init__(self, folder: Path, writers: Writers) -> None:
        self._folder = folder
        self._writers = writers

    def put(self, seen: Seen) -> None:
        size = (seen.picture.shape[0], seen.picture.shape[1])
        path = self._folder / f"{seen.stem}.txt"
        self._writers.write(write_file, path, yolo_lines(seen.detections, size).encode())


def yolo_lines(detections: Detections, size: ImageSize) -> str:
    """One line a detection: class from 0, centre and size as fractions of the image, score."""
    boxes = xyxy_to_cxcywh(pixels_to_unit(detections.boxes, size))
    return "".join(
        f"{int(class_id)} {x:.6f} {y:.6f} {width:.6f} {height:.6f} {score:.6f}\n"
        for class_id, (x, y, width, height), score in zip(
            detections.class_ids, boxes.tolist(), detections.scores.tolist(), strict=True
        )
    )

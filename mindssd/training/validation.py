"""What a run does with its validation images: scores them, and draws some for TensorBoard."""

import io
import json
from contextlib import suppress

import numpy as np

from mindssd.data.dataset import DetectionDataset
from mindssd.drawing.contact_sheet import contact_sheet
from mindssd.drawing.visualize import compare
from mindssd.engines.base import Group
from mindssd.errors import DatasetError
from mindssd.evaluation.coco import score
from mindssd.evaluation.detections import DetectionTable, detect_images
from mindssd.evaluation.protocol import Protocol, chosen_images
from mindssd.evaluation.scores import Evaluation
from mindssd.images import read_image
from mindssd.inference.predictor import Predictor
from mindssd.launch.heartbeat import beat
from mindssd.training.plan import Metrics
from mindssd.training.signals import StopRequest
from mindssd.types import Array

SAMPLE_IMAGES = 6
"""TensorBoard shows so many validation images with what is found in them."""
SAMPLE_SCORE = 0.3


class _EvaluationStoppedError(Exception):
    """Leaves an evaluation; whether the run ends, its processes then agree on."""


class Validation:
    """Evaluates a predictor on the validation images.

    `last` is the newest evaluation, in rank 0 of the group alone, which scores for all.
    """

    def __init__(
        self, predictor: Predictor, dataset: DetectionDataset, protocol: Protocol, group: Group
    ) -> None:
        self.predictor = predictor
        self.dataset = dataset
        self.protocol = protocol
        self.group = group
        self.last: Evaluation | None = None
        self.stop: StopRequest | None = None

    def evaluate(self) -> Metrics:
        """The twelve numbers of the validation images, each process having detected its share.

        Raises Stopped in all of them where that is asked of one.
        """
        indices = chosen_images(self.dataset, self.protocol)
        table = None
        with suppress(_EvaluationStoppedError):
            share = indices[self.group.rank :: self.group.size]
            table = detect_images(
                self.predictor, self.dataset, share, self.protocol, self._between_batches
            )
        if self.stop is not None:
            self.stop.check()
        assert table is not None
        tables = [from_bytes(part) for part in self.group.gather(to_bytes(table))]
        unreadable = [name for part in tables for name in part.unreadable]
        if unreadable and len(unreadable) == len(indices):
            raise DatasetError(
                f"none of the {len(indices)} validation images can be read "
                f"({unreadable[0]} and others); check {self.dataset.image_dir}"
            )
        numbers = b""
        if self.group.rank == 0:
            self.last = score(DetectionTable.merge(tables), self.dataset, indices, self.protocol)
            numbers = json.dumps(self.last.twelve_numbers()).encode()
        metrics: Metrics = json.loads(self.group.gather(numbers)[0])
        return metrics

    def _between_batches(self, done: int, total: int) -> None:
        beat()
        if self.stop is not None and self.stop.requested:
            raise _EvaluationStoppedError

    def picture(self) -> Array | None:
        """Some validation images, their truths dashed beside what is found."""
        count = min(SAMPLE_IMAGES, len(self.dataset))
        drawn = []
        for index in range(count):
            record = self.dataset[index * len(self.dataset) // count]
            try:
                image = read_image(record.path, (record.height, record.width))
            except Exception:  # counted by the evaluation already
                continue
            (found,) = self.predictor.detect([image])
            drawn.append(
                compare(image, record.boxes, record.labels - 1, found, score_threshold=SAMPLE_SCORE)
            )
        return contact_sheet(drawn) if drawn else None


def to_bytes(table: DetectionTable) -> bytes:
    """A table as arrays alone, for another process to read: what it gets, it need not trust."""
    file = io.BytesIO()
    np.savez(
        file,
        allow_pickle=False,
        image_ids=table.image_ids,
        class_ids=table.class_ids,
        boxes=table.boxes,
        scores=table.scores,
        unreadable=np.array(table.unreadable, np.str_),
        seconds=np.float64(table.seconds),
    )
    return file.getvalue()


def from_bytes(data: bytes) -> DetectionTable:
    """The table of `to_bytes`."""
    with np.load(io.BytesIO(data), allow_pickle=False) as arrays:
        return DetectionTable(
            image_ids=arrays["image_ids"],
            class_ids=arrays["class_ids"],
            boxes=arrays["boxes"],
            scores=arrays["scores"],
            unreadable=tuple(arrays["unreadable"].tolist()),
            seconds=float(arrays["seconds"]),
        )

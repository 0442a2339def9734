"""The validation of a run: each process its share, and a way out of it."""

import io
import pickle
import shutil
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mindssd.build.data import build_dataset
from mindssd.build.network import build_default_boxes
from mindssd.build.predictor import build_predictor
from mindssd.config.load import load_config
from mindssd.engines.base import SingleProcessGroup
from mindssd.errors import DatasetError
from mindssd.evaluation.detections import DetectionTable
from mindssd.evaluation.protocol import PROTOCOLS
from mindssd.training.validation import Validation, from_bytes, to_bytes
from mindssd.types import Array


class Network:
    """Sees one class or the other by the image's mean, and the same boxes everywhere."""

    spec: Any = None
    grids = ((12, 12), (6, 6), (3, 3))

    def __init__(self, num_boxes: int) -> None:
        rng = np.random.default_rng(0)
        self.offsets = rng.normal(0, 1, (num_boxes, 4)).astype(np.float32)
        self.logits = rng.normal(-2, 1, (num_boxes, 3)).astype(np.float32)

    def forward(self, images: Array) -> tuple[Array, Array]:
        means = images.mean(axis=(1, 2, 3))[:, None, None].astype(np.float32)
        return np.repeat(self.offsets[None], len(images), 0), self.logits * (1 + means)


@dataclass
class OneOf(SingleProcessGroup):
    """A process of a group, the others of which have said their part: tables, then no numbers."""

    rank: int
    size: int
    others: list[bytes] = field(default_factory=list)
    said: list[bytes] = field(default_factory=list)

    def gather(self, data: bytes) -> list[bytes]:
        self.said.append(data)
        return [data, *self.others] if len(self.said) == 1 else [data or b"{}"]


@pytest.fixture
def validation(tiny_config, shapes_dir):
    def make(group: Any = None, data_dir: Path = shapes_dir) -> Validation:
        config = load_config(str(tiny_config), [f"data_dir={data_dir}", "evaluation.batch_size=4"])
        boxes = build_default_boxes(config, Network.grids)
        network: Any = Network(len(boxes.boxes))
        dataset = build_dataset(config, "val")
        protocol = PROTOCOLS["coco"]
        predictor = build_predictor(
            config, network, dataset.class_names, protocol.selection, batch_size=4
        )
        return Validation(predictor, dataset, protocol, group or SingleProcessGroup())

    return make


def test_shares_of_unequal_size_make_the_whole_without_repetition(validation):
    whole = validation()
    numbers = whole.evaluate()
    first, second = OneOf(0, 5), OneOf(1, 5)
    groups = [first, second, OneOf(2, 5), OneOf(3, 5), OneOf(4, 5)]
    for group in groups:
        validation(group).evaluate()
    images = [np.unique(from_bytes(group.said[0]).image_ids) for group in groups]
    assert [len(ids) for ids in images] == [3, 3, 2, 2, 2]
    assert sorted(np.concatenate(images).tolist()) == list(range(1, 13))
    leading = validation(OneOf(0, 5, [group.said[0] for group in groups[1:]]))
    assert leading.evaluate() == numbers
    assert numbers["AR100"] is not None and numbers["AR100"] > 0
    assert leading.last.num_detections == whole.last.num_detections


def test_rank_0_alone_scores(validation):
    """The others have its numbers, whatever they are."""
    led = validation(OneOf(1, 2))
    assert led.evaluate() == {}
    assert led.last is None


def test_a_process_without_images_adds_nothing(validation):
    group = OneOf(12, 13)
    validation(group).evaluate()
    table: DetectionTable = from_bytes(group.said[0])
    assert len(table.image_ids) == 0


def test_a_table_goes_to_another_process_bit_for_bit():
    rng = np.random.default_rng(0)
    boxes = rng.normal(size=(3, 4)).astype(np.float32)
    boxes[0, 0] = -0.0
    names = ("a.png", "ohne Farbe/ü.png", "\udc80.png", "")
    table = DetectionTable(
        np.array([1, 1, 1 << 40], np.int64), np.array([0, 5, 2], np.int32), boxes,
        np.array([0.5, np.nan, 1e-45], np.float32), names, 1.25,
    )  # fmt: skip
    empty = DetectionTable.from_detections([], [])
    for sent in (table, empty):
        got = from_bytes(to_bytes(sent))
        for column in ("image_ids", "class_ids", "boxes", "scores"):
            ours, theirs = getattr(got, column), getattr(sent, column)
            assert (ours.dtype, ours.shape) == (theirs.dtype, theirs.shape)
            assert ours.tobytes() == theirs.tobytes()
        assert (got.unreadable, got.seconds) == (sent.unreadable, sent.seconds)


def test_what_another_process_sends_is_never_run():
    """A pickle may hold any program: the bytes of a peer are arrays or an error."""
    with pytest.raises(ValueError, match="pickle"):
        from_bytes(pickle.dumps(DetectionTable.from_detections([], [])))
    file = io.BytesIO()
    np.savez(file, image_ids=np.array([print], object))
    with pytest.raises(ValueError, match="pickle"):
        from_bytes(file.getvalue())


class Stop:
    """A signal that has come."""

    requested = True

    def check(self) -> None:
        raise SystemExit(143)


def test_a_signal_leaves_it_after_one_image(validation):
    group = OneOf(0, 2)
    stopped = validation(group)
    stopped.stop = Stop()
    with pytest.raises(SystemExit):
        stopped.evaluate()
    assert stopped.last is None and group.said == []


def test_images_of_which_none_can_be_read_are_an_error_and_no_picture(
    validation, shapes_dir, tmp_path
):
    shutil.copytree(shapes_dir, tmp_path / "data")
    for file in (tmp_path / "data" / "val2017").iterdir():
        file.write_bytes(b"no image")
    unreadable = validation(data_dir=tmp_path / "data")
    with pytest.raises(DatasetError, match="none of the 12 validation images can be read"):
        unreadable.evaluate()
    assert unreadable.picture() is None


def test_a_picture_is_of_six_images(validation):
    picture = validation().picture()
    assert picture is not None and picture.ndim == 3 and picture.dtype == np.uint8

"""What the network should put out for an image's truths."""

import numpy as np
import pytest

from mindssd.data.targets import Targets
from mindssd.geometry.coding import decode
from mindssd.geometry.default_boxes import PaperDefaultBoxes
from tests.default_boxes import default_boxes_at

LEFT_AND_RIGHT = default_boxes_at(
    np.array([[0.25, 0.5, 0.5, 1.0], [0.75, 0.5, 0.5, 1.0]], np.float32)
)


def test_a_truth_that_fits_a_default_box_gives_it_its_label_and_offsets_of_zero() -> None:
    offsets, labels = Targets(LEFT_AND_RIGHT)(
        np.array([[50, 0, 100, 80]], np.float32), np.array([3], np.int32), (80, 100)
    )
    assert labels.tolist() == [0, 3]
    assert offsets.tolist() == [[0, 0, 0, 0], [0, 0, 0, 0]]


def test_offsets_are_vertical_first_and_divided_by_the_variances() -> None:
    # The truth lies 5 of 100 pixels right of the default box, 8 of 80 below, and is half as wide.
    offsets, labels = Targets(LEFT_AND_RIGHT, variances=(0.1, 0.2))(
        np.array([[17.5, 8, 42.5, 88]], np.float32), np.array([1], np.int32), (80, 100)
    )
    assert labels.tolist() == [1, 0]
    expected = [0.1 / 1 / 0.1, 0.05 / 0.5 / 0.1, 0, np.log(0.5) / 0.2]
    assert offsets[0].tolist() == pytest.approx(expected, abs=1e-5)


def test_without_truths_everything_is_background() -> None:
    offsets, labels = Targets(LEFT_AND_RIGHT)(
        np.zeros((0, 4), np.float32), np.zeros(0, np.int32), (80, 100)
    )
    assert (offsets.shape, offsets.dtype) == ((2, 4), np.float32)
    assert labels.tolist() == [0, 0] and labels.dtype == np.int32


def test_decoding_the_targets_gives_the_truths_back() -> None:
    default_boxes = PaperDefaultBoxes().generate((300, 300), [(10, 10), (5, 5), (3, 3)])
    boxes = np.array([[30, 60, 120, 210], [200, 10, 260, 90]], np.float32)
    offsets, labels = Targets(default_boxes)(boxes, np.array([1, 2], np.int32), (300, 300))
    decoded = decode(offsets, default_boxes.boxes_cxcywh, (0.1, 0.2)) * 300
    for box, label in zip(boxes, (1, 2), strict=True):
        assert (labels == label).any()
        assert np.abs(decoded[labels == label] - box).max() < 1e-2

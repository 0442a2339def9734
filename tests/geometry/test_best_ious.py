"""The best IoU of each truth is that of the whole comparison, at a fraction of its work."""

import numpy as np
import pytest

from mindssd.geometry.boxes import pairwise_iou
from mindssd.geometry.default_boxes import GridDefaultBoxes, PaperDefaultBoxes
from mindssd.geometry.reach import best_ious

TWO_CELLS = GridDefaultBoxes(scale=1.0, scales_per_octave=1, aspect_ratios=(1.0,)).generate(
    (32, 64), [(1, 2)]
)
"""Two squares of 32 pixels, side by side."""


def test_four_truths_worked_by_hand():
    truths = np.array(
        [
            [0, 0, 0.5, 1],  # the first square itself
            [0.25, 0, 0.75, 1],  # half of each: 1/2 of 3/2
            [0.5, 0, 0.75, 0.5],  # a quarter of the second
            [0, 0, 1, 1],  # both
        ]
    )
    assert np.allclose(best_ious(truths, TWO_CELLS), [1, 1 / 3, 1 / 4, 1 / 2])


@pytest.mark.parametrize(
    "default_boxes",
    [
        PaperDefaultBoxes().generate((300, 300), [(19, 19), (10, 10), (5, 5), (3, 3), (1, 1)]),
        GridDefaultBoxes().generate((160, 224), [(20, 28), (10, 14), (5, 7)]),
    ],
    ids=["paper", "grid"],
)
def test_it_is_the_highest_iou_with_all_of_them(default_boxes):
    rng = np.random.default_rng(0)
    centre, half = rng.uniform(-0.1, 1.1, (500, 2)), rng.uniform(0.005, 0.5, (500, 2))
    truths = np.concatenate([centre - half, centre + half], axis=1).astype(np.float32)
    expected = pairwise_iou(truths, default_boxes.boxes).max(axis=1)
    assert np.allclose(best_ious(truths, default_boxes), expected, atol=1e-6)


def test_a_truth_without_area_or_number_has_none_and_no_truths_give_nothing():
    nothing = np.array([[0.5, 0.5, 0.5, 0.7], [0.6, 0.2, 0.5, 0.7], [0, 0, np.nan, 1]])
    assert best_ious(nothing, TWO_CELLS).tolist() == [0, 0, 0]
    assert best_ious(np.zeros((0, 4)), TWO_CELLS).shape == (0,)

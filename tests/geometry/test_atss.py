"""Which default box answers for which truth where each truth sets its own threshold."""

import math

import numpy as np
import pytest

from mindssd.geometry.atss import match_adaptively
from mindssd.geometry.boxes import cxcywh_to_xyxy, pairwise_iou
from mindssd.geometry.default_boxes import DefaultBoxes, GridDefaultBoxes

# Four cells in a row over 64 × 16 pixels, each with a box of its own size.
ROW = GridDefaultBoxes(1.0, 1, (1.0,)).generate((16, 64), [(1, 4)])
GRIDS = [(38, 38), (19, 19), (10, 10), (5, 5), (3, 3)]


def truths(*boxes: tuple[float, float, float, float]) -> np.ndarray:
    return np.array(boxes, np.float32).reshape(-1, 4)


def grid_boxes(num_shapes: int = 1) -> DefaultBoxes:
    return GridDefaultBoxes(4.0, num_shapes, (1.0,)).generate((300, 300), GRIDS)


def random_truths(num_truths: int, seed: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    centres_sizes = [rng.uniform(0, 1, (num_truths, 2)), rng.uniform(0.01, 0.7, (num_truths, 2))]
    return cxcywh_to_xyxy(np.concatenate(centres_sizes, axis=1)).clip(0, 1).astype(np.float32)


def match_one_by_one(boxes: np.ndarray, default_boxes: DefaultBoxes, num_cells: int) -> np.ndarray:
    """The rule, read aloud."""
    matched = np.full(len(default_boxes), -1)
    strongest = np.zeros(len(default_boxes))
    boxes_of = default_boxes.boxes
    for index, box in enumerate(boxes):
        centre = (box[:2].astype(np.float64) + box[2:]) / 2
        candidates: list[int] = []
        away: list[float] = []
        first = 0
        for cells, per_cell in zip(default_boxes.cells, default_boxes.num_per_cell, strict=True):
            distance = (((centre - cells.centres) / cells.step) ** 2).sum(axis=1)
            limit = np.sort(distance)[min(num_cells, len(distance)) - 1]
            for cell in np.flatnonzero(distance <= limit + 1e-5):
                candidates += range(first + cell * per_cell, first + (cell + 1) * per_cell)
                away += [distance[cell]] * per_cell
            first += len(distance) * per_cell
        iou = pairwise_iou(*(x.astype(np.float64) for x in (box[None], boxes_of[candidates])))[0]
        middle = default_boxes.boxes_cxcywh[candidates, :2]
        within = ((middle > box[:2]) & (middle < box[2:])).all(axis=1)
        rank = np.where(iou > 0, iou + within, -1).round(6)
        best = min(range(len(iou)), key=lambda position: (-rank[position], away[position]))
        chosen = within & (iou >= iou.mean() + iou.std() - 1e-6)
        for position, default_box in enumerate(candidates):
            strength = 2.0 if position == best else iou[position]
            wanted = (chosen[position] or position == best) and iou[position] > 0
            if wanted and strength > strongest[default_box] + 1e-9:
                matched[default_box], strongest[default_box] = index, strength
    return matched


def test_the_threshold_is_the_mean_and_the_deviation_of_the_candidates_ious():
    # Pixels 0 to 28 of the row, centre 14: the nearest three cells are those of centre 8, 24, 40,
    # with IoUs 16/28, 12/32 and 0. Mean 0.3155, deviation 0.2371, threshold 0.5526.
    ious = [16 / 28, 12 / 32, 0]
    threshold = np.mean(ious) + math.sqrt(np.var(ious))
    assert ious[1] < threshold < ious[0]
    assert match_adaptively(truths((0, 0, 28 / 64, 1)), ROW, 3).tolist() == [0, -1, -1, -1]
    # Of the nearest two alone: mean 0.4732, deviation 0.0982, threshold 0.5714 = the first.
    assert match_adaptively(truths((0, 0, 28 / 64, 1)), ROW, 2).tolist() == [0, -1, -1, -1]


def test_a_candidate_whose_centre_lies_outside_the_truth_is_background():
    # Pixels 20 to 44 and centre 32: the cells of centre 24 and 40 both lie within. With 25 to 50
    # the first no longer does, though its IoU is among the highest.
    assert match_adaptively(truths((20 / 64, 0, 44 / 64, 1)), ROW, 4).tolist() == [-1, 0, 0, -1]
    assert match_adaptively(truths((25 / 64, 0, 50 / 64, 1)), ROW, 4).tolist() == [-1, -1, 0, -1]


def test_cells_as_near_as_the_last_are_candidates_too():
    # The middle of the row: two nearest cells on each side, alike.
    middle = truths((16 / 64, 0, 48 / 64, 1))
    assert match_adaptively(middle, ROW, 1).tolist() == [-1, 0, 0, -1]


def test_a_truth_that_holds_no_centre_keeps_its_best_candidate():
    # Pixels 10 to 14: no centre lies within. The first box alone overlaps.
    assert match_adaptively(truths((10 / 64, 0, 14 / 64, 0.2)), ROW, 4).tolist() == [0, -1, -1, -1]


def test_a_truth_that_several_candidates_enclose_keeps_the_nearest_one():
    # Boxes of four cells: a speck at pixels 36 to 38 lies in the boxes of the cells 2 to 4 alike.
    wide = GridDefaultBoxes(4.0, 1, (1.0,)).generate((16, 64), [(1, 4)])
    assert match_adaptively(truths((36 / 64, 0.4, 38 / 64, 0.5)), wide, 4).tolist() == [
        -1,
        -1,
        0,
        -1,
    ]


def test_of_two_truths_the_one_of_higher_iou_has_the_candidate_but_each_keeps_its_best():
    wide, narrow = (0, 0, 32 / 64, 1), (0, 0, 20 / 64, 1)
    # The narrow one's best is the first box, IoU 0.8; the wide one's the first as well (0.5, a
    # tie with the second), but it came first.
    assert match_adaptively(truths(wide, narrow), ROW, 4).tolist() == [0, 0, -1, -1]
    assert match_adaptively(truths(narrow, wide), ROW, 4).tolist() == [0, 1, -1, -1]


@pytest.mark.parametrize("num_shapes", [1, 2])
@pytest.mark.parametrize("num_cells", [1, 9, 5000])
def test_it_is_the_rule_read_aloud(num_shapes, num_cells):
    default_boxes, boxes = grid_boxes(num_shapes), random_truths(20, seed=num_cells)
    expected = match_one_by_one(boxes, default_boxes, num_cells)
    np.testing.assert_array_equal(match_adaptively(boxes, default_boxes, num_cells), expected)


@pytest.mark.parametrize("num_truths", [1, 3, 300])
def test_a_truth_has_a_default_box_unless_it_shares_its_best_one(num_truths):
    boxes = random_truths(num_truths, seed=1)
    matched = match_adaptively(boxes, grid_boxes())
    found = len(np.unique(matched[matched >= 0]))
    # Of hundreds of large truths many have the same best one of the few large default boxes.
    assert found == num_truths if num_truths < 10 else found > 0.7 * num_truths


def test_candidates_are_counted_in_cells_whatever_stands_at_each():
    """With the same shape twice at each cell both are what the one was, but for the best."""
    once = GridDefaultBoxes(4.0, 1, (1.0,)).generate((300, 300), GRIDS)
    twice = GridDefaultBoxes(4.0, 1, (1.0, 1.0)).generate((300, 300), GRIDS)
    boxes = truths((0.2, 0.2, 0.6, 0.6), (0.7, 0.1, 0.9, 0.4))
    pairs = match_adaptively(boxes, twice).reshape(-1, 2)
    np.testing.assert_array_equal(pairs[:, 0], match_adaptively(boxes, once))
    np.testing.assert_array_equal(pairs[:, 0], pairs[:, 1])


def test_distance_counts_in_pixels_on_an_image_that_is_not_square():
    """200 × 400 pixels: 0.1 of the width is as far as 0.2 of the height."""
    default_boxes = GridDefaultBoxes(4.0, 1, (1.0,)).generate((200, 400), [(25, 50)])
    # A square of 64 pixels around a cell's centre, so that all is symmetric.
    cx, cy = default_boxes.boxes_cxcywh[12 * 50 + 25, :2]
    box = truths((cx - 32 / 400, cy - 32 / 200, cx + 32 / 400, cy + 32 / 200))
    positive = (match_adaptively(box, default_boxes, 9) >= 0).reshape(25, 50)
    rows, columns = np.nonzero(positive)
    assert np.ptp(rows) == np.ptp(columns)


@pytest.mark.parametrize(
    "boxes",
    [
        truths(),
        truths((0.5, 0.5, 0.5, 0.9)),
        truths((0.6, 0.5, 0.4, 0.9)),
        truths((float("nan"), 0, 1, 1)),
        truths((0, 0, float("inf"), 1)),
        truths((3, 3, 4, 4)),
    ],
    ids=["none", "no width", "inverted", "not a number", "infinite", "outside"],
)
def test_what_is_no_truth_in_the_image_has_no_default_box(boxes):
    assert (match_adaptively(boxes, grid_boxes()) == -1).all()


def test_a_bad_truth_among_good_ones_changes_nothing_for_them():
    good = random_truths(3, seed=5)
    bad = truths((0.5, 0.5, 0.5, 0.9))
    alone = match_adaptively(good, grid_boxes())
    together = match_adaptively(np.concatenate([bad, good]), grid_boxes())
    np.testing.assert_array_equal(together, np.where(alone >= 0, alone + 1, -1))


def test_the_result_is_int32_of_every_default_box():
    matched = match_adaptively(truths((0.1, 0.1, 0.5, 0.5)), grid_boxes())
    assert (matched.shape, matched.dtype) == ((len(grid_boxes()),), np.int32)

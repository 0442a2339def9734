"""Areas, overlaps, clipping and conversions, worked by hand and then as properties."""

import numpy as np
import pytest

from mindssd.geometry.boxes import (
    area,
    clip,
    cxcywh_to_xyxy,
    pairwise_cover,
    pairwise_iou,
    pixels_to_unit,
    unit_to_pixels,
    xyxy_to_cxcywh,
)

NO_BOXES = np.zeros((0, 4), np.float32)


def random_boxes(num_boxes: int, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    corner = rng.uniform(0, 80, (num_boxes, 2))
    return np.concatenate([corner, corner + rng.uniform(1, 40, (num_boxes, 2))], axis=1)


def test_area_is_width_times_height():
    boxes = np.array([[1.0, 2.0, 4.0, 4.0], [0.0, 0.0, 10.0, 1.0]])
    assert area(boxes).tolist() == [6.0, 10.0]


def test_an_inverted_box_has_no_area():
    # Inverted in both directions too: -3 times -2 is not 6.
    boxes = np.array([[4.0, 2.0, 1.0, 4.0], [4.0, 4.0, 1.0, 2.0]])
    assert area(boxes).tolist() == [0.0, 0.0]


def test_iou_of_boxes_that_share_half():
    boxes = np.array([[0.0, 0.0, 2.0, 2.0]])
    others = np.array(
        [
            [0.0, 0.0, 2.0, 2.0],  # itself
            [1.0, 0.0, 3.0, 2.0],  # shares 2 of 4 + 4 - 2
            [1.0, 1.0, 3.0, 3.0],  # shares 1 of 4 + 4 - 1
            [2.0, 0.0, 4.0, 2.0],  # shares an edge
        ]
    )
    np.testing.assert_allclose(pairwise_iou(boxes, others), [[1, 1 / 3, 1 / 7, 0]])


def test_iou_is_symmetric_and_one_with_itself():
    boxes = random_boxes(30)
    iou = pairwise_iou(boxes, boxes)
    np.testing.assert_allclose(iou, iou.T)
    np.testing.assert_allclose(np.diag(iou), 1)
    assert iou.min() >= 0


def test_iou_does_not_depend_on_the_unit():
    boxes, others = random_boxes(20, seed=1), random_boxes(10, seed=2)
    scaled = pairwise_iou(pixels_to_unit(boxes, (50, 200)), pixels_to_unit(others, (50, 200)))
    np.testing.assert_allclose(scaled, pairwise_iou(boxes, others))


def test_boxes_without_area_have_iou_zero_even_with_themselves():
    point = np.array([[3.0, 3.0, 3.0, 3.0]])
    assert pairwise_iou(point, point).tolist() == [[0.0]]


def test_no_boxes_on_either_side_give_an_empty_iou():
    boxes = random_boxes(3)
    assert pairwise_iou(NO_BOXES, boxes).shape == (0, 3)
    assert pairwise_iou(boxes, NO_BOXES).shape == (3, 0)


def test_clip_moves_corners_onto_the_edge():
    boxes = np.array([[-5.0, 2.0, 30.0, 8.0], [21.0, 0.0, 25.0, 5.0]])
    # An image 10 high and 20 wide; the second box lies outside and keeps no area.
    assert clip(boxes, (10, 20)).tolist() == [[0, 2, 20, 8], [20, 0, 20, 5]]


def test_centre_and_size_of_a_box():
    assert xyxy_to_cxcywh(np.array([[1.0, 2.0, 4.0, 8.0]])).tolist() == [[2.5, 5.0, 3.0, 6.0]]


@pytest.mark.parametrize("boxes", [random_boxes(50), NO_BOXES])
def test_conversions_are_inverse_pairs(boxes):
    np.testing.assert_allclose(cxcywh_to_xyxy(xyxy_to_cxcywh(boxes)), boxes)
    np.testing.assert_allclose(unit_to_pixels(pixels_to_unit(boxes, (7, 9)), (7, 9)), boxes)


def test_a_unit_box_in_pixels_takes_x_from_the_width():
    assert unit_to_pixels(np.array([[0.5, 0.5, 1.0, 1.0]]), (10, 20)).tolist() == [[10, 5, 20, 10]]


@pytest.mark.parametrize("function", [area, xyxy_to_cxcywh, cxcywh_to_xyxy])
def test_float32_stays_float32(function):
    assert function(random_boxes(2).astype(np.float32)).dtype == np.float32


def test_how_much_of_a_box_others_cover():
    boxes = np.array([[0, 0, 4, 2], [1, 1, 1, 3]], np.float32)
    others = np.array([[2, 0, 8, 8], [0, 0, 4, 2], [9, 9, 10, 10]], np.float32)
    assert pairwise_cover(boxes, others).tolist() == [[0.5, 1, 0], [0, 0, 0]]
    assert pairwise_cover(boxes, others[:0]).shape == (2, 0)

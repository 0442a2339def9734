"""Random changes of an image: the boxes must stay on what they frame."""

from dataclasses import replace

import numpy as np
import pytest

from mindssd.data.augment import (
    Augmentation,
    adjust_brightness,
    adjust_contrast,
    adjust_saturation,
    augment,
    flip,
    flip_vertically,
    jitter_colour,
    min_iou_crop,
    render,
    rotate,
    scale_window,
    truths_in_window,
    zoom_out,
)
from mindssd.types import Array

GREY = (128.0, 128.0, 128.0)
STILL = Augmentation(crop_probability=0, flip_probability=0, colour_probability=0)


def boxes_of(*boxes: tuple[float, float, float, float]) -> Array:
    return np.array(boxes, np.float32).reshape(-1, 4)


def scene(height: int, width: int, boxes: Array) -> Array:
    """Draw a black image with a white rectangle where each box is."""
    image = np.zeros((height, width, 3), np.uint8)
    for x1, y1, x2, y2 in boxes.astype(int):
        image[y1:y2, x1:x2] = 255
    return image


def bounds(image: Array) -> list[int]:
    """Find the box around all that is brighter than half, of all three channels."""
    rows, columns = np.nonzero((image > 160).all(axis=2))
    return [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]


def test_flips_mirror_the_box_with_the_picture() -> None:
    boxes = boxes_of((2, 3, 5, 9))
    image = scene(20, 10, boxes)
    flipped, flipped_boxes = flip(image, boxes)
    assert flipped_boxes.tolist() == [[5, 3, 8, 9]] == [bounds(flipped)]
    flipped, flipped_boxes = flip_vertically(image, boxes)
    assert flipped_boxes.tolist() == [[2, 11, 5, 17]] == [bounds(flipped)]


@pytest.mark.parametrize(
    ("turns", "expected"), [(1, [11, 2, 17, 5]), (2, [5, 11, 8, 17]), (3, [3, 5, 9, 8])]
)
def test_quarter_turns_take_the_box_with_them(turns: int, expected: list[int]) -> None:
    boxes = boxes_of((2, 3, 5, 9))
    turned, turned_boxes = rotate(scene(20, 10, boxes), boxes, turns)
    assert turned_boxes.tolist() == [expected] == [bounds(turned)]


def test_two_flips_and_four_quarter_turns_change_nothing() -> None:
    boxes = boxes_of((2, 3, 5, 9))
    image = scene(20, 10, boxes)
    for change in (flip, flip_vertically):
        again, boxes_again = change(*change(image, boxes))
        assert (again == image).all() and (boxes_again == boxes).all()
    again, boxes_again = rotate(*rotate(image, boxes, 1), 3)
    assert (again == image).all() and (boxes_again == boxes).all()


def test_rendering_a_part_of_the_image_scales_its_boxes() -> None:
    boxes = boxes_of((20, 30, 40, 40))
    image, scaled = render(scene(60, 80, boxes), boxes, (10, 20, 50, 60), (80, 80), GREY)
    # Twice as large, from the corner (10, 20).
    assert scaled.tolist() == [[20, 20, 60, 40]]
    assert np.abs(np.array(bounds(image)) - scaled[0]).max() <= 1


def test_rendering_beyond_the_image_fills_with_the_colour_given() -> None:
    boxes = boxes_of((0, 0, 40, 20))
    image, scaled = render(scene(20, 40, boxes), boxes, (-40, -20, 40, 20), (40, 80), (10, 20, 30))
    assert image.shape == (40, 80, 3)
    assert image[0, 0].tolist() == [10, 20, 30]
    assert scaled.tolist() == [[40, 20, 80, 40]] == [bounds(image)]


def test_rendering_beside_the_image_gives_background() -> None:
    image, boxes = render(scene(9, 9, boxes_of()), boxes_of(), (20, 0, 30, 9), (5, 5), GREY)
    assert (image == 128).all() and boxes.shape == (0, 4)


def test_a_truth_stays_if_its_centre_does_and_is_clipped() -> None:
    boxes = boxes_of((0, 0, 10, 10), (0, 0, 20, 20), (50, 50, 60, 60))
    kept, labels = truths_in_window(boxes, np.array([1, 2, 3]), (6, 6, 40, 40))
    assert kept.tolist() == [[6, 6, 20, 20]]
    assert labels.tolist() == [2]


def test_a_crop_holds_a_centre_and_keeps_its_scale_and_aspect() -> None:
    boxes = boxes_of((30, 30, 60, 60), (70, 10, 90, 30))
    rng = np.random.default_rng(0)
    crops = {min_iou_crop((0, 0, 100, 80), boxes, Augmentation(), rng) for _ in range(200)}
    assert len(crops) > 150
    for x1, y1, x2, y2 in crops - {(0, 0, 100, 80)}:
        assert 0 <= x1 < x2 <= 100 and 0 <= y1 < y2 <= 80
        assert x2 - x1 >= 29 and y2 - y1 >= 23  # 0.3 of the sides, in whole pixels
        assert 0.45 < (y2 - y1) / (x2 - x1) < 2.1
        assert len(truths_in_window(boxes, np.array([1, 2]), (x1, y1, x2, y2))[0])


def test_a_crop_with_a_high_minimum_does_not_cut_a_large_truth_beside_a_well_shown_one() -> None:
    # What shows the large truth with more than 0.7 + 0.2 may overlap no other by less than 0.7.
    boxes = boxes_of((0, 0, 90, 100), (90, 0, 100, 100))
    augmentation = replace(Augmentation(), crop_min_ious=(0.7,))
    rng = np.random.default_rng(0)
    for _ in range(100):
        x1, y1, x2, y2 = min_iou_crop((0, 0, 100, 100), boxes, augmentation, rng)
        if (x1, y1, x2, y2) == (0, 0, 100, 100):
            continue
        overlap = (min(x2, 90) - x1) * (y2 - y1)
        iou = overlap / (9000 + (x2 - x1) * (y2 - y1) - overlap)
        assert iou <= 0.9 or x2 <= 90


def test_a_crop_of_background_needs_no_truth() -> None:
    crop = min_iou_crop((0, 0, 100, 80), boxes_of(), Augmentation(), np.random.default_rng(0))
    assert crop != (0, 0, 100, 80)


def test_without_a_successful_trial_the_image_stays_whole() -> None:
    impossible = replace(Augmentation(), crop_aspect=(9.0, 10.0))
    crop = min_iou_crop((0, 0, 50, 50), boxes_of(), impossible, np.random.default_rng(0))
    assert crop == (0, 0, 50, 50)


def test_zooming_out_surrounds_the_image() -> None:
    rng = np.random.default_rng(0)
    for _ in range(50):
        x1, y1, x2, y2 = zoom_out((0, 0, 100, 80), 4.0, rng)
        assert x1 <= 0 and y1 <= 0 and x2 >= 100 and y2 >= 80
        assert x2 - x1 <= 400 and y2 - y1 <= 320


def test_scaling_by_two_shows_half_of_each_side() -> None:
    x1, y1, x2, y2 = scale_window((0, 0, 100, 80), 2.0, np.random.default_rng(0))
    assert (x2 - x1, y2 - y1) == (50, 40)
    assert x1 >= 0 and y1 >= 0 and x2 <= 100 and y2 <= 80


def test_colour_factors_of_one_change_nothing_and_others_do_what_they_say() -> None:
    image = np.array([[[200, 100, 50], [40, 40, 40]]], np.uint8)
    for adjust in (adjust_brightness, adjust_contrast, adjust_saturation):
        assert (adjust(image, 1) == image).all()
    assert adjust_brightness(image, 0.5).tolist() == [[[100, 50, 25], [20, 20, 20]]]
    assert adjust_brightness(image, 2).tolist() == [[[255, 200, 100], [80, 80, 80]]]
    # Grey is 0.299 R + 0.587 G + 0.114 B = 124.2, the mean of both pixels 82.
    assert adjust_contrast(image, 0).tolist() == [[[82] * 3, [82] * 3]]
    assert adjust_contrast(image, 2).tolist() == [[[255, 118, 18], [0, 0, 0]]]
    assert adjust_saturation(image, 0).tolist() == [[[124] * 3, [40] * 3]]


class StrongestInOrder:
    """Stands in for a random generator: the highest factors, in a given order."""

    def __init__(self, *order: int) -> None:
        self.order = order

    def permutation(self, count: int) -> tuple[int, ...]:
        return self.order

    def uniform(self, low: float, high: float) -> float:
        return high


def test_colours_are_limited_after_each_change_so_their_order_counts() -> None:
    image = np.array([[[150] * 3, [50] * 3]], np.uint8)
    strong = Augmentation(brightness=1, contrast=1, saturation=1)
    # Twice as bright 255 and 100, of mean 177.5, and their distances doubled.
    brightness_first = jitter_colour(image, strong, StrongestInOrder(0, 1, 2))
    assert brightness_first[0, :, 0].tolist() == [255, 22]
    contrast_first = jitter_colour(image, strong, StrongestInOrder(1, 0, 2))
    assert contrast_first[0, :, 0].tolist() == [255, 0]


@pytest.mark.parametrize("seed", range(20))
def test_the_boxes_frame_the_same_things_after_everything(seed: int) -> None:
    everything = Augmentation(
        zoom_out_probability=0.5,
        scale_jitter_probability=0.5,
        vertical_flip_probability=0.5,
        rotate_probability=0.5,
        colour_probability=0,
    )
    boxes = boxes_of((40, 30, 120, 110))
    image, new_boxes, labels = augment(
        scene(150, 200, boxes), boxes, np.array([3]), (120, 160), everything, (0, 0, 0),
        np.random.default_rng(seed),
    )  # fmt: skip
    assert image.shape == (120, 160, 3)
    assert labels.tolist() == [3]
    assert np.abs(np.array(bounds(image)) - new_boxes[0]).max() <= 2


def test_augmentation_keeps_to_the_image_and_float32() -> None:
    rng = np.random.default_rng(0)
    corners = rng.uniform(0, 80, (20, 2))
    boxes = np.concatenate([corners, corners + rng.uniform(1, 20, (20, 2))], 1).astype(np.float32)
    photograph = rng.integers(0, 256, (100, 100, 3), dtype=np.uint8)
    options = Augmentation(zoom_out_probability=0.5, rotate_probability=0.5)
    for _ in range(50):
        image, new_boxes, labels = augment(
            photograph, boxes, np.arange(20), (64, 48), options, GREY, rng
        )
        assert image.shape == (64, 48, 3) and image.dtype == np.uint8
        assert new_boxes.dtype == np.float32 and len(new_boxes) == len(labels) > 0
        assert (new_boxes >= -1e-3).all() and (new_boxes <= [48.001, 64.001] * 2).all()
        assert (new_boxes[:, 2:] > new_boxes[:, :2]).all()


def test_augmentation_without_anything_only_resizes() -> None:
    boxes = boxes_of((10, 10, 20, 30))
    image, new_boxes, _ = augment(
        scene(40, 40, boxes), boxes, np.array([1]), (80, 20), STILL, GREY, np.random.default_rng(0)
    )
    assert image.shape == (80, 20, 3)
    assert new_boxes.tolist() == [[5, 20, 10, 60]]


def test_augmentation_of_background_gives_background() -> None:
    options = Augmentation(zoom_out_probability=1, scale_jitter_probability=1)
    for seed in range(20):
        image, boxes, labels = augment(
            scene(40, 40, boxes_of()), boxes_of(), np.zeros(0, np.int32), (30, 30), options, GREY,
            np.random.default_rng(seed),
        )  # fmt: skip
        assert image.shape == (30, 30, 3) and boxes.shape == (0, 4) and labels.shape == (0,)

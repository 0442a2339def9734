"""Random changes of an image: the boxes must stay on what they frame."""

from dataclasses import replace

import numpy as np
import pytest

from mindssd.data.augment import (
    Augmentation,
    augment,
    flip,
    flip_vertically,
    happens,
    min_iou_crop,
    rotate,
)
from mindssd.data.windows import truths_in_window
from tests.data.scenes import GREY, bounds, boxes_of, scene

STILL = Augmentation(crop_probability=0, flip_probability=0, colour_probability=0)


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


def test_what_never_happens_draws_no_number() -> None:
    rng, untouched = np.random.default_rng(0), np.random.default_rng(0)
    assert not happens(0.0, rng) and rng.random() == untouched.random()
    assert happens(1.0, rng)


EVERYTHING_OF_BEFORE = Augmentation(
    zoom_out_probability=0.5,
    scale_jitter_probability=0.5,
    vertical_flip_probability=0.5,
    rotate_probability=0.5,
)


@pytest.mark.parametrize(
    ("augmentation", "number", "expected", "next_draw"),
    [
        (Augmentation(), 0, [17.067, 0, 64, 52.513], 803872),
        (Augmentation(), 1, [20.8, 24.348, 52.8, 59.13], 198317),
        (Augmentation(), 2, [0, 13.395, 51.478, 64], 976635),
        (EVERYTHING_OF_BEFORE, 0, [17.067, 11.487, 64, 64], 803872),
        (EVERYTHING_OF_BEFORE, 1, [24.348, 20.8, 59.13, 52.8], 198317),
        (EVERYTHING_OF_BEFORE, 2, [8.205, 13.714, 64, 64], 498668),
    ],
)
def test_what_is_off_leaves_samples_and_draws_as_before_it_came(
    augmentation: Augmentation, number: int, expected: list[float], next_draw: int
) -> None:
    """The figures are of the version before hue, blur, mosaic and pasting."""
    boxes = boxes_of((10, 20, 60, 70), (50, 40, 90, 90))
    image, rng = np.full((100, 120, 3), 90, np.uint8), np.random.default_rng((0, 1, number))
    _, (box,), _ = augment(image, boxes, np.array([1, 2]), (64, 64), augmentation, (1, 2, 3), rng)
    assert np.abs(box - expected).max() < 1e-3
    assert rng.integers(10**6) == next_draw


@pytest.mark.parametrize("seed", range(10))
@pytest.mark.parametrize("num_truths", [0, 1, 300])
def test_wide_scale_jitter_after_a_wide_zoom_keeps_a_truth_and_its_place(
    seed: int, num_truths: int
) -> None:
    wide = Augmentation(
        crop_probability=0.5,
        zoom_out_probability=0.5,
        scale_jitter_probability=1,
        scale_jitter=(0.5, 2.0),
        flip_probability=0.5,
        colour_probability=0,
    )
    rng = np.random.default_rng(seed)
    corners = rng.integers(0, (150, 110), (num_truths, 2))
    boxes = np.concatenate([corners, corners + rng.integers(10, 40, (num_truths, 2))], 1)
    boxes = boxes.astype(np.float32)
    image, new_boxes, labels = augment(
        scene(150, 200, boxes), boxes, np.arange(num_truths), (120, 160), wide, (0, 0, 0), rng
    )
    assert image.shape == (120, 160, 3)
    assert len(new_boxes) == len(labels) >= min(num_truths, 1)
    assert (new_boxes >= -1e-3).all() and (new_boxes <= [160.001, 120.001] * 2).all()
    if num_truths == 1:
        assert np.abs(np.array(bounds(image)) - new_boxes[0]).max() <= 3


def test_the_range_of_the_scale_jitter_is_seen() -> None:
    """A truth in the middle is shown at half to twice its size, and no more."""
    wide = replace(STILL, scale_jitter_probability=1, scale_jitter=(0.5, 2.0))
    boxes = boxes_of((95, 95, 105, 105))
    sides = []
    for seed in range(200):
        _, (box,), _ = augment(
            scene(200, 200, boxes), boxes, np.array([1]), (200, 200), wide, GREY,
            np.random.default_rng(seed),
        )  # fmt: skip
        if (box > 0).all() and (box < 200).all():  # not clipped
            sides.append(box[2] - box[0])
    assert 4.8 <= min(sides) < 6 and 16 < max(sides) <= 20.2


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

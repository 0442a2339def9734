"""Random colours and sharpness: what each change does to a pixel."""

import cv2
import numpy as np
import pytest

from mindssd.data.augment import Augmentation, augment
from mindssd.data.colour import (
    adjust_brightness,
    adjust_contrast,
    adjust_hue,
    adjust_saturation,
    blur,
    jitter_colour,
)
from tests.data.scenes import GREY, boxes_of


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
    strong = (1.0, 1.0, 1.0)
    # Twice as bright 255 and 100, of mean 177.5, and their distances doubled.
    brightness_first = jitter_colour(image, StrongestInOrder(0, 1, 2), *strong)
    assert brightness_first[0, :, 0].tolist() == [255, 22]
    contrast_first = jitter_colour(image, StrongestInOrder(1, 0, 2), *strong)
    assert contrast_first[0, :, 0].tolist() == [255, 0]


def test_a_third_of_the_circle_makes_green_of_red_and_leaves_grey() -> None:
    image = np.array([[[255, 0, 0], [0, 255, 0], [200, 100, 100], [90, 90, 90]]], np.uint8)
    turned = adjust_hue(image, 1 / 3).astype(int)
    expected = [[[0, 255, 0], [0, 0, 255], [100, 200, 100], [90, 90, 90]]]
    assert np.abs(turned - expected).max() <= 6  # 8 bits of hue
    assert np.abs(adjust_hue(image, -2 / 3).astype(int) - turned).max() <= 6


def test_a_hue_turned_by_nothing_or_the_whole_circle_changes_nothing() -> None:
    image = np.random.default_rng(0).integers(0, 256, (9, 9, 3), dtype=np.uint8)
    assert (adjust_hue(image, 0) == image).all() and (adjust_hue(image, 1) == image).all()


def test_a_hue_leaves_the_brightest_channel_as_bright() -> None:
    image = np.random.default_rng(0).integers(0, 256, (9, 9, 3), dtype=np.uint8)
    for turn in (-0.5, 0.1, 0.5):
        assert (adjust_hue(image, turn).max(axis=2) == image.max(axis=2)).all()


def test_hue_is_one_of_four_changes_and_without_it_there_are_three() -> None:
    image = np.full((2, 2, 3), (200, 20, 20), np.uint8)
    assert jitter_colour(image, StrongestInOrder(0, 1, 2), 0, 0, 0).tolist() == image.tolist()
    turned = jitter_colour(image, StrongestInOrder(0, 1, 2, 3), 0, 0, 0, hue=0.5)
    assert np.abs(turned[0, 0].astype(int) - (20, 200, 200)).max() <= 6
    with_hue, without = np.random.default_rng(0), np.random.default_rng(0)
    jitter_colour(image, with_hue, 0.4, 0.4, 0.4, hue=0.1)
    jitter_colour(image, without, 0.4, 0.4, 0.4)
    assert with_hue.random() != without.random()


def test_blur_spreads_a_point_by_its_sigma_and_keeps_its_sum() -> None:
    image = np.zeros((41, 41, 3), np.uint8)
    image[20, 20] = 255
    for sigma in (1.0, 2.0):
        plane = blur(image, sigma)[:, :, 0].astype(float)
        # Of a point 8 bits keep little: the brightest pixel is 255 / (2π sigma²).
        assert plane.max() == pytest.approx(255 / (2 * np.pi * sigma**2), rel=0.1)
    edge = np.repeat(np.repeat([[0], [255]], 20, axis=0), 40, axis=1).astype(np.uint8)
    smooth = blur(cv2.merge([edge] * 3), 2.0)[:, 5, 0].astype(float)
    weights = np.diff(smooth) / 255
    spread = (weights * (np.arange(39) - 19) ** 2).sum() ** 0.5
    assert weights.sum() == 1 and spread == pytest.approx(2.0, abs=0.1)


def test_a_blur_of_next_to_nothing_and_one_of_a_plain_image_change_nothing() -> None:
    image = np.random.default_rng(0).integers(0, 256, (9, 9, 3), dtype=np.uint8)
    assert (blur(image, 0.1) == image).all()
    assert (blur(np.full((9, 9, 3), 77, np.uint8), 5.0) == 77).all()


def test_hue_and_blur_leave_the_truths_and_come_by_their_settings() -> None:
    still = Augmentation(crop_probability=0, flip_probability=0, colour_probability=0)
    image = np.random.default_rng(0).integers(0, 256, (40, 40, 3), dtype=np.uint8)
    boxes, labels = boxes_of((10, 10, 20, 30)), np.array([1])

    def of(augmentation: Augmentation) -> np.ndarray:
        changed, new_boxes, _ = augment(
            image, boxes, labels, (40, 40), augmentation, GREY, np.random.default_rng(1)
        )
        assert new_boxes.tolist() == boxes.tolist()
        return changed

    assert (of(still) == image).all()
    blurred = of(Augmentation(**{**vars(still), "blur_probability": 1.0, "blur_sigma": (1, 1)}))
    assert (blurred == blur(image, 1.0)).all()
    plain = {**vars(still), "colour_probability": 1.0, "brightness": 0, "contrast": 0}
    coloured = of(Augmentation(**{**plain, "saturation": 0, "hue": 0.5}))
    assert (coloured != image).any() and (coloured.max(axis=2) == image.max(axis=2)).all()

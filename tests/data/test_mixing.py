"""Images made of several: mosaics and pasted objects, with their truths in place."""

from collections.abc import Callable
from dataclasses import replace

import cv2
import numpy as np
import pytest

from mindssd.data.augment import Augmentation
from mindssd.data.mixing import copy_paste, mosaic
from mindssd.data.samples import TrainingSamples
from mindssd.data.windows import Picture
from mindssd.geometry.boxes import pairwise_iou
from mindssd.types import Array
from tests.data.scenes import GREY, bounds, boxes_of, scene

MakeSamples = Callable[..., TrainingSamples]

SAME = (1.0, 1.0)
"""Pasted as large as it was."""


def picture(height: int, width: int, *boxes: tuple[float, float, float, float]) -> Picture:
    """A black image with a white rectangle for each truth; labels count from 1."""
    array = boxes_of(*boxes)
    return Picture(scene(height, width, array), array, np.arange(1, len(array) + 1, dtype=np.int32))


def plain(height: int, width: int, level: int) -> Picture:
    image = np.full((height, width, 3), level, np.uint8)
    return Picture(image, boxes_of(), np.zeros(0, np.int32))


def require_sound(made: Picture, size: tuple[int, int]) -> None:
    """Truths within the image, with a size, in the types of the pipeline."""
    height, width = size
    assert (made.image.shape, made.image.dtype) == ((height, width, 3), np.uint8)
    assert made.boxes.shape == (len(made.labels), 4) and made.boxes.dtype == np.float32
    assert (made.boxes >= -1e-3).all()
    assert (made.boxes <= np.array([width, height] * 2) + 1e-3).all()
    assert (made.boxes[:, 2:] > made.boxes[:, :2]).all()


def test_a_mosaic_shows_four_pictures_in_four_quarters_that_meet_near_the_middle() -> None:
    pictures = [plain(50, 80, level) for level in (10, 20, 30, 40)]
    for seed in range(20):
        image = mosaic(pictures, (100, 200), GREY, np.random.default_rng(seed)).image[:, :, 0]
        assert [image[0, 0], image[0, -1], image[-1, 0], image[-1, -1]] == [10, 20, 30, 40]
        x, y = (image[0] == 10).sum(), (image[:, 0] == 10).sum()
        assert 60 <= x <= 140 and 30 <= y <= 70
        assert (image[:y, :x] == 10).all() and (image[y:, x:] == 40).all()


@pytest.mark.parametrize("seed", range(20))
def test_a_mosaics_boxes_frame_their_objects(seed: int) -> None:
    one = picture(100, 100, (40, 40, 52, 60))
    others = [plain(60, 30, 0), plain(9, 99, 0), plain(200, 200, 0)]
    made = mosaic([one, *others], (160, 160), GREY, np.random.default_rng(seed))
    require_sound(made, (160, 160))
    assert made.labels.tolist() == [1]  # it is always the truth that is shown
    assert np.abs(np.array(bounds(made.image)) - made.boxes[0]).max() <= 2


def test_a_mosaic_shows_objects_as_large_as_alone_or_smaller_and_as_wide_for_their_height() -> None:
    one = picture(100, 100, (45, 45, 55, 55))
    sides = []
    for seed in range(300):
        made = mosaic([one, *[plain(8, 8, 0)] * 3], (200, 200), GREY, np.random.default_rng(seed))
        (x1, y1, x2, y2) = made.boxes[0]
        if x1 > 0 and y1 > 0 and x2 - x1 > 5 and abs((x2 - x1) - (y2 - y1)) < 1:
            sides.append(x2 - x1)
    # Of 20 pixels alone at 200: 0.3 to 1 of that, the quarter's share at least.
    assert len(sides) > 200
    assert 5.9 < min(sides) < 12 and 18 < max(sides) <= 20.5


def test_a_mosaic_of_backgrounds_is_background_and_crowded_ones_keep_their_truths() -> None:
    empty = mosaic([plain(9, 9, 1)] * 4, (64, 64), GREY, np.random.default_rng(0))
    assert empty.boxes.shape == (0, 4) and empty.boxes.dtype == np.float32
    rng = np.random.default_rng(0)
    corners = rng.uniform(0, 90, (300, 2))
    crowded = picture(100, 100, *np.concatenate([corners, corners + 8], axis=1).tolist())
    made = mosaic([crowded] * 4, (128, 128), GREY, rng)
    require_sound(made, (128, 128))
    assert 300 < len(made.labels) <= 1200


def test_each_picture_with_truths_shows_one_of_them() -> None:
    """However small the object is in it, and at whichever border."""
    corners = [(0, 0, 2, 2), (98, 98, 100, 100), (0, 97, 1, 98), (99.5, 0, 100, 0.5)]
    pictures = [picture(100, 100, corner) for corner in corners]
    for seed in range(50):
        assert len(mosaic(pictures, (64, 64), GREY, np.random.default_rng(seed)).labels) == 4


def test_a_picture_of_one_pixel_is_a_quarter_of_a_mosaic_too() -> None:
    for seed in range(10):
        tiny = [picture(1, 1, (0, 0, 1, 1)), plain(1, 1, 5), plain(1, 300, 5), plain(300, 1, 5)]
        require_sound(mosaic(tiny, (32, 32), GREY, np.random.default_rng(seed)), (32, 32))


def test_a_pasted_object_is_scaled_and_keeps_its_label() -> None:
    # 10 by 20 of 100 by 100 is 20 by 10 of 50 high and 200 wide.
    source = Picture(*picture(100, 100, (30, 40, 40, 60))[:2], np.array([7], np.int32))
    target = plain(50, 200, 0)
    pasted = 0
    for seed in range(40):
        made = copy_paste(target, source, (0.5, 2), 0.3, np.random.default_rng(seed))
        require_sound(made, (50, 200))
        if len(made.labels):
            pasted += 1
            x1, y1, x2, y2 = made.boxes[0]
            assert made.labels.tolist() == [7] and (x2 - x1, y2 - y1) == (20, 10)
            assert bounds(made.image) == made.boxes[0].tolist()
    assert 10 < pasted < 30  # a half
    assert not target.image.any() and source.image.any()  # neither was written into


@pytest.mark.parametrize("seed", range(10))
def test_no_truth_is_covered_beyond_what_is_allowed(seed: int) -> None:
    """Counted on pixels, and over all objects that are pasted."""
    rng = np.random.default_rng(seed)
    corners = rng.integers(0, 80, (12, 2))
    target = picture(100, 100, *np.concatenate([corners, corners + 20], axis=1).tolist())
    grey = Picture(np.full((100, 100, 3), 90, np.uint8), *target[1:])
    for max_cover in (0.0, 0.3):
        made = copy_paste(grey._replace(image=grey.image * 0), target, SAME, max_cover, rng)
        covered = made.image.any(axis=2)
        for x1, y1, x2, y2 in grey.boxes.astype(int):
            assert covered[y1:y2, x1:x2].mean() <= max_cover + 1e-6
        assert pairwise_iou(made.boxes[12:], grey.boxes).max(initial=0) <= max_cover + 1e-6
        assert (made.boxes[:12] == grey.boxes).all()


def test_pasting_everything_everywhere_needs_no_room() -> None:
    made = copy_paste(
        picture(40, 40, (0, 0, 40, 40)), picture(40, 40, (0, 0, 40, 40)), SAME, 1.0, StrongRandom()
    )
    assert len(made.labels) == 2


class StrongRandom:
    """Stands in for a random generator: each object is taken, and put at the upper left."""

    def random(self, shape: object) -> Array:
        return np.zeros(shape)


def test_what_lies_in_a_pasted_rectangle_comes_with_it_if_its_centre_does() -> None:
    """A small truth in a large one would be an unnamed object otherwise."""
    boxes = boxes_of((10, 10, 50, 50), (20, 20, 30, 30), (45, 45, 49, 70))
    source = Picture(scene(100, 100, boxes), boxes, np.array([1, 2, 3], np.int32))
    made = copy_paste(plain(100, 100, 0), source, SAME, 0.0, OnlyFirst())
    assert made.labels.tolist() == [1, 2]
    assert made.boxes.tolist() == [[0, 0, 40, 40], [10, 10, 20, 20]]


class OnlyFirst:
    """Takes the first of three objects, and puts it at the upper left."""

    def random(self, shape: object) -> Array:
        return np.array([0.0, 0.9, 0.9]) if shape == 3 else np.zeros(shape)


def test_pasting_from_background_changes_nothing_and_onto_background_makes_truths() -> None:
    one = picture(40, 40, (10, 10, 20, 20))
    same = copy_paste(one, plain(40, 40, 9), SAME, 0.3, np.random.default_rng(0))
    assert (same.image == one.image).all() and same.boxes.tolist() == one.boxes.tolist()
    assert len(copy_paste(plain(40, 40, 0), one, SAME, 0.3, StrongRandom()).labels) == 1


def test_three_hundred_objects_find_what_room_there_is() -> None:
    rng = np.random.default_rng(0)
    corners = rng.uniform(0, 94, (300, 2))
    crowded = picture(100, 100, *np.concatenate([corners, corners + 6], axis=1).tolist())
    made = copy_paste(crowded, crowded, SAME, 0.3, rng)
    require_sound(made, (100, 100))
    assert 300 <= len(made.labels) < 600
    free = copy_paste(plain(100, 100, 0), crowded, SAME, 0.3, rng)
    assert len(free.labels) > 30


def test_what_is_larger_than_the_picture_is_not_pasted() -> None:
    large = picture(40, 40, (0, 0, 40, 30))
    assert not len(copy_paste(plain(40, 40, 0), large, (2, 2), 1.0, StrongRandom()).labels)
    assert len(copy_paste(plain(60, 80, 0), large, (2, 2), 1.0, StrongRandom()).labels) == 1


@pytest.mark.parametrize("seed", range(20))
def test_a_mosaic_that_keeps_the_aspect_shows_squares_as_squares(seed: int) -> None:
    """Of pictures wider and higher than the network's image, beyond which it is filled."""
    pictures = [picture(100, 300, (140, 40, 160, 60)), picture(300, 100, (40, 140, 60, 160))]
    made = mosaic([*pictures, *pictures], (160, 160), GREY, np.random.default_rng(seed), True)
    require_sound(made, (160, 160))
    assert len(made.labels) == 4
    for (x1, y1, x2, y2), (left, top) in zip(
        made.boxes, [(0, 0), (1, 0), (0, 1), (1, 1)], strict=True
    ):
        # Alone it is 20 · 160 / 300 = 10.7 pixels wide and high; cut only where a quarter ends.
        assert x2 - x1 < 11.2 and y2 - y1 < 11.2
        assert (x1 + x2) / 2 > 48 * left and (y1 + y2) / 2 > 48 * top
    whole = [box for box in made.boxes if abs((box[2] - box[0]) - (box[3] - box[1])) < 1]
    assert whole


def test_a_picture_smaller_than_its_part_of_a_mosaic_is_followed_by_the_fill() -> None:
    wide = plain(10, 300, 0)
    image = mosaic([wide] * 4, (160, 160), GREY, np.random.default_rng(0), True).image
    assert set(np.unique(image)) == {0, 128}
    assert (image[0] == 0).all() and (image[-1] == 128).all()


def test_a_pasted_object_looks_as_large_as_in_its_own_picture(make_samples: MakeSamples) -> None:
    """Whether its picture is stretched to the network's image or fitted into it."""
    still = Augmentation(crop_probability=0, flip_probability=0, colour_probability=0)
    pasting = replace(still, copy_paste_probability=1, copy_paste_cover=1)
    samples = make_samples(2, augmentation=pasting, background=(0,))
    cv2.imwrite(samples.dataset[0].path, np.zeros((200, 250, 3), np.uint8))
    for keeps_aspect in (False, True):
        shown = replace(samples, keeps_aspect=keeps_aspect)
        _, (alone,), _ = replace(shown, augmentation=None).augmented(0, 1)
        boxes = [shown.augmented(epoch, 0).boxes for epoch in range(20)]
        pasted = np.concatenate(boxes)
        assert len(pasted) > 3
        sides = pasted[:, 2:] - pasted[:, :2]
        assert np.abs(sides - (alone[2:] - alone[:2])).max() < 0.6


MIXED = Augmentation(mosaic_probability=0.5, copy_paste_probability=0.5)


def test_a_mixed_sample_depends_on_seed_epoch_and_index_alone(make_samples: MakeSamples) -> None:
    samples = make_samples(5, augmentation=MIXED)
    first = [samples.augmented(2, index) for index in range(5)]
    again = make_samples(5, augmentation=MIXED)
    for index in (4, 1):
        for mine, theirs in zip(again.augmented(2, index), first[index], strict=True):
            np.testing.assert_array_equal(mine, theirs)
    assert (again.augmented(3, 1).image != first[1].image).any()


@pytest.mark.parametrize("background", [(), (0, 1, 2), (0, 2)])
def test_any_mixture_of_background_and_truths_trains(
    make_samples: MakeSamples, background: tuple[int, ...]
) -> None:
    """All truths, none in the whole set, and one in the whole set."""
    always = replace(MIXED, mosaic_probability=1, copy_paste_probability=1)
    samples = make_samples(3, augmentation=always, background=background)
    labels: list[int] = []
    for epoch in range(20):
        require_sound(samples.augmented(epoch, 0), (32, 48))
        labels += samples.augmented(epoch, 0).labels.tolist()
        assert samples[epoch, 0].weight == 1
    expected = {(): {1, 2}, (0, 1, 2): set(), (0, 2): {2}}[background]
    assert set(labels) == expected


def test_a_single_image_makes_a_mosaic_of_itself(make_samples: MakeSamples) -> None:
    samples = make_samples(1, augmentation=replace(MIXED, mosaic_probability=1))
    assert len(samples.augmented(0, 0).labels) >= 4


def test_what_cannot_be_read_is_left_out_of_others_samples(make_samples: MakeSamples) -> None:
    always = replace(MIXED, mosaic_probability=1, copy_paste_probability=1)
    samples = make_samples(4, augmentation=always, unreadable=(1, 2, 3))
    for epoch in range(5):
        sample = samples[epoch, 0]
        assert (sample.weight, sample.unreadable, sample.image_id) == (1.0, False, 100)
        assert samples[epoch, 1].unreadable


def test_crowds_are_neither_pasted_nor_shown_as_truths(make_samples: MakeSamples) -> None:
    always = replace(MIXED, mosaic_probability=1, copy_paste_probability=1)
    samples = make_samples(2, augmentation=always, crowds=(0, 1))
    assert all(not len(samples.augmented(epoch, 0).labels) for epoch in range(5))


def test_a_mosaic_is_turned_and_flipped_as_any_image(make_samples: MakeSamples) -> None:
    turned = replace(
        MIXED, mosaic_probability=1, rotate_probability=1, vertical_flip_probability=1,
        colour_probability=0, copy_paste_probability=0,
    )  # fmt: skip
    samples = make_samples(3, augmentation=turned)
    for index in range(3):
        cv2.imwrite(samples.dataset[index].path, scene(40, 60, boxes_of((10, 5, 40, 30))))
    for epoch in range(10):
        made = samples.augmented(epoch, 0)
        require_sound(made, (32, 48))
        inside = made.image.min(axis=2) > 160
        framed = np.zeros_like(inside)
        for x1, y1, x2, y2 in made.boxes.round().astype(int):
            framed[y1:y2, x1:x2] = True
        assert (inside & ~framed).mean() < 0.08  # but for their edges, and cut-off truths
        assert inside[framed].mean() > 0.8

"""A window of an image: the boxes stay on what they frame, wherever it is shown."""

import numpy as np

from mindssd.data.windows import render, scale_window, truths_in_window, zoom_out
from tests.data.scenes import GREY, bounds, boxes_of, scene


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

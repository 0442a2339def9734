"""The pictures that a deployed file is compared by where there is no data set."""

import numpy as np

from mindssd.deploy.samples import drawn_images


def test_drawn_images_are_the_same_each_time_and_differ_from_one_another():
    first, second = drawn_images(2)
    assert first.shape == (240, 320, 3) and first.dtype == np.uint8
    assert not np.array_equal(first, second)
    np.testing.assert_array_equal(drawn_images(2), [first, second])


def test_drawn_images_have_edges_and_even_areas():
    (image,) = drawn_images(1)
    steps = np.abs(np.diff(image.astype(int), axis=1)).max(axis=2)
    assert 0.02 < np.mean(steps > 30) < 0.3
    assert np.mean(steps == 0) > 0.6

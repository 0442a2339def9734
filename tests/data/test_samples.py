"""A training sample depends on (seed, epoch, index) alone."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from mindssd.data.samples import TrainingSamples
from mindssd.errors import DatasetError
from mindssd.images import Normalization, normalise, read_image, resize

MakeSamples = Callable[..., TrainingSamples]


def test_the_same_seed_epoch_and_index_give_the_same_sample(make_samples: MakeSamples) -> None:
    samples = make_samples(3)
    first, again = samples[1, 2], samples[1, 2]
    assert (first.image == again.image).all()
    assert (first.offsets == again.offsets).all() and (first.labels == again.labels).all()
    for other in (samples[2, 2], replace(samples, seed=5)[1, 2]):
        assert (first.image != other.image).any()


def test_a_sample_has_the_shapes_and_types_of_the_network(make_samples: MakeSamples) -> None:
    samples = make_samples(1)
    sample = samples[0, 0]
    num_default_boxes = len(samples.targets.default_boxes)
    assert (sample.image.shape, sample.image.dtype) == ((3, 32, 48), np.float32)
    assert (sample.offsets.shape, sample.offsets.dtype) == ((num_default_boxes, 4), np.float32)
    assert (sample.labels.shape, sample.labels.dtype) == ((num_default_boxes,), np.int32)
    assert sample.image.flags.c_contiguous
    assert (sample.weight, sample.image_id, sample.unreadable) == (1.0, 100, False)


def test_without_augmentation_the_image_is_that_of_evaluation(make_samples: MakeSamples) -> None:
    samples = make_samples(1, augmentation=None)
    image = read_image(samples.dataset[0].path)
    expected = normalise(resize(image, (32, 48)), Normalization())
    assert (samples[0, 0].image == expected).all()
    # 60 by 40 becomes 48 by 32: four fifths of (10, 5, 40, 30).
    assert samples.augmented(0, 0)[1].tolist() == [[8, 4, 32, 24]]


def test_background_trains(make_samples: MakeSamples) -> None:
    sample = make_samples(2, background=(1,))[0, 1]
    assert sample.weight == 1 and not sample.labels.any() and np.isfinite(sample.image).all()


def test_a_crowd_is_never_a_positive(make_samples: MakeSamples) -> None:
    samples = make_samples(2, crowds=(1,))
    assert samples[0, 0].labels.any()
    assert not samples[0, 1].labels.any() and samples[0, 1].weight == 1


def test_an_unreadable_image_gives_zeros_that_do_not_count(make_samples: MakeSamples) -> None:
    sample = make_samples(2, unreadable=(1,))[0, 1]
    assert (sample.weight, sample.unreadable, sample.image_id) == (0.0, True, 101)
    assert not sample.image.any() and not sample.offsets.any() and not sample.labels.any()


def test_a_missing_image_is_unreadable(make_samples: MakeSamples) -> None:
    samples = make_samples(1)
    Path(samples.dataset[0].path).unlink()
    assert samples[0, 0].unreadable


def test_a_file_resized_since_its_annotation_gives_the_sample_of_its_own_size(
    make_samples: MakeSamples,
) -> None:
    samples = make_samples(2, augmentation=None)
    cv2.imwrite(samples.dataset[0].path, np.zeros((20, 30, 3), np.uint8))
    assert samples.augmented(0, 0)[1].tolist() == samples.augmented(0, 1)[1].tolist()
    # Bit for bit the same whether the header was read before or not: a resume may know more.
    samples = make_samples(2)
    cv2.imwrite(samples.dataset[0].path, np.zeros((27, 41, 3), np.uint8))
    known = replace(samples.dataset, file_sizes=np.array([[27, 41], [0, 0]], np.int32))
    told = replace(samples, dataset=known)
    assert known[0].width == 41 and samples.dataset[0].width == 60
    for epoch in range(5):
        assert samples[epoch, 0].labels.any()
        for mine, theirs in zip(told.augmented(epoch, 0), samples.augmented(epoch, 0), strict=True):
            np.testing.assert_array_equal(mine, theirs)
        np.testing.assert_array_equal(told[epoch, 0].offsets, samples[epoch, 0].offsets)


def test_a_file_of_another_shape_than_annotated_is_an_error(make_samples: MakeSamples) -> None:
    samples = make_samples(2, background=(1,))
    cv2.imwrite(samples.dataset[0].path, np.zeros((40, 40, 3), np.uint8))
    cv2.imwrite(samples.dataset[1].path, np.zeros((40, 40, 3), np.uint8))
    with pytest.raises(DatasetError, match=r"0\.png: has 40x40 pixels, but is annotated as 60x40"):
        samples[0, 0]
    assert samples[0, 1].weight == 1  # without boxes any size will do


def test_boxes_wholly_outside_an_image_of_unknown_size_are_left_out(
    make_samples: MakeSamples,
) -> None:
    samples = make_samples(2, augmentation=None)
    dataset = replace(samples.dataset, sizes=np.zeros((2, 2), np.int32))
    samples = replace(samples, dataset=dataset)
    cv2.imwrite(dataset[0].path, np.zeros((20, 20, 3), np.uint8))
    cv2.imwrite(dataset[1].path, np.zeros((5, 5, 3), np.uint8))
    # Of (10, 5, 40, 30) in 20 by 20 pixels remains (10, 5, 20, 20), and in 5 by 5 nothing.
    boxes = samples.augmented(0, 0)[1]
    assert np.abs(boxes - [[24, 8, 48, 32]]).max() < 1e-4
    assert samples.augmented(0, 1)[1].shape == (0, 4)

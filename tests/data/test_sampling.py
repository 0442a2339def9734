"""Which images an epoch holds: all of them once, or those with rare classes more often."""

from collections import Counter
from collections.abc import Callable

import numpy as np
import pytest

from mindssd.build.data import build_loader, sampling_lines
from mindssd.config.load import load_config
from mindssd.data.loader import TrainingLoader
from mindssd.data.samples import TrainingSamples
from mindssd.data.sampling import (
    ClassCounts,
    EpochOrders,
    describe_repeats,
    epoch_order,
    occurrences,
    repeat_factors,
)
from mindssd.types import Array

MakeSamples = Callable[..., TrainingSamples]


def counts_of(*images: list[int], num_classes: int) -> ClassCounts:
    """The counts of images that hold these labels."""
    pairs = [(index, label) for index, labels in enumerate(images) for label in set(labels)]
    owners, labels = np.array(pairs, np.int64).reshape(-1, 2).T
    present = np.bincount(labels, minlength=num_classes + 1)[1:]
    return ClassCounts(len(images), present, owners, labels)


def test_an_image_comes_as_often_as_its_rarest_class_asks_for() -> None:
    # Class 1 is in all four images, class 2 in one of four: √(1 / ¼) = 2, and √(0.36 / ¼) = 1.2.
    counts = counts_of([1], [1], [1], [1, 2, 2], num_classes=2)
    assert counts.images.tolist() == [4, 1]
    assert repeat_factors(counts, 1.0).tolist() == [1, 1, 1, 2]
    assert repeat_factors(counts, 0.36) == pytest.approx([1, 1, 1, 1.2])
    assert repeat_factors(counts, 0.25).tolist() == [1, 1, 1, 1]  # not below a quarter
    assert repeat_factors(counts, 0.0).tolist() == [1, 1, 1, 1]


def test_background_asks_for_nothing_and_a_class_without_images_for_none() -> None:
    counts = counts_of([], [1], [], [], num_classes=3)
    assert repeat_factors(counts, 1.0).tolist() == [1, 2, 1, 1]
    assert repeat_factors(counts_of([], [], num_classes=80), 1.0).tolist() == [1, 1]
    assert repeat_factors(counts_of(num_classes=1), 1.0).tolist() == []


def test_a_class_counts_once_an_image_however_many_truths_it_has() -> None:
    counts = counts_of([1] * 300, [2], num_classes=2)
    assert counts.images.tolist() == [1, 1]
    assert repeat_factors(counts, 1.0) == pytest.approx([2**0.5] * 2)


def test_one_class_in_every_image_is_not_rare() -> None:
    assert repeat_factors(counts_of([1], [1, 1], num_classes=1), 1.0).tolist() == [1, 1]


def test_crowds_do_not_count(make_samples: MakeSamples) -> None:
    samples = make_samples(4, background=(0,), crowds=(1,))  # leaves "even" in 2 and "odd" in 3
    counts = ClassCounts.of(samples.dataset)
    assert counts.images.tolist() == [1, 1]
    assert repeat_factors(counts, 1.0).tolist() == [1, 1, 2, 2]


def test_without_factors_or_with_equal_ones_each_image_comes_once_in_the_same_order() -> None:
    for factors in (None, np.ones(7), np.full(7, 1.1)):
        order, repeats = EpochOrders(7, seed=3, factors=factors)[5]
        assert order.tolist() == epoch_order(7, 3, 5).tolist()
        assert not repeats.any()


def test_the_order_of_a_seed_and_an_epoch_is_that_of_earlier_versions() -> None:
    assert epoch_order(8, 0, 0).tolist() == [6, 4, 2, 7, 0, 5, 3, 1]
    assert epoch_order(8, 3, 2).tolist() == [6, 1, 5, 7, 4, 3, 0, 2]


@pytest.mark.parametrize(
    "factors",
    [
        np.array([1, 1, 1, 3.0]),
        np.array([1.0] * 299 + [300**0.5]),  # one truth in the whole set
        np.sqrt(80 / np.arange(1, 81)),
    ],
)
def test_an_epoch_keeps_its_length_and_an_image_comes_by_its_factor(factors: Array) -> None:
    num_images, num_epochs = len(factors), 200
    orders = EpochOrders(num_images, seed=0, factors=factors)
    expected = factors / factors.mean()
    total = np.zeros(num_images)
    for epoch in range(num_epochs):
        order, _ = orders[epoch]
        assert len(order) == num_images
        times = np.bincount(order, minlength=num_images)
        assert (times >= np.floor(expected)).all() and (times <= np.ceil(expected)).all()
        total += times
    assert np.abs(total / num_epochs - expected).max() < 0.15


def test_an_order_depends_on_seed_and_epoch_alone() -> None:
    factors = np.array([1.0, 1, 1, 1, 2, 3])
    orders = EpochOrders(6, seed=1, factors=factors)
    first = [orders[epoch][0].tolist() for epoch in range(6)]
    again = EpochOrders(6, seed=1, factors=factors)
    assert [again[epoch][0].tolist() for epoch in (5, 2, 0)] == [first[5], first[2], first[0]]
    assert len({tuple(order) for order in first}) == 6
    assert EpochOrders(6, seed=2, factors=factors)[0][0].tolist() != first[0]


def test_occurrences_count_from_nothing() -> None:
    assert occurrences(np.array([4, 2, 4, 4, 1, 2])).tolist() == [0, 0, 1, 2, 0, 1]
    assert occurrences(np.array([], np.int64)).tolist() == []


def test_an_image_that_comes_again_is_changed_anew(make_samples: MakeSamples) -> None:
    samples = make_samples(2)
    images = [samples[3, 1, repeat].image for repeat in range(3)]
    assert (images[0] == samples[3, 1].image).all()
    assert (images[0] != images[1]).any() and (images[1] != images[2]).any()
    assert (samples[3, 1, 2].image == images[2]).all()


FACTORS = np.array([1.0, 1, 1, 1, 1, 1, 4])


def test_ranks_share_a_balanced_epoch_and_any_step_can_come_first(
    make_samples: MakeSamples,
) -> None:
    samples = make_samples(7)

    def images(rank: int, world_size: int, first: int, end: int, workers: int = 0) -> list[bytes]:
        size = 4 // world_size
        loader = TrainingLoader(samples, size, workers, 0, rank, world_size, FACTORS)
        assert loader.steps_per_epoch == 2
        with loader.batches(first, end) as batches:
            return [image.tobytes() for batch in batches for image in batch.images]

    alone = images(0, 1, 0, 4)
    assert images(0, 1, 2, 4) == images(0, 1, 2, 4, workers=2) == alone[8:]
    halves = [images(rank, 2, 0, 4) for rank in (0, 1)]
    assert [image for pair in zip(*halves, strict=True) for image in pair] == alone


def test_an_epoch_counts_as_many_images_as_there_are(make_samples: MakeSamples) -> None:
    loader = TrainingLoader(make_samples(7), 4, 0, seed=0, repeat_factors=FACTORS)
    with loader.batches(0, 2) as batches:
        seen = Counter(n for batch in batches for n in batch.image_ids[batch.weights > 0].tolist())
    assert seen.total() == 7
    assert seen[106] in (2, 3)  # 4 of 10 parts, of 7 images: 2.8


def test_a_run_says_how_often_the_rarest_class_comes() -> None:
    counts = counts_of([1], [1], [1], [1, 2], num_classes=2)
    assert describe_repeats(counts, ("cat", "owl"), 1.0) == (
        "repeat_threshold=1: images of 1 of 2 classes come more often, up to 2.0 times as often as "
        "others (owl, in 1 of 4 images)"
    )
    nothing = "repeat_threshold=0.2 changes nothing: all images come equally often"
    assert describe_repeats(counts, ("cat", "owl"), 0.2) == nothing
    assert describe_repeats(counts_of([], num_classes=1), ("cat",), 0.2) == nothing


def test_the_setting_reaches_the_loader_and_is_spoken_of_where_it_is_on(
    make_samples: MakeSamples,
) -> None:
    samples = make_samples(6, background=(0, 2, 4))
    balanced = load_config("small_data", ["repeat_threshold=1", "batch_size=6", "num_workers=0"])
    with build_loader(balanced, samples).batches(0, 3) as batches:
        times = Counter(n for batch in batches for n in batch.image_ids.tolist())
    assert times.total() == 18
    assert sum(times[100 + index] for index in (1, 3, 5)) > 9
    assert len(sampling_lines(balanced, samples.dataset)) == 1
    assert sampling_lines(load_config("small_data"), samples.dataset) == []

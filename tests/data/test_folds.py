"""Folds: each image in one, each class in as many as it can be, and a part is a data set itself."""

import numpy as np
import pytest

from mindssd.data.check import CheckReport
from mindssd.data.dataset import DetectionDataset
from mindssd.data.folds import folds, subset
from mindssd.data.formats.coco import load_coco_split
from mindssd.errors import DatasetError


@pytest.fixture(scope="module")
def dataset(shapes_dir):
    return load_coco_split(shapes_dir, "train", None)


def test_each_image_is_in_one_fold(dataset):
    parts = folds(dataset, 5)
    assert sorted(np.concatenate(parts).tolist()) == list(range(12))
    assert {len(part) for part in parts} == {2, 3}


def test_the_same_seed_deals_the_same_folds_and_another_does_not(dataset):
    first, again, other = folds(dataset, 3, 1), folds(dataset, 3, 1), folds(dataset, 3, 2)
    assert [p.tolist() for p in first] == [p.tolist() for p in again]
    assert [p.tolist() for p in first] != [p.tolist() for p in other]


def test_a_rare_class_is_in_as_many_folds_as_it_has_images(dataset):
    # Of the first class three images are left, wherever they lie.
    kept = [i for i in range(12) if not (dataset[i].labels == 1).any()]
    rare = [i for i in range(12) if (dataset[i].labels == 1).any()][:3]
    part = subset(dataset, np.array(sorted(kept + rare)))
    for seed in range(20):
        of_folds = [
            any((part[i].labels == 1).any() for i in fold.tolist()) for fold in folds(part, 3, seed)
        ]
        assert of_folds == [True] * 3


def test_a_class_beside_a_rarer_one_is_spread_too():
    def images(*labels: tuple[int, ...]) -> DetectionDataset:
        counts = [len(of_image) for of_image in labels]
        n = sum(counts)
        return DetectionDataset(
            class_names=("a", "b", "c", "d"),
            category_ids=(1, 2, 3, 4),
            annotation_file="annotations.json",
            image_dir="images",
            report=CheckReport("annotations.json", len(labels), n, 0, 0),
            image_ids=np.arange(len(labels)),
            file_names=[f"{i}.jpg" for i in range(len(labels))],
            sizes=np.full((len(labels), 2), 100, np.int32),
            file_sizes=np.zeros((len(labels), 2), np.int32),
            starts=np.concatenate([[0], np.cumsum(counts)]),
            boxes_xywh=np.tile([0.0, 0.0, 9.0, 9.0], (n, 1)),
            areas=np.full(n, 81.0),
            labels=np.array([label for of_image in labels for label in of_image], np.int32),
            is_crowd=np.zeros(n, np.bool_),
        )

    part = images((1, 2), (3,), (4,), (1,), *[(4,)] * 5, (), ())
    for seed in range(10):
        parts = folds(part, 3, seed)
        with_a = [fold for fold in parts if {0, 3} & set(fold.tolist())]
        assert len(with_a) == 2
        assert {len(fold) for fold in parts} <= {3, 4}
        assert all(set(fold.tolist()) - {9, 10} for fold in parts)  # truths in each
    with pytest.raises(DatasetError, match="1 images with boxes"):
        folds(images((1,), (), ()), 2)


def test_more_folds_than_images_are_refused(dataset):
    with pytest.raises(DatasetError, match="12 images with boxes cannot be dealt into 13 folds"):
        folds(dataset, 13)


def test_a_part_has_the_images_with_their_boxes(dataset):
    part = subset(dataset, np.array([7, 2]))
    assert len(part) == 2
    for place, index in enumerate((7, 2)):
        assert part[place].path == dataset[index].path
        np.testing.assert_array_equal(part[place].boxes, dataset[index].boxes)
        np.testing.assert_array_equal(part[place].labels, dataset[index].labels)
    report = part.report
    assert (report.num_images, report.num_boxes) == (
        2,
        len(dataset[7].boxes) + len(dataset[2].boxes),
    )
    assert part.fingerprint() != dataset.fingerprint()


def test_no_images_are_a_part_too(dataset):
    assert len(subset(dataset, np.zeros(0, np.int64))) == 0


def test_images_of_a_group_are_in_one_fold_and_groups_are_what_is_counted(dataset):
    groups = np.arange(12) // 3
    for seed in range(5):
        parts = folds(dataset, 2, seed, groups)
        assert sorted(np.concatenate(parts).tolist()) == list(range(12))
        assert all(len(set(groups[part])) * 3 == len(part) for part in parts)
    with pytest.raises(DatasetError, match="4 groups of images that are alike with boxes"):
        folds(dataset, 5, 0, groups)

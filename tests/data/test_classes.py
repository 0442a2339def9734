"""Classes of one data set as those of another: the same by name, in every command by one rule."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mindssd.data.classes import classes_line, match_names, with_classes
from mindssd.data.dataset import DetectionDataset
from mindssd.errors import DatasetError
from tests.data.coco_files import annotation, image, load, whats

NAMES = ("ant", "bee", "cat")


def dataset_of(folder: Path, names: list[str], *used: str) -> DetectionDataset:
    """Categories 10, 11, … of these names, and a box of each class in `used`."""
    categories = [{"id": 10 + place, "name": name} for place, name in enumerate(names)]
    boxes = [annotation(1, 10 + names.index(name), 1 + i, 2, 3, 4) for i, name in enumerate(used)]
    return load(folder, [image(1)], boxes, categories)


def renamed(dataset: DetectionDataset) -> DetectionDataset:
    return with_classes(dataset, NAMES, "train.json", "the way out")


def labels(dataset: DetectionDataset) -> list[str]:
    return [dataset.class_names[label - 1] for label in dataset[0].labels]


def test_the_same_classes_are_left_as_they_are(tmp_path: Path) -> None:
    dataset = dataset_of(tmp_path, ["ant", "bee", "cat"], "cat")
    assert renamed(dataset) is dataset


@pytest.mark.parametrize(
    ("names", "ids"),
    [
        (["cat", "ant", "bee"], (11, 12, 10)),
        (["cat", "ant"], (11, 13, 10)),
        (["bee"], (11, 10, 13)),
    ],
)
def test_other_orders_and_fewer_classes_are_matched_by_name(
    tmp_path: Path, names: list[str], ids: tuple[int, ...]
) -> None:
    dataset = renamed(dataset_of(tmp_path, names, *names))
    assert dataset.class_names == NAMES
    assert labels(dataset) == names and whats(dataset) == []
    # Its own ids, and others for the classes that it lacks.
    own = {name: 10 + place for place, name in enumerate(names)}
    assert [i for n, i in zip(NAMES, dataset.category_ids, strict=True) if n in own] == [
        own[name] for name in NAMES if name in own
    ]
    assert len(set(dataset.category_ids)) == 3


def test_another_case_or_form_is_the_same_and_said(tmp_path: Path) -> None:
    dataset = renamed(dataset_of(tmp_path, ["Bee", " cat", "ant"], "Bee", " cat", "ant"))
    assert labels(dataset) == ["bee", "cat", "ant"]
    assert [str(finding) for finding in dataset.report.findings] == [
        "2 classes spelled otherwise: taken for the same (such as Bee, bee in train.json)"
    ]
    assert match_names(["a\u0308", "x  Y"], ["ä", "X y"]).tolist() == [0, 1]
    # An exact name is never somebody else's, and two of one spelling are nobody's.
    assert match_names(["bee", "BEE"], ["bee", "ant"]).tolist() == [0, -1]
    assert match_names(["Bee"], ["bee", "BEE"]).tolist() == [-1]


def test_a_class_that_nothing_is_of_may_be_left_out(tmp_path: Path) -> None:
    dataset = renamed(dataset_of(tmp_path, ["dog", "bee", "emu", "cat"], "bee"))
    assert labels(dataset) == ["bee"]
    assert whats(dataset) == ["2 classes that no annotation is of: dropped"]


@pytest.mark.parametrize(
    ("names", "used"), [(["bee", "dog"], ["dog"]), (["dog"], []), (["dog", "emu"], ["emu"])]
)
def test_other_classes_are_an_error_with_both_lists_and_the_way_out(
    tmp_path: Path, names: list[str], used: list[str]
) -> None:
    with pytest.raises(DatasetError) as caught:
        renamed(dataset_of(tmp_path, names, *used))
    assert str(caught.value) == (
        f"train.json and {tmp_path}/annotations.json name different classes: "
        f"['ant', 'bee', 'cat'] and {names}; the way out"
    )


def test_names_match_as_one_by_one() -> None:
    rng = np.random.default_rng(0)
    alphabet = ["a", "A", "b", "B", "c", " c", "d"]
    for _ in range(200):
        ours: list[Any] = rng.permutation(alphabet)[: rng.integers(1, 5)].tolist()
        theirs: list[Any] = rng.permutation(alphabet)[: rng.integers(1, 5)].tolist()
        places = match_names(ours, theirs).tolist()
        taken = [place for place in places if place >= 0]
        assert len(set(taken)) == len(taken)
        for name, place in zip(ours, places, strict=True):
            if name in theirs:
                assert place == theirs.index(name)
            elif place >= 0:
                assert name.strip().lower() == theirs[place].strip().lower()


def test_the_classes_are_said_in_one_line(tmp_path):
    both = [annotation(1, 7, 1, 1, 9, 9), annotation(1, 2, 1, 1, 9, 9)]
    assert classes_line(load(tmp_path, [image(1)], both)) == "2 classes: cat, dog"
    lone = load(tmp_path, [image(1)], both[:1], [{"id": 7, "name": "do\ng"}])
    assert classes_line(lone) == r"1 class: do\ng"


def test_many_classes_are_named_as_far_as_they_fit_and_those_without_boxes_counted(tmp_path):
    categories = [{"id": i, "name": f"kind {i}"} for i in range(1, 21)]
    many = load(tmp_path, [image(1)], [annotation(1, 1, 1, 1, 9, 9)], categories)
    line = classes_line(many)
    assert (
        line.startswith("20 classes: kind 1, ") and "kind 12, …; 19 of them without a box" in line
    )
    assert line.endswith("such as kind 2")

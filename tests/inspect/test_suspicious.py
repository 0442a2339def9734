"""Boxes that look like mistakes are found by kind, and usual ones are left alone."""

from dataclasses import replace

import numpy as np

from mindssd.data.dataset import DetectionDataset
from mindssd.inspect.suspicious import find_suspects
from tests.build.test_fit import dataset

Box = tuple[int, float, float, float, float]
"""A label, x, y, width and height."""


def of(*images: list[Box], size=(480, 640)) -> DetectionDataset:
    rows = [box for boxes in images for box in boxes]
    data = dataset(len(images), [], size)
    return replace(
        data,
        starts=np.cumsum([0, *map(len, images)]),
        boxes_xywh=np.array([box[1:] for box in rows], np.float64).reshape(-1, 4),
        labels=np.array([box[0] for box in rows], np.int32),
        areas=np.ones(len(rows)),
        is_crowd=np.zeros(len(rows), np.bool_),
    )


def kinds(data: DetectionDataset) -> list[tuple[str, int]]:
    return [(suspect.kind, suspect.image) for suspect in find_suspects(data, "train")]


USUAL = [[(1, 40.0 * i, 100, 30 + i, 32)] for i in range(1, 14)] * 2


def test_usual_boxes_are_not_suspicious_nor_are_none():
    assert kinds(of(*USUAL)) == []
    assert kinds(of([], [])) == []


def test_two_of_one_class_nearly_identical():
    (suspect,) = find_suspects(of([(1, 10, 10, 100, 80), (1, 12, 11, 100, 80)]), "val")
    assert (suspect.kind, suspect.part, suspect.classes) == ("twins", "val", ("a", "a"))
    assert suspect.boxes == ((10, 10, 110, 90), (12, 11, 112, 91))
    assert suspect.note == "IoU 0.94"  # 98·79 of 2·8000 - 98·79


def test_one_thing_under_two_names():
    assert kinds(of([(1, 10, 10, 100, 80), (2, 10, 10, 100, 80)])) == [("two classes", 0)]


def test_a_box_inside_another_of_its_class_but_not_of_another_class():
    assert kinds(of([(1, 10, 10, 200, 200), (1, 50, 50, 40, 40)])) == [("inside", 0)]
    assert kinds(of([(1, 10, 10, 200, 200), (2, 50, 50, 40, 40)])) == []
    assert kinds(of([(1, 10, 10, 200, 200), (1, 180, 50, 60, 60)])) == []  # half outside


def test_a_size_and_a_shape_far_from_those_of_the_class():
    assert kinds(of(*USUAL, [(1, 100, 100, 300, 300)])) == [("size", 26)]
    assert kinds(of(*USUAL, [(1, 100, 100, 96, 10)])) == [("shape", 26)]
    # Of few boxes nobody knows what is usual.
    assert kinds(of(*USUAL[:5], [(1, 100, 100, 300, 300)])) == []


def test_what_the_edge_of_the_image_cuts_is_no_odd_shape():
    assert kinds(of(*USUAL, [(1, 100, 470, 96, 10)])) == []


def test_a_box_of_a_pixel_or_two():
    assert kinds(of([(1, 100, 100, 2, 40)])) == [("tiny", 0)]


def test_crowds_are_passed_over():
    data = of([(1, 10, 10, 100, 80), (1, 12, 11, 100, 80)])
    assert kinds(replace(data, is_crowd=np.array([True, False]))) == []

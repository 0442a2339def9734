"""Each rule by which a report says what to do, on an evaluation that it is for."""

import re
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

from mindssd.evaluation.decomposition import KINDS
from mindssd.evaluation.intervals import Estimate
from mindssd.explain import words
from mindssd.explain.measured import Measured, measure
from tests.explain.made import CAT, DOG, PICTURES, made


@pytest.fixture(scope="module")
def measured(tmp_path_factory: pytest.TempPathFactory) -> Measured:
    return measure(made(tmp_path_factory.mktemp("set")))


def costing(measured: Measured, **losses: float) -> Measured:
    """The same, where each kind of error costs what is given, or nothing; mAP is known well."""
    errors = replace(measured.errors, losses={kind: losses.get(kind, 0.0) for kind in KINDS})
    intervals = replace(measured.intervals, ap=Estimate(0.5, 0.49, 0.51))
    return replace(measured, errors=errors, intervals=intervals)


@pytest.mark.parametrize(
    ("kind", "said"),
    [
        (
            "Cls",
            r"Wrong classes cost 0\.200 AP: dog is detected as cat once, and no pair more often\.",
        ),
        ("Loc", r"Badly placed boxes cost 0\.200 AP: .* larger image_size"),
        ("Both", r"wrong class in the wrong place cost 0\.200 AP"),
        ("Dupe", r"found twice cost 0\.200 AP: NMS at a lower IoU than 0\.6 "),
        ("Bkg", r"on nothing cost 0\.200 AP: .* add pictures without objects; .*--score"),
        ("Miss", r"Missed objects cost 0\.200 AP"),
    ],
)
def test_a_kind_of_error_alone_has_its_sentence(measured, kind, said):
    (sentence,) = words.sentences(costing(measured, **{kind: 0.2}))
    assert re.search(said, sentence), sentence


def test_a_pair_that_is_often_confused_is_told_with_how_often(measured):
    counts = np.array([[2, 7, 1], [1, 1, 0], [1, 0, 0]])
    confused = replace(measured.confusion, counts=counts)
    told = words.of_classes(replace(measured, confusion=confused))
    assert told.startswith("most often, 7 times, cat is detected as dog. Check")


def test_the_three_that_cost_most_are_told_in_order_and_small_ones_never(measured):
    asked = {"Cls": 0.01, "Loc": 0.3, "Dupe": 0.004, "Bkg": 0.02, "Miss": 0.2}
    told = words.sentences(costing(measured, **asked))
    assert [sentence.split(" cost")[0] for sentence in told] == [
        "Badly placed boxes",
        "Missed objects",
        "Detections on nothing",
    ]
    assert words.sentences(costing(measured)) == [
        "No kind of error stands out: each costs less than 0.005 AP at IoU 0.50."
    ]


def test_how_far_the_figures_can_be_trusted_comes_last(measured):
    sure = costing(measured, Cls=0.1, Loc=0.3, Bkg=0.2)
    assert len(words.sentences(sure)) == 3
    unsure = replace(sure.intervals, ap=Estimate(0.5, 0.4, 0.6))
    told = words.sentences(replace(sure, intervals=unsure))
    assert [sentence.split(" ")[0] for sentence in told] == ["Badly", "Detections", "4"]


def test_missed_objects_that_no_default_box_reaches_have_another_way_out(measured):
    missed = np.ones(len(measured.outcomes.truths), np.bool_)
    errors = replace(costing(measured, Miss=0.2).errors, missed=missed)
    for best_iou, said in ((0.1, "5 of 5 fit no default box"), (0.9, "most of all cat (3 of 5)")):
        best = np.full(len(missed), best_iou, np.float32)
        told = words.of_missed(replace(measured, errors=errors, best_iou=best))
        assert said in told, told
    unknown = np.full(len(missed), np.nan, np.float32)
    told = words.of_missed(replace(measured, errors=errors, best_iou=unknown))
    assert "most of all cat" in told and "Default boxes" not in told


def test_few_images_are_told_where_they_leave_map_open(measured):
    def told(estimate: Estimate) -> list[str]:
        intervals = SimpleNamespace(ap=estimate)
        of = replace(measured, intervals=intervals)  # type: ignore[arg-type]
        return words.of_few_images(of)

    assert told(Estimate(0.5, 0.46, 0.54)) == []
    assert told(Estimate(None, None, None)) == []
    (said,) = told(Estimate(0.5, 0.44, 0.56))
    assert said.startswith("4 validation images leave mAP between 0.440 and 0.560")


def test_one_image_says_little(tmp_path):
    only = measure(made(tmp_path, {"a.png": [("cat", CAT)]}, [(1, "cat", CAT, 0.9)]))
    assert words.sentences(only)[-1].startswith("One image says next to nothing")


def test_without_detections_or_truths_that_alone_is_said(tmp_path):
    (said,) = words.sentences(measure(made(tmp_path / "a", PICTURES, [])))
    assert said.startswith("The model detects nothing at all")
    (said,) = words.sentences(measure(made(tmp_path / "b", {"a.png": []}, [(1, "dog", DOG, 0.5)])))
    assert said.startswith("There are no truths")

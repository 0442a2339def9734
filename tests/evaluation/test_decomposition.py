"""Kinds of error by hand, and the figures of tidecv 1.0.1 on detections of trained models."""

from pathlib import Path

import numpy as np
import pytest

from mindssd.evaluation.decomposition import KINDS, Decomposition, decompose
from mindssd.evaluation.detections import DetectionTable
from mindssd.evaluation.outcomes import outcomes
from mindssd.evaluation.truths import Truths
from tests.drawn_detections import Found, Truth, drawn, table_of, truths_of

GOLDEN = Path(__file__).resolve().parents[1] / "golden"
CAT = (0.0, 0.0, 10.0, 10.0)
DOG = (50.0, 50.0, 60.0, 60.0)
TRUTHS: list[Truth] = [(1, 0, CAT), (1, 1, DOG)]


def decomposed(
    found: list[Found], truths: list[Truth] | None = None, crowds: tuple[int, ...] = ()
) -> Decomposition:
    marked = truths_of(TRUTHS if truths is None else truths, crowds)
    return decompose(outcomes(table_of(found), marked, np.array([1]), ("cat", "dog")))


@pytest.mark.parametrize(
    ("found", "kind", "truth"),
    [
        ((1, 1, CAT, 0.9), "Cls", 0),
        ((1, 0, (0, 0, 10, 3), 0.9), "Loc", 0),  # IoU 0.3
        ((1, 1, (0, 0, 10, 3), 0.9), "Both", -1),
        ((1, 0, (80, 80, 90, 90), 0.9), "Bkg", -1),
        ((1, 0, (0, 0, 10, 1), 0.9), "Loc", 0),  # IoU 0.1: a bound belongs to Loc
        ((1, 1, (0, 0, 10, 1), 0.9), "Bkg", -1),
    ],
)
def test_each_wrong_detection_has_one_kind(found: Found, kind: str, truth: int) -> None:
    result = decomposed([found])
    assert result.kind_of.tolist() == [KINDS.index(kind)]
    assert result.truth_near.tolist() == [truth]
    assert result.counts[kind] == 1


def test_the_second_on_a_truth_is_a_duplicate() -> None:
    result = decomposed([(1, 0, CAT, 0.9), (1, 0, (0, 0, 10, 9), 0.8)])
    assert result.kind_of.tolist() == [-1, KINDS.index("Dupe")]
    assert result.truth_near.tolist() == [-1, 0]


def test_a_truth_is_missed_where_no_detection_could_be_mended_to_find_it() -> None:
    result = decomposed([(1, 0, (0, 0, 10, 3), 0.9)])  # the cat is badly placed, the dog not found
    assert result.missed.tolist() == [False, True]
    assert (result.counts["Loc"], result.counts["Miss"]) == (1, 1)


def test_mending_is_worth_the_ap_that_it_gives() -> None:
    # A cat found right at 0.5, below one of class dog on the cat's twin, at 0.9; the dog at 0.4.
    twin = (20.0, 0.0, 30.0, 10.0)
    truths: list[Truth] = [(1, 0, CAT), (1, 0, twin), (1, 1, DOG)]
    found: list[Found] = [(1, 0, CAT, 0.5), (1, 1, twin, 0.9), (1, 1, DOG, 0.4)]
    result = decomposed(found, truths)
    # Cats: recall 1/2 at precision 1, 51 of 101 points. Dogs: precision 1/2 everywhere.
    assert result.ap == pytest.approx((51 / 101 + 1 / 2) / 2)
    assert result.losses["Cls"] == pytest.approx(1 - (51 / 101 + 1 / 2) / 2)
    assert [result.losses[name] for name in ("Loc", "Both", "Dupe", "Bkg", "Miss")] == [0] * 5
    assert result.false_positives == pytest.approx(1 / 4)
    assert result.false_negatives == pytest.approx(50 / 101 / 2)


def test_of_two_that_could_be_mended_to_one_truth_the_better_is() -> None:
    # Loc at 0.9 and Cls at 0.8 are of one truth: mending Cls alone gives nothing but a dropped one.
    found: list[Found] = [(1, 0, (0, 0, 10, 3), 0.9), (1, 1, CAT, 0.8), (1, 1, DOG, 0.7)]
    result = decomposed(found)
    assert result.ap == pytest.approx((0 + 1 / 2) / 2)
    assert result.losses["Loc"] == pytest.approx(1 / 2)
    assert result.losses["Cls"] == pytest.approx(1 / 4)  # the dog's precision rises to 1


def test_what_a_crowd_holds_is_no_error() -> None:
    found: list[Found] = [(1, 0, (50, 50, 60, 60), 0.9)]
    truths: list[Truth] = [(1, 0, (40, 40, 90, 90)), (1, 0, CAT)]
    result = decomposed(found, truths, crowds=(0,))
    assert result.kind_of.tolist() == [-1]
    assert result.missed.tolist() == [False, True]


def test_no_truths_and_no_detections_are_defined() -> None:
    found: list[Found] = [(1, 0, CAT, 0.9)]
    nothing_true = decomposed(found, [])
    assert nothing_true.ap is None and set(nothing_true.losses.values()) == {None}
    assert nothing_true.false_positives is None and nothing_true.counts["Bkg"] == 1
    nothing_found = decomposed([])
    assert nothing_found.ap == 0 and nothing_found.counts["Miss"] == 2
    assert [nothing_found.losses[name] for name in KINDS[:5]] == [0] * 5
    assert nothing_found.losses["Miss"] == nothing_found.false_negatives == 1


@pytest.mark.parametrize("name", ["bccd", "demo"])
def test_the_figures_are_those_of_tidecv(name: str) -> None:
    with np.load(GOLDEN / f"{name}.tide.npz") as golden:
        columns = {key: golden[key] for key in golden.files}
    truth_boxes = columns["truth_boxes_xywh"] / 8
    table = DetectionTable(
        columns["image_ids"].astype(np.int64),
        columns["class_ids"].astype(np.int32),
        columns["boxes"].astype(np.float32) / 8,
        columns["scores"],
    )
    truths = Truths(
        columns["truth_image_ids"].astype(np.int64),
        columns["truth_class_ids"].astype(np.int64),
        truth_boxes,
        truth_boxes[:, 2] * truth_boxes[:, 3],
        columns["truth_is_crowd"],
    )
    class_names = tuple(columns["class_names"].tolist())
    result = decompose(outcomes(table, truths, columns["all_image_ids"], class_names))
    gains = [result.losses[kind] for kind in KINDS]
    ours = [result.ap, *gains, result.false_positives, result.false_negatives]
    np.testing.assert_allclose(np.array(ours, float) * 100, columns["figures"], rtol=0, atol=1e-9)


def test_every_wrong_detection_is_counted_once() -> None:
    table, truths = drawn(8, 30, 4)
    result = outcomes(table, truths, np.arange(1, 60, 2), ("a", "b", "c", "d"))
    parts = decompose(result)
    assert sum(parts.counts[kind] for kind in KINDS[:5]) == result.wrong[0].sum()
    np.testing.assert_array_equal(parts.kind_of >= 0, result.wrong[0])
    assert not (parts.missed & (result.detection_of[0] >= 0)).any()

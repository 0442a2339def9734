"""Annotated boxes that cannot be truths, and those that can after clipping."""

import numpy as np
import pytest

from mindssd.data.check import Boxes, CheckReport, Finding, check_boxes, first_of_twins
from mindssd.errors import DatasetError
from mindssd.types import Array

NAN, INFINITY = float("nan"), float("inf")


def check(
    *boxes: tuple[float, float, float, float], size: tuple[int, int] = (50, 100)
) -> tuple[Array, list[str]]:
    """Check boxes (x, y, width, height) of an image 50 high and 100 wide; findings without their
    examples."""
    sizes = np.tile(np.array(size), (len(boxes), 1))
    xywh = np.array(boxes, float).reshape(-1, 4)
    keep, findings = check_boxes(Boxes(xywh, sizes, lambda row: f"box {row}"))
    return keep, [f"{finding.count} {finding.what}" for finding in findings]


def test_a_sound_box_is_kept() -> None:
    keep, findings = check((10, 20, 20, 20), (0, 0, 100, 50))
    assert keep.all() and findings == []


def test_a_box_partly_outside_is_kept_and_counted() -> None:
    keep, findings = check((-5, 20, 35, 40))
    assert keep.all() and findings == ["1 boxes partly outside their image: clipped"]


def test_rounding_over_the_edge_is_not_worth_a_report() -> None:
    keep, findings = check((10, 20, 90.001, 20))
    assert keep.all() and findings == []


def test_each_box_that_cannot_be_a_truth_is_dropped_under_its_own_name() -> None:
    keep, findings = check(
        (30, 20, -20, 20), (10, 20, 0, 20), (NAN, 0, 1, 1), (0, 0, INFINITY, 1), (100, 0, 20, 50)
    )
    assert not keep.any()
    assert findings == [
        "2 boxes that are not finite: dropped",
        "1 inverted boxes: dropped",
        "1 boxes without area: dropped",
        "1 boxes wholly outside their image: dropped",
    ]


def test_a_side_that_rounding_swallows_is_none() -> None:
    keep, findings = check((10, 10, 1e-20, 5), (1, 1, 2, 2))
    assert keep.tolist() == [False, True] and findings == ["1 boxes without area: dropped"]


def test_an_unknown_image_size_limits_nothing() -> None:
    keep, findings = check((0, 0, 1e6, 1e6), size=(0, 0))
    assert keep.all() and findings == []


def test_no_boxes_give_no_findings() -> None:
    keep, findings = check()
    assert keep.shape == (0,) and findings == []


def test_boxes_in_shares_of_the_image_are_refused_with_the_way_out() -> None:
    with pytest.raises(
        DatasetError, match=r"2 boxes lie within 0\.\.1, such as bbox \[0\.1, .*mult"
    ):
        check((0.1, 0.1, 0.4, 0.4), (0, 0.5, 1, 0.5))
    with pytest.raises(DatasetError, match="within 0"):
        check((0.1, 0.1, 0.4, 0.4), size=(0, 0))


def test_centres_and_sides_in_shares_are_refused_too() -> None:
    with pytest.raises(DatasetError, match=r"2 boxes .* bbox \[0\.6, 0\.5, 0\.7, .* centres, as Y"):
        check((0.2, 0.2, 0.1, 0.1), (0.6, 0.5, 0.7, 0.4))


def test_a_box_in_shares_among_others_is_dropped() -> None:
    keep, findings = check((0, 0, 1, 1), (3, 4, 10, 10))
    assert keep.tolist() == [False, True]
    assert findings == ["1 boxes within 0..1, no pixels: dropped"]


def test_a_pixel_in_the_corner_of_a_tiny_image_is_a_box() -> None:
    assert check((0, 0, 1, 1), size=(4, 4)) == ([True], [])


def test_boxes_as_corners_are_refused_with_the_way_out() -> None:
    boxes = [(40.0 + i, 20.0, 90.0 + i, 45.0) for i in range(10)]
    with pytest.raises(
        DatasetError, match=r"corners \(x1, y1, x2, y2\).*bbox \[40, 20, .*subtract"
    ):
        check(*boxes)
    # One that is none as corners, or few boxes, leave it open.
    assert len(check(*boxes, (50, 5, 10, 10))[1]) == len(check(*boxes[1:])[1]) == 1


def test_full_boxes_are_no_corners() -> None:
    assert check(*[(0.0, 0.0, 100.0 - i, 50.0) for i in range(20)])[1] == []


def test_of_twins_the_first_stays() -> None:
    rows = np.array([0, 0, 1, 0, 0])
    boxes = np.array([[1.5, 2], [1.5, 2], [1.5, 2], [1.5, 2], [0, 2]])
    assert first_of_twins(rows, boxes).tolist() == [True, False, True, False, True]
    assert first_of_twins(np.array([0.0, -0.0, 1.0])).tolist() == [True, False, True]
    assert first_of_twins(np.zeros(0, np.int64)).shape == (0,)


def test_twins_are_those_that_a_set_finds() -> None:
    rng = np.random.default_rng(0)
    numbers, flags = rng.integers(-3, 3, (500, 2)), rng.integers(0, 2, 500).astype(bool)
    seen: set[tuple[object, ...]] = set()
    expected = []
    for row in zip(*numbers.T.tolist(), flags.tolist(), strict=True):
        expected.append(row not in seen)
        seen.add(row)
    assert first_of_twins(numbers, flags).tolist() == expected
    assert first_of_twins(numbers.astype(float), flags).tolist() == expected


def test_a_name_is_shown_in_one_line_without_what_a_terminal_obeys() -> None:
    assert str(Finding(1, "odd", "a\n\x1b[1mö\ud800")) == r"1 odd (such as a\n\x1b[1mö\ud800)"


def test_the_report_says_each_finding_in_one_line_with_an_example() -> None:
    finding = Finding(2, "inverted boxes: dropped", "(3, 0, 1, 2) in a.jpg")
    report = CheckReport("train.json", 4, 7, 1, 2, (finding,))
    assert report.lines() == [
        "train.json: 4 images, 7 boxes, 1 crowds, 2 images without boxes",
        "  2 inverted boxes: dropped (such as (3, 0, 1, 2) in a.jpg)",
    ]

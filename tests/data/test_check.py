"""Annotated boxes that cannot be truths, and those that can after clipping."""

import numpy as np

from mindssd.data.check import CheckReport, Finding, check_boxes
from mindssd.types import Array

NAN, INFINITY = float("nan"), float("inf")


def check(*boxes: tuple[float, float, float, float]) -> tuple[Array, Array, list[str]]:
    """Check boxes of an image of 100 by 50 pixels; findings without their examples."""
    size = np.ones(len(boxes))
    corners = np.array(boxes, float).reshape(-1, 4)
    clipped, keep, findings = check_boxes(corners, 100 * size, 50 * size, lambda row: f"box {row}")
    return clipped, keep, [f"{finding.count} {finding.what}" for finding in findings]


def test_a_sound_box_is_kept_as_it_is() -> None:
    clipped, keep, findings = check((10, 20, 30, 40), (0, 0, 100, 50))
    assert clipped.tolist() == [[10, 20, 30, 40], [0, 0, 100, 50]]
    assert clipped.dtype == np.float32
    assert keep.all() and findings == []


def test_a_box_partly_outside_is_clipped_and_counted() -> None:
    clipped, keep, findings = check((-5, 20, 30, 60))
    assert clipped.tolist() == [[0, 20, 30, 50]]
    assert keep.all() and findings == ["1 boxes partly outside their image: clipped"]


def test_rounding_over_the_edge_is_not_worth_a_report() -> None:
    clipped, keep, findings = check((10, 20, 100.001, 40))
    assert clipped.tolist() == [[10, 20, 100, 40]]
    assert keep.all() and findings == []


def test_each_box_that_cannot_be_a_truth_is_dropped_under_its_own_name() -> None:
    _, keep, findings = check(
        (30, 20, 10, 40), (10, 20, 10, 40), (NAN, 0, 1, 1), (0, 0, INFINITY, 1), (100, 0, 120, 50)
    )
    assert not keep.any()
    assert findings == [
        "2 boxes that are not finite: dropped",
        "1 inverted boxes: dropped",
        "1 boxes without area: dropped",
        "1 boxes wholly outside their image: dropped",
    ]


def test_an_unknown_image_size_clips_nothing() -> None:
    unknown = np.array([np.inf])
    clipped, keep, findings = check_boxes(
        np.array([[0.0, 0, 1e6, 1e6]]), unknown, unknown, lambda row: "image"
    )
    assert clipped.tolist() == [[0, 0, 1e6, 1e6]]
    assert keep.all() and findings == []


def test_no_boxes_give_no_findings() -> None:
    clipped, keep, findings = check()
    assert clipped.shape == (0, 4) and keep.shape == (0,) and findings == []


def test_the_report_says_each_finding_in_one_line_with_an_example() -> None:
    finding = Finding(2, "inverted boxes: dropped", "(3, 0, 1, 2) in a.jpg")
    report = CheckReport("train.json", 4, 7, 1, 2, (finding,))
    assert report.lines() == [
        "train.json: 4 images, 7 boxes, 1 crowds, 2 images without boxes",
        "  2 inverted boxes: dropped (such as (3, 0, 1, 2) in a.jpg)",
    ]

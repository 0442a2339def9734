"""Reliability by hand, and a temperature found again."""

import numpy as np
import pytest

from mindssd.evaluation.calibration import (
    fit_temperature,
    log_loss,
    reliability,
    reliability_of,
    with_temperature,
)
from mindssd.evaluation.curves import ranked
from mindssd.evaluation.outcomes import outcomes
from tests.drawn_detections import drawn


def test_four_scores_in_two_bins() -> None:
    result = reliability(np.array([0.9, 0.7, 0.3, 0.1]), np.array([True, False, False, False]), 2)
    assert result.num_right.tolist() == [0, 1] and result.num_wrong.tolist() == [2, 1]
    assert result.mean_scores.tolist() == pytest.approx([0.2, 0.8])
    assert result.shares_right.tolist() == pytest.approx([0, 0.5])
    assert result.expected_error == pytest.approx((0.2 + 0.3) / 2)


def test_a_bin_holds_its_upper_edge() -> None:
    result = reliability(np.array([0.0, 0.5, 1.0]), np.array([True, True, True]), 2)
    assert result.num_right.tolist() == [2, 1]


def test_an_empty_bin_has_no_mean_and_no_weight() -> None:
    result = reliability(np.array([0.9]), np.array([True]), 3)
    assert np.isnan(result.mean_scores).tolist() == [True, True, False]
    assert result.expected_error == pytest.approx(0.1)


def test_no_detections_have_no_error_and_no_temperature() -> None:
    none, empty = np.zeros(0), np.zeros(0, bool)
    assert reliability(none, empty).expected_error is None
    assert fit_temperature(none, empty) is None
    assert np.isnan(log_loss(none, empty))


def test_scores_that_mean_what_they_say_have_no_error() -> None:
    rng = np.random.default_rng(0)
    scores = rng.random(100_000)
    error = reliability(scores, rng.random(100_000) < scores).expected_error
    assert error == pytest.approx(0, abs=0.01)


@pytest.mark.parametrize("temperature", [0.25, 1.0, 3.0])
def test_the_temperature_of_drawn_scores_is_found(temperature: float) -> None:
    rng = np.random.default_rng(1)
    honest = 1 / (1 + np.exp(-rng.normal(-1, 2, 50_000)))
    right = rng.random(50_000) < honest
    told = with_temperature(honest, 1 / temperature)
    found = fit_temperature(told, right)
    assert found == pytest.approx(temperature, rel=0.05)
    best = log_loss(with_temperature(told, found), right)
    for other in (found * 0.99, found * 1.01):
        assert log_loss(with_temperature(told, other), right) > best


def test_a_temperature_keeps_the_order_and_one_changes_nothing() -> None:
    scores = np.array([0.99, 0.5, 0.2], np.float32)
    np.testing.assert_allclose(with_temperature(scores, 1.0), scores, rtol=1e-6)
    assert with_temperature(scores, 2.0).tolist() == pytest.approx(
        [1 / (1 + (0.01 / 0.99) ** 0.5), 0.5, 1 / 3], rel=1e-5
    )


@pytest.mark.parametrize(
    ("scores", "right"),
    [
        ([0.9, 0.2], [True, False]),  # the lower, the better
        ([0.9, 0.2], [False, True]),  # turned round
        ([0.9, 0.9], [True, False]),  # no better than chance
    ],
)
def test_where_no_temperature_is_best_there_is_none(scores: list[float], right: list[bool]) -> None:
    assert fit_temperature(np.array(scores), np.array(right)) is None


def test_scores_of_zero_and_one_are_taken_as_nearly_so() -> None:
    scores, right = np.array([1.0, 1.0, 1.0, 0.0]), np.array([True, True, False, False])
    found = fit_temperature(scores, right)
    assert found is not None and with_temperature(scores, found)[0] == pytest.approx(0.75, abs=1e-6)


def test_what_a_crowd_holds_does_not_count() -> None:
    table, truths = drawn(2, 20, 3, crowd_share=0.4)
    result = outcomes(table, truths, np.arange(1, 40, 2), ("a", "b", "c"))
    diagram = reliability_of(ranked(result))
    assert diagram.num_right.sum() == result.right[0].sum()
    assert diagram.num_wrong.sum() == result.wrong[0].sum()

"""The loss by hand: focal (arXiv:1708.02002, eq. 5) and smooth L1, over all positives."""

import math

import numpy as np
import pytest

from mindssd.types import Array

LN2 = math.log(2)


@pytest.fixture(scope="module")
def loss(engine):
    """(class sum, box sum, positives) of arrays, with alpha 0.75 and gamma 2."""

    def by_mindspore(gamma: float, *arrays: Array) -> tuple[float, float, float]:
        import mindspore as ms  # after the engine's settings

        from mindssd.engines.mindspore.loss import DetectionLoss

        outputs = DetectionLoss(alpha=0.75, gamma=gamma)(*map(ms.Tensor, arrays))
        class_sum, box_sum, positives = (float(value.asnumpy()) for value in outputs)
        return class_sum, box_sum, positives

    def by_torch(gamma: float, *arrays: Array) -> tuple[float, float, float]:
        import torch

        from mindssd.engines.torch.loss import detection_loss, positives

        tensors = [torch.from_numpy(array) for array in arrays]
        sums = detection_loss(*tensors, alpha=0.75, gamma=gamma)
        return float(sums[0]), float(sums[1]), float(positives(*tensors[3:]).sum())

    return by_torch if engine.name == "torch" else by_mindspore


def _arrays(logits, labels, offsets=None, weights=None, target_offsets=None):
    """One image of `len(labels)` default boxes, unless `labels` has two axes."""
    labels = np.atleast_2d(np.asarray(labels, np.int32))
    shape = (*labels.shape, 4)
    return (
        np.zeros(shape, np.float32) if offsets is None else np.asarray(offsets, np.float32),
        np.asarray(logits, np.float32).reshape(*labels.shape, -1),
        np.zeros(shape, np.float32)
        if target_offsets is None
        else np.asarray(target_offsets, np.float32),
        labels,
        np.ones(len(labels), np.float32) if weights is None else np.asarray(weights, np.float32),
    )


def test_four_terms_by_hand(loss):
    # One positive of class 1, one background; columns background, class 1; every p is 1/2.
    # The true column: 0.75 · (1/2)² · ln 2; the other: 0.25 · (1/2)² · ln 2.
    class_sum, box_sum, positives = loss(2.0, *_arrays([[0, 0], [0, 0]], [1, 0]))
    assert class_sum == pytest.approx(2 * (0.75 + 0.25) * 0.25 * LN2, rel=1e-6)
    assert (box_sum, positives) == (0.0, 1.0)


def test_a_sure_and_right_answer_costs_next_to_nothing_and_a_wrong_one_its_logit(loss):
    right, _, _ = loss(2.0, *_arrays([[-8, 8]], [1]))
    wrong, _, _ = loss(2.0, *_arrays([[8, -8]], [1]))
    assert right < 1e-9
    # p_t = sigmoid(-8): ln(1 + e^8) · (1 - p_t)², with alpha 0.75 and 0.25 for the two columns
    expected = math.log1p(math.exp(8)) * (1 - 1 / (1 + math.exp(8))) ** 2
    assert wrong == pytest.approx(expected, rel=1e-6)


def test_gamma_0_is_plain_cross_entropy(loss):
    class_sum, _, _ = loss(0.0, *_arrays([[0.0, 3.0]], [1]))
    expected = 0.25 * LN2 + 0.75 * math.log1p(math.exp(-3))
    assert class_sum == pytest.approx(expected, rel=1e-6)


def test_smooth_l1_is_a_parabola_below_one_and_a_line_above(loss):
    # 0.5 · 0.5² + (1 - 0.5) + (3 - 0.5) + 0
    arrays = _arrays([[0, 0]], [1], offsets=[[[0.5, -1, 3, 0]]])
    assert loss(2.0, *arrays)[1] == pytest.approx(0.125 + 0.5 + 2.5)


def test_background_has_no_box_loss(loss):
    arrays = _arrays([[0, 0]], [0], offsets=[[[9, 9, 9, 9]]])
    assert loss(2.0, *arrays)[1:] == (0.0, 0.0)


def test_a_sample_of_weight_0_adds_nothing(loss):
    arrays = _arrays(
        [[0, 0], [50, -50]], [[1], [1]], offsets=[[[0, 0, 0, 0]], [[9, 9, 9, 9]]], weights=[1, 0]
    )
    alone = _arrays([[0, 0]], [1])
    assert loss(2.0, *arrays) == pytest.approx(loss(2.0, *alone), rel=1e-6)


def test_huge_logits_stay_finite(loss):
    class_sum, _, _ = loss(2.0, *_arrays([[1e4, -1e4], [-1e4, 1e4]], [1, 0]))
    assert class_sum == pytest.approx(2e4, rel=1e-6)


def test_it_equals_its_formula_on_random_numbers(loss):
    rng = np.random.default_rng(0)
    logits = rng.normal(0, 3, (2, 5, 4)).astype(np.float32)
    labels = rng.integers(0, 4, (2, 5)).astype(np.int32)
    offsets, targets = rng.normal(0, 2, (2, 2, 5, 4)).astype(np.float32)
    class_sum, box_sum, positives = loss(
        2.0, offsets, logits, targets, labels, np.ones(2, np.float32)
    )
    truth = np.eye(4)[labels]
    p = 1 / (1 + np.exp(-logits.astype(np.float64)))
    p_t = np.where(truth == 1, p, 1 - p)
    alpha_t = np.where(truth == 1, 0.75, 0.25)
    assert class_sum == pytest.approx((-alpha_t * (1 - p_t) ** 2 * np.log(p_t)).sum(), rel=1e-5)
    distance = np.abs(offsets - targets)
    smooth = np.where(distance < 1, 0.5 * distance**2, distance - 0.5)
    assert box_sum == pytest.approx(smooth[labels > 0].sum(), rel=1e-5)
    assert positives == (labels > 0).sum()

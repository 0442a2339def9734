"""The losses by hand: focal or quality focal of the classes, smooth L1 or GIoU of the boxes."""

import math

import numpy as np
import pytest

from mindssd.engines.base import LossSpec
from mindssd.geometry.coding import decode
from mindssd.types import Array

LN2 = math.log(2)
UNIT = np.array([[0.5, 0.5, 1, 1]], np.float32)
"""A default box."""


@pytest.fixture(scope="module")
def sums_of(engine):
    """(class sum, box sum, positives, box count) of arrays, and the gradients of offsets and logits
    of the class sum plus the box sum.

    MindSpore computes operator by operator, unless `compiled` asks for a graph, which takes longer
    to compile; `test_both_engines.py` compiles one of each loss.
    """

    def by_mindspore(
        spec: LossSpec, *arrays: Array, compiled: bool = False
    ) -> tuple[list[float], list[Array]]:
        import mindspore as ms  # after the engine's settings

        from mindssd.engines.mindspore.device import in_mode
        from mindssd.engines.mindspore.loss import DetectionLoss

        loss = DetectionLoss(spec)
        tensors = [ms.Tensor(array) for array in arrays]

        def total(offsets, logits):
            sums = loss(offsets, logits, *tensors[2:])
            return sums[0] + sums[1], sums

        with in_mode(ms.GRAPH_MODE if compiled else ms.PYNATIVE_MODE):
            gradients, (sums,) = ms.grad(total, (0, 1), has_aux=True)(*tensors[:2])
            return [float(x.asnumpy()) for x in sums], [x.asnumpy() for x in gradients]

    def by_torch(
        spec: LossSpec, *arrays: Array, compiled: bool = False
    ) -> tuple[list[float], list[Array]]:
        import torch

        from mindssd.engines.torch.loss import detection_loss

        tensors = [torch.from_numpy(array) for array in arrays]
        for tensor in tensors[:2]:
            tensor.requires_grad_()
        sums = detection_loss(*tensors, spec)
        (sums.class_sum + sums.box_sum).backward()
        gradients = [t.grad if t.grad is not None else torch.zeros_like(t) for t in tensors[:2]]
        return [value.item() for value in sums], [gradient.numpy() for gradient in gradients]

    return by_torch if engine.name == "torch" else by_mindspore


@pytest.fixture(scope="module")
def loss(sums_of):
    """(class sum, box sum, positives) of MindCV's loss of arrays, with alpha 0.75."""
    return lambda gamma, *arrays: tuple(sums_of(LossSpec(focal_gamma=gamma), *arrays)[0][:3])


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


def test_huge_logits_stay_finite(sums_of):
    arrays = _arrays([[1e4, -1e4], [-1e4, 1e4]], [1, 0])
    (class_sum, *_), gradients = sums_of(LossSpec(), *arrays, compiled=True)
    assert class_sum == pytest.approx(2e4, rel=1e-6)
    assert all(np.isfinite(gradient).all() for gradient in gradients)


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


QUALITY = LossSpec(class_kind="quality_focal", box_kind="giou")


def _offsets_of(cxcywh) -> Array:
    """A box as offsets (ty, tx, th, tw) from `UNIT`."""
    cx, cy, width, height = cxcywh
    offsets = [(cy - 0.5) / 0.1, (cx - 0.5) / 0.1, math.log(height) / 0.2, math.log(width) / 0.2]
    return np.array([[offsets]], np.float32)


def test_giou_by_hand(sums_of):
    """Boxes 0..1 × 0..1 and 0..1 × 0..2 share half: IoU 1/2, enclosed without a rest."""
    arrays = _arrays(
        [[0, 0]], [1], _offsets_of((0.5, 0.5, 1, 1)), target_offsets=_offsets_of((0.5, 1, 1, 2))
    )
    sums, _ = sums_of(LossSpec(box_kind="giou"), *arrays)
    assert sums[1] == pytest.approx(1 - 0.5, rel=1e-6)


def test_giou_of_boxes_apart_is_negative_and_pulls_them_together(sums_of):
    """0..1 and 2..3: IoU 0, the enclosing box of 3 has 1 to spare; the loss is 1 + 1/3."""
    arrays = _arrays(
        [[0, 0]], [1], _offsets_of((0.5, 0.5, 1, 1)), target_offsets=_offsets_of((2.5, 0.5, 1, 1))
    )
    sums, (offset_gradient, _) = sums_of(LossSpec(box_kind="giou"), *arrays)
    assert sums[1] == pytest.approx(4 / 3, rel=1e-6)
    ty, tx, _, _ = offset_gradient[0, 0]
    # The union stays 2 while the enclosing width 3 shrinks: d(2 / (3 - x)) = 2/9, times variance.
    assert tx == pytest.approx(-0.1 * 2 / 9, rel=1e-4)
    assert ty == pytest.approx(0, abs=1e-6)


def test_giou_is_that_of_the_decoded_boxes_in_the_image(sums_of):
    """The loss needs no default boxes: any would give the same."""
    rng = np.random.default_rng(3)
    offsets, targets = rng.normal(0, 2, (2, 1, 7, 4)).astype(np.float32)
    default_boxes = np.concatenate([rng.uniform(0, 1, (7, 2)), rng.uniform(0.1, 0.9, (7, 2))], 1)
    boxes, others = (decode(x[0], default_boxes, (0.1, 0.2)) for x in (offsets, targets))
    low, high = np.minimum(boxes, others), np.maximum(boxes, others)
    intersection = (low[:, 2:] - high[:, :2]).clip(0).prod(1)
    union = sum((x[:, 2:] - x[:, :2]).prod(1) for x in (boxes, others)) - intersection
    enclosing = (high[:, 2:] - low[:, :2]).prod(1)
    expected = 1 - (intersection / union - (enclosing - union) / enclosing)
    labels = [1, 2, 0, 1, 2, 1, 0]
    arrays = _arrays(np.zeros((7, 3)), labels, offsets, target_offsets=targets)
    sums, (offset_gradient, _) = sums_of(LossSpec(box_kind="giou"), *arrays)
    assert sums[1] == pytest.approx(expected[np.array(labels) > 0].sum(), rel=1e-4)
    assert (offset_gradient[0, np.array(labels) == 0] == 0).all()


def test_quality_focal_loss_by_hand(sums_of):
    """A positive of IoU 1/2 whose scores are 1/2 costs nothing in its own column; all p are 1/2."""
    arrays = _arrays(
        [[0, 0], [0, 0]],
        [1, 0],
        np.concatenate([_offsets_of((0.5, 0.5, 1, 1))] * 2, axis=1),
        target_offsets=np.concatenate([_offsets_of((0.5, 1, 1, 2))] * 2, axis=1),
    )
    sums, _ = sums_of(QUALITY, *arrays)
    # The other three: |0 - 1/2|² or |1 - 1/2|², times ln 2.
    assert sums[0] == pytest.approx(3 * 0.25 * LN2, rel=1e-6)


def test_the_gradient_of_quality_focal_loss_by_hand(sums_of):
    """Scores of 3/4: background's goal is 0, and the positive's class has its goal."""
    target = _offsets_of((0.5, 0.5 + 1 / 6, 1, 4 / 3))  # 0..1 in 0..4/3: IoU 3/4
    arrays = _arrays([[math.log(3), math.log(3)]], [1], target_offsets=target)
    _, (_, logit_gradient) = sums_of(QUALITY, *arrays)
    # d/dx [p² softplus(x)] = 2 p · p(1 - p) · softplus(x) + p² · p, at p 3/4 and x ln 3
    expected = 2 * 0.75 * 0.75 * 0.25 * math.log(4) + 0.75**3
    assert logit_gradient[0, 0].tolist() == pytest.approx([expected, 0], rel=1e-5, abs=1e-6)


def test_quality_focal_loss_with_gamma_1(sums_of):
    arrays = _arrays([[0, 0]], [1], target_offsets=_offsets_of((0.5, 1, 1, 2)))
    sums, _ = sums_of(LossSpec(class_kind="quality_focal", focal_gamma=1.0), *arrays)
    assert sums[0] == pytest.approx(0.5 * LN2, rel=1e-6)


def test_the_quality_is_a_goal_and_pulls_no_box(sums_of):
    """Smooth L1 beside it: the offsets' gradient is smooth L1's alone."""
    arrays = _arrays(
        [[0, 1]], [1], np.full((1, 1, 4), 0.5, np.float32), target_offsets=np.zeros((1, 1, 4))
    )
    _, (offset_gradient, _) = sums_of(LossSpec(class_kind="quality_focal"), *arrays)
    assert offset_gradient.ravel().tolist() == pytest.approx([0.5] * 4)


def test_boxes_weighted_by_score_count_as_much_as_their_truths_scores(sums_of):
    # Scores 1/2 and 1/4 of the true class; each box is half right.
    logits = [[0, 0], [5, math.log(1 / 3)]]
    arrays = _arrays(
        logits,
        [1, 1],
        np.concatenate([_offsets_of((0.5, 0.5, 1, 1))] * 2, axis=1),
        target_offsets=np.concatenate([_offsets_of((0.5, 1, 1, 2))] * 2, axis=1),
    )
    spec = LossSpec(box_kind="giou", box_weight_by_score=True)
    sums, (_, logit_gradient) = sums_of(spec, *arrays)
    assert sums[1:] == pytest.approx([0.75 * 0.5, 2, 0.75], rel=1e-6)
    # The weights pull no score.
    _, (_, without) = sums_of(LossSpec(box_kind="giou"), *arrays)
    np.testing.assert_array_equal(logit_gradient, without)


@pytest.mark.parametrize("by_score", [False, True])
def test_without_positives_all_but_the_class_sum_is_nothing(sums_of, by_score):
    spec = LossSpec("quality_focal", box_kind="giou", box_weight_by_score=by_score)
    arrays = _arrays(np.zeros((3, 81)), [0, 0, 0], offsets=np.full((1, 3, 4), 1e6))
    sums, (offset_gradient, logit_gradient) = sums_of(spec, *arrays, compiled=True)
    assert sums[1:] == [0, 0, 0]
    assert sums[0] == pytest.approx(3 * 81 * 0.25 * LN2, rel=1e-5)
    assert (offset_gradient == 0).all() and np.isfinite(logit_gradient).all()


@pytest.mark.parametrize("num_classes", [1, 80])
def test_a_sample_of_weight_0_adds_nothing_to_the_other_losses_either(sums_of, num_classes):
    rng = np.random.default_rng(1)
    spec = LossSpec("quality_focal", box_kind="giou", box_weight_by_score=True)
    labels = rng.integers(0, num_classes + 1, (2, 6))
    logits = rng.normal(size=(2, 6, num_classes + 1))
    offsets, targets = rng.normal(size=(2, 2, 6, 4))
    both = _arrays(logits, labels, offsets, [1, 0], targets)
    alone = _arrays(logits[:1], labels[:1], offsets[:1], [1], targets[:1])
    assert sums_of(spec, *both)[0] == pytest.approx(sums_of(spec, *alone)[0], rel=1e-5)


def test_wild_offsets_give_finite_losses(sums_of):
    offsets = np.array([[[0, 0, 1e4, 1e4], [0, 0, -1e4, -1e4], [1e6, -1e6, 0, 0]]])
    arrays = _arrays(np.zeros((3, 2)), [1, 1, 1], offsets, target_offsets=np.zeros((1, 3, 4)))
    sums, gradients = sums_of(QUALITY, *arrays, compiled=True)
    assert np.isfinite(sums).all()
    assert all(np.isfinite(gradient).all() for gradient in gradients)

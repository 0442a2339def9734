"""The class loss of all default boxes and the box loss of positives, as sums over a batch."""

from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

from mindssd.engines.base import LossSpec


class LossSums(NamedTuple):
    """What a batch adds up to; each of the two losses is yet to be divided by its count."""

    class_sum: Tensor
    box_sum: Tensor
    positives: Tensor
    """The number of positives, which the class loss is divided by."""
    box_count: Tensor
    """The same, or the sum of the weights that the boxes have."""


def detection_loss(
    offsets: Tensor,
    logits: Tensor,
    target_offsets: Tensor,
    labels: Tensor,
    weights: Tensor,
    spec: LossSpec,
) -> LossSums:
    """The sums of a batch: offsets (B, A, 4), logits (B, A, C + 1), labels (B, A), weights (B,).

    The class loss is of every default box and column, background being column 0 and a class like
    any other; the box loss is of positives alone. A sample of weight 0 adds nothing to any sum.
    Without a positive all but the class sum are 0.
    """
    columns = torch.arange(logits.shape[-1], device=logits.device)
    is_truth = labels[..., None] == columns  # (B, A, C + 1)
    is_positive = labels > 0
    positives = is_positive * weights[:, None]  # (B, A)
    overlap: tuple[Tensor, Tensor] | None = None
    if spec.class_kind == "quality_focal" or spec.box_kind == "giou":
        overlap = iou_and_giou(offsets, target_offsets, spec.variances, spec.max_log_size_ratio)

    if spec.class_kind == "quality_focal" and overlap is not None:
        quality = torch.where(is_positive, overlap[0].detach(), 1.0)
        class_losses = quality_focal_loss(logits, is_truth * quality[..., None], spec.focal_gamma)
    else:
        class_losses = focal_loss(logits, is_truth, spec.focal_alpha, spec.focal_gamma)
    class_sum = (class_losses.sum((1, 2)) * weights).sum()

    if spec.box_kind == "giou" and overlap is not None:
        box_losses = 1.0 - overlap[1]  # (B, A)
    else:
        box_losses = smooth_l1(offsets - target_offsets).sum(-1)
    box_weights = positives
    if spec.box_weight_by_score:
        box_weights = positives * (logits.detach().sigmoid() * is_truth).sum(-1)
    box_sum = (box_losses * box_weights).sum()
    return LossSums(class_sum, box_sum, positives.sum(), box_weights.sum())


def focal_loss(logits: Tensor, is_truth: Tensor, alpha: float, gamma: float) -> Tensor:
    """The focal loss (arXiv:1708.02002, eq. 5) of each logit. Both and the result (B, A, C + 1)."""
    # With s = +1 at the truth's column and -1 elsewhere, p_t = sigmoid(s x), and the cross entropy
    # is softplus(-s x).
    margin = torch.where(is_truth, -logits, logits)
    miss = torch.sigmoid(margin)  # 1 - p_t
    modulation = miss.square() if gamma == 2.0 else miss.pow(gamma)
    return torch.where(is_truth, alpha, 1.0 - alpha) * modulation * functional.softplus(margin)


def quality_focal_loss(logits: Tensor, goals: Tensor, gamma: float) -> Tensor:
    """The quality focal loss (arXiv:2006.04388, eq. 4) of each logit, with goals in 0..1."""
    distance = (goals - logits.sigmoid()).abs()
    modulation = distance.square() if gamma == 2.0 else distance.pow(gamma)
    return modulation * (functional.softplus(logits) - goals * logits)


def smooth_l1(differences: Tensor) -> Tensor:
    """0.5 d² below 1, |d| - 0.5 above, of each difference."""
    distance = differences.abs()
    near = distance.clamp(max=1.0)
    return near * (distance - 0.5 * near)


def iou_and_giou(
    offsets: Tensor,
    target_offsets: Tensor,
    variances: tuple[float, float],
    max_log_size_ratio: float,
) -> tuple[Tensor, Tensor]:
    """IoU and GIoU (arXiv:1902.09630) of boxes given by their offsets from one default box.

    Both (..., 4) to (...) each. Neither changes when an axis is scaled or moved, so the boxes are
    decoded from a default box of side 1 at the origin, whatever it is.
    """
    low, high, area = _decode(offsets, variances, max_log_size_ratio)
    target_low, target_high, target_area = _decode(target_offsets, variances, max_log_size_ratio)
    sides = (torch.minimum(high, target_high) - torch.maximum(low, target_low)).clamp(min=0.0)
    intersection = sides[..., 0] * sides[..., 1]
    union = area + target_area - intersection
    around = torch.maximum(high, target_high) - torch.minimum(low, target_low)
    enclosing = around[..., 0] * around[..., 1]
    iou = intersection / union
    return iou, iou - (enclosing - union) / enclosing


def _decode(
    offsets: Tensor, variances: tuple[float, float], max_log_size_ratio: float
) -> tuple[Tensor, Tensor, Tensor]:
    """Corners (..., 2), both as (y, x), and area (...)."""
    centre = offsets[..., :2] * variances[0]
    size = (offsets[..., 2:] * variances[1]).clamp(max=max_log_size_ratio).exp()
    half_size = size / 2
    return centre - half_size, centre + half_size, size[..., 0] * size[..., 1]

"""Sigmoid focal loss and smooth L1, over all positives of the batch."""

import torch
from torch import Tensor
from torch.nn import functional


def detection_loss(
    offsets: Tensor,
    logits: Tensor,
    target_offsets: Tensor,
    labels: Tensor,
    weights: Tensor,
    alpha: float,
    gamma: float,
) -> tuple[Tensor, Tensor]:
    """The two sums of a batch, class and box, not yet divided by its number of positives.

    The class loss is the focal loss (arXiv:1708.02002, eq. 5) of every default box and column,
    background being column 0 and a class like any other. The box loss is smooth L1 (beta 1)
    summed over the four offsets, of positives alone. A sample of weight 0 adds nothing to either.
    """
    columns = torch.arange(logits.shape[-1], device=logits.device)
    is_truth = labels[..., None] == columns  # (B, A, C + 1)
    # With s = +1 at the truth's column and -1 elsewhere, p_t = sigmoid(s x), and the cross entropy
    # is softplus(-s x).
    margin = torch.where(is_truth, -logits, logits)
    cross_entropy = functional.softplus(margin)
    miss = torch.sigmoid(margin)  # 1 - p_t
    modulation = miss.square() if gamma == 2.0 else miss.pow(gamma)
    focal = torch.where(is_truth, alpha, 1.0 - alpha) * modulation * cross_entropy
    class_loss = (focal.sum((1, 2)) * weights).sum()

    distance = (offsets - target_offsets).abs()
    near = distance.clamp(max=1.0)
    smooth = near * (distance - 0.5 * near)  # 0.5 d² below 1, d - 0.5 above
    box_loss = (smooth.sum(-1) * positives(labels, weights)).sum()
    return class_loss, box_loss


def positives(labels: Tensor, weights: Tensor) -> Tensor:
    """(B, A): the sample's weight where a default box is positive, else 0."""
    return (labels > 0) * weights[:, None]

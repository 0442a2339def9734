"""Sigmoid focal loss and smooth L1, over all positives of the batch."""

from mindspore import nn, ops


class DetectionLoss(nn.Cell):
    """The two sums of a batch, not yet divided by its number of positives.

    The class loss is the focal loss (arXiv:1708.02002, eq. 5) of every default box and column,
    background being column 0 and a class like any other. The box loss is smooth L1 (beta 1)
    summed over the four offsets, of positives alone. A sample of weight 0 adds nothing to either.
    """

    def __init__(self, alpha: float, gamma: float) -> None:
        super().__init__()
        self.alpha = alpha
        self.gamma = gamma

    def construct(self, offsets, logits, target_offsets, labels, weights):
        counts = ops.expand_dims(weights, 1)  # (B, 1)
        truth = ops.one_hot(labels, ops.shape(logits)[-1], 1.0, 0.0)  # (B, A, C + 1)
        # With s = +1 at the truth's column and -1 elsewhere, p_t = sigmoid(s x) and the cross
        # entropy is softplus(-s x): one exponential for both.
        margin = (1.0 - 2.0 * truth) * logits
        tail = ops.exp(-ops.abs(margin))
        cross_entropy = ops.relu(margin) + ops.log(1.0 + tail)
        miss = ops.exp(margin - cross_entropy)  # 1 - p_t = sigmoid(margin)
        alpha = (1.0 - self.alpha) + (2.0 * self.alpha - 1.0) * truth
        modulation = ops.square(miss) if self.gamma == 2.0 else ops.pow(miss, self.gamma)
        focal = alpha * modulation * cross_entropy
        class_loss = ops.sum(ops.sum(focal, -1) * counts)

        positives = ops.cast(ops.greater(labels, 0), logits.dtype) * counts  # (B, A)
        distance = ops.abs(offsets - target_offsets)
        near = ops.minimum(distance, 1.0)
        smooth = near * (distance - 0.5 * near)  # 0.5 d² below 1, d - 0.5 above
        box_loss = ops.sum(ops.sum(smooth, -1) * positives)
        return class_loss, box_loss, ops.sum(positives)

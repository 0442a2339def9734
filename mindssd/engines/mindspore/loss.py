"""The class loss of all default boxes and the box loss of positives, as sums over a batch."""

from mindspore import nn, ops

from mindssd.engines.base import LossSpec


class DetectionLoss(nn.Cell):
    """The sums of a batch; each of the two losses is yet to be divided by its count.

    Gives the class sum, the box sum, the number of positives, which the class loss is divided by,
    and what the box loss is: the same, or the sum of the weights that the boxes have. The class
    loss is of every default box and column, background being column 0 and a class like any other;
    the box loss is of positives alone. A sample of weight 0 adds nothing to any sum. Without a
    positive all but the class sum are 0.
    """

    def __init__(self, spec: LossSpec) -> None:
        super().__init__()
        self.by_quality = spec.class_kind == "quality_focal"
        self.by_giou = spec.box_kind == "giou"
        self.by_score = spec.box_weight_by_score
        self.alpha = spec.focal_alpha
        self.gamma = spec.focal_gamma
        self.variances = spec.variances
        self.max_log_size_ratio = spec.max_log_size_ratio

    def construct(self, offsets, logits, target_offsets, labels, weights):
        counts = ops.expand_dims(weights, 1)  # (B, 1)
        truth = ops.one_hot(labels, ops.shape(logits)[-1], 1.0, 0.0)  # (B, A, C + 1)
        is_positive = ops.cast(ops.greater(labels, 0), logits.dtype)  # (B, A)
        positives = is_positive * counts
        iou, giou = positives, positives
        if self.by_quality or self.by_giou:
            iou, giou = self.iou_and_giou(offsets, target_offsets)
        if self.by_quality:
            quality = is_positive * ops.stop_gradient(iou) + (1.0 - is_positive)
            class_losses = self.quality_focal_loss(logits, truth * ops.expand_dims(quality, -1))
        else:
            class_losses = self.focal_loss(logits, truth)
        class_sum = ops.sum(ops.sum(class_losses, -1) * counts)

        box_losses = 1.0 - giou if self.by_giou else self.smooth_l1(offsets, target_offsets)
        box_weights = positives
        if self.by_score:
            scores = ops.sigmoid(ops.stop_gradient(logits))
            box_weights = positives * ops.sum(scores * truth, -1)
        box_sum = ops.sum(box_losses * box_weights)
        return class_sum, box_sum, ops.sum(positives), ops.sum(box_weights)

    def focal_loss(self, logits, truth):
        """The focal loss (arXiv:1708.02002, eq. 5) of each logit, (B, A, C + 1)."""
        # With s = +1 at the truth's column and -1 elsewhere, p_t = sigmoid(s x) and the cross
        # entropy is softplus(-s x): one exponential for both.
        margin = (1.0 - 2.0 * truth) * logits
        tail = ops.exp(-ops.abs(margin))
        cross_entropy = ops.relu(margin) + ops.log(1.0 + tail)
        miss = ops.exp(margin - cross_entropy)  # 1 - p_t = sigmoid(margin)
        alpha = (1.0 - self.alpha) + (2.0 * self.alpha - 1.0) * truth
        modulation = ops.square(miss) if self.gamma == 2.0 else ops.pow(miss, self.gamma)
        return alpha * modulation * cross_entropy

    def quality_focal_loss(self, logits, goals):
        """The quality focal loss (arXiv:2006.04388, eq. 4) of each logit, with goals in 0..1."""
        distance = ops.abs(goals - ops.sigmoid(logits))
        modulation = ops.square(distance) if self.gamma == 2.0 else ops.pow(distance, self.gamma)
        cross_entropy = ops.relu(logits) + ops.log(1.0 + ops.exp(-ops.abs(logits)))
        return modulation * (cross_entropy - goals * logits)

    def smooth_l1(self, offsets, target_offsets):
        """0.5 d² below 1, |d| - 0.5 above, summed over the four offsets: (B, A)."""
        distance = ops.abs(offsets - target_offsets)
        near = ops.minimum(distance, 1.0)
        return ops.sum(near * (distance - 0.5 * near), -1)

    def iou_and_giou(self, offsets, target_offsets):
        """IoU and GIoU (arXiv:1902.09630) of boxes given by their offsets from one default box.

        Both (..., 4) to (...) each. Neither changes when an axis is scaled or moved, so the boxes
        are decoded from a default box of side 1 at the origin, whatever it is.
        """
        low, high, area = self.decode(offsets)
        target_low, target_high, target_area = self.decode(target_offsets)
        sides = ops.relu(ops.minimum(high, target_high) - ops.maximum(low, target_low))
        intersection = sides[..., 0] * sides[..., 1]
        union = area + target_area - intersection
        around = ops.maximum(high, target_high) - ops.minimum(low, target_low)
        enclosing = around[..., 0] * around[..., 1]
        iou = intersection / union
        return iou, iou - (enclosing - union) / enclosing

    def decode(self, offsets):
        """Corners (..., 2), both as (y, x), and area (...)."""
        centre = offsets[..., :2] * self.variances[0]
        size = ops.exp(ops.minimum(offsets[..., 2:] * self.variances[1], self.max_log_size_ratio))
        half_size = size / 2
        return centre - half_size, centre + half_size, size[..., 0] * size[..., 1]

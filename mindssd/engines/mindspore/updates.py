"""What a step does to every parameter: sums, averages, and the updates of SGD and AdamW.

MindSpore unrolls a Python loop into one call inside the next, and 260 parameters exceed its depth
of calls; its own way to do one thing to every parameter is HyperMap over such functions.
"""

import mindspore as ms
from mindspore import ops

from mindssd.engines.base import ADAM_EPSILON

add = ops.MultitypeFuncGraph("add")
flat = ops.MultitypeFuncGraph("flat")
cut = ops.MultitypeFuncGraph("cut")
square_sum = ops.MultitypeFuncGraph("square_sum")
assign = ops.MultitypeFuncGraph("assign")
average = ops.MultitypeFuncGraph("average")
sgd = ops.MultitypeFuncGraph("sgd")
adamw = ops.MultitypeFuncGraph("adamw")
_apply_momentum = ops.ApplyMomentum()


@add.register("Tensor", "Tensor")
def _add_tensors(left, right):
    return left + right


@flat.register("Tensor")
def _flat_tensor(gradient):
    return ops.reshape(gradient, (-1,))


@cut.register("Tensor", "Number", "Number", "Tensor")
def _cut_tensor(message, start, size, gradient):
    return ops.reshape(ops.slice(message, (start,), (size,)), ops.shape(gradient))


@square_sum.register("Tensor")
def _square_sum_of_tensor(gradient):
    return ops.sum(ops.square(ops.cast(gradient, ms.float32)))


@assign.register("Tensor", "Tensor")
def _assign_tensor(target, value):
    return ops.assign(target, value)


@average.register("Tensor", "Tensor", "Tensor")
def _average_tensors(decay, average, parameter):
    return ops.assign(average, parameter + decay * (average - parameter))


@sgd.register("Tensor", "Tensor", "Number", "Number", "Number", "Tensor", "Tensor", "Tensor")
def _sgd_tensor(learning_rate, factor, momentum, decay, rate, weight, velocity, gradient):
    gradient = gradient * factor
    if decay > 0:
        gradient = gradient + decay * weight
    if rate != 1.0:
        learning_rate = learning_rate * rate
    return _apply_momentum(weight, velocity, learning_rate, gradient, momentum)


@adamw.register(
    *("Tensor", "Tensor", "Tensor", "Tensor", "Number", "Number", "Number", "Number"),
    *("Tensor", "Tensor", "Tensor", "Tensor"),
)
def _adamw_tensor(
    learning_rate,
    factor,
    mean_correction,
    square_correction,
    beta,
    second_beta,
    decay,
    rate,
    weight,
    mean,
    square,
    slope,
):
    """arXiv:1711.05101, algorithm 2; the corrections are 1 - beta^t of the two betas."""
    slope = slope * factor
    learning_rate = learning_rate * rate
    new_mean = beta * mean + (1.0 - beta) * slope
    new_square = second_beta * square + (1.0 - second_beta) * slope * slope
    root = ops.sqrt(new_square) / ops.sqrt(square_correction) + ADAM_EPSILON
    change = new_mean / mean_correction / root
    ops.assign(mean, new_mean)
    ops.assign(square, new_square)
    return ops.assign(weight, weight - learning_rate * decay * weight - learning_rate * change)

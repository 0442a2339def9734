"""One optimizer step as one compiled graph: forward, loss, backward, clipping, update, EMA."""

import mindspore as ms
import numpy as np
from mindspore import Parameter, ParameterTuple, Tensor, nn, ops

from mindssd.engines.base import Parameters, StepperState, StepResult, StepSpec
from mindssd.engines.mindspore import updates
from mindssd.engines.mindspore.device import overwrite
from mindssd.engines.mindspore.loss import DetectionLoss
from mindssd.engines.mindspore.network import MindSporeNetwork
from mindssd.engines.mindspore.process import calling
from mindssd.errors import EngineError, WeightsError
from mindssd.types import Batch


def _group_sum(group_size: int):
    """The sum over a group's processes; a group of one needs none."""
    return ops.AllReduce() if group_size > 1 else ops.identity


class _LossCell(nn.Cell):
    """The scaled loss of a batch, with its two parts beside it."""

    def __init__(self, detector: nn.Cell, spec: StepSpec, group_size: int) -> None:
        super().__init__(auto_prefix=False)
        self.group_size = group_size
        self.total = _group_sum(group_size)
        self.detector = detector
        self.loss = DetectionLoss(spec.loss)
        self.class_weight = spec.loss.class_weight
        self.box_weight = spec.loss.box_weight
        self.scale = spec.loss_scale

    def construct(self, images, target_offsets, labels, weights):
        offsets, logits = self.detector(images)
        class_sum, box_sum, positives, box_count = self.loss(
            ops.cast(offsets, ms.float32),
            ops.cast(logits, ms.float32),
            target_offsets,
            labels,
            weights,
        )
        # A short batch moves the weights by as much as it has images, not by a whole batch.
        share = ops.mean(weights)
        if self.group_size > 1:
            # The batch is the whole group's: so are its counts and its share.
            counts = ops.stop_gradient(ops.stack((positives, box_count)))
            total = self.total(ops.concat((counts, ops.expand_dims(share, 0))))
            positives, box_count, share = total[0], total[1], total[2] / self.group_size
        # A batch of background alone divides by 1: its loss stays finite.
        class_loss = self.class_weight * class_sum / ops.maximum(positives, 1.0)
        box_loss = self.box_weight * box_sum / ops.maximum(box_count, 1.0)
        return (class_loss + box_loss) * (self.scale * share), class_loss, box_loss, positives


class _StepCell(nn.Cell):
    """`first` and `last` tell a micro-step's place among those that accumulate into one update."""

    def __init__(self, network: MindSporeNetwork, spec: StepSpec, group_size: int) -> None:
        super().__init__(auto_prefix=False)
        self.spec = spec
        self.group_size = group_size
        self.total = _group_sum(group_size)
        self.unscale = 1.0 / (spec.loss_scale * spec.accumulate_steps)
        trainable = [p for p in network.cell.get_parameters() if p.requires_grad]
        everything = list(network.cell.get_parameters())
        statistics = [p for p in everything if not p.requires_grad]
        self.weights = ParameterTuple(trainable)
        self.decays = tuple(spec.decay_of(p.name) for p in trainable)
        self.rates = tuple(spec.rate_of(p.name) for p in trainable)
        self.momenta = _buffers(trainable, "momentum.")
        self.squares = _buffers(trainable if spec.optimizer == "adamw" else [], "square.")
        self.sums = _buffers(trainable if spec.accumulate_steps > 1 else [], "sum.")
        self.averaged = ParameterTuple(everything if spec.ema else [])
        self.averages = _buffers(self.averaged, "ema.", copy=True)
        self.statistics = ParameterTuple(statistics)
        self.good_statistics = _buffers(statistics, "good.", copy=True)
        self.map = ops.HyperMap()
        self.sizes = tuple(int(np.prod(p.shape)) for p in trainable)
        # Of a group's message; the two losses come first.
        self.starts = tuple(2 + sum(self.sizes[:k]) for k in range(len(self.sizes)))
        self.loss = _LossCell(_mixed_precision(network.cell, spec.amp_level), spec, group_size)
        self.gradient = ms.value_and_grad(self.loss, None, weights=self.weights, has_aux=True)

    def construct(
        self,
        images,
        offsets,
        labels,
        weights,
        learning_rate,
        mean_correction,
        square_correction,
        ema_decay,
        first: bool,
        last: bool,
    ):
        (_, class_loss, box_loss, positives), gradients = self.gradient(
            images, offsets, labels, weights
        )
        if self.group_size > 1:
            gradients, class_loss, box_loss = self._summed(gradients, class_loss, box_loss)
        if not first:
            gradients = self.map(updates.add, self.sums, gradients)
        if not last:
            self.map(updates.assign, self.sums, gradients)
        norm = ops.sqrt(ops.addn(self.map(updates.square_sum, gradients))) * self.unscale
        finite = ops.isfinite(norm + class_loss + box_loss)
        if last and finite:
            corrections = (mean_correction, square_correction)
            self._apply(gradients, norm, learning_rate, corrections, ema_decay)
        return class_loss, box_loss, positives, norm, finite

    def _summed(self, gradients, class_loss, box_loss):
        """Over the group, in one message: one after the other, hundreds of small ones take long."""
        flat = self.map(updates.flat, gradients)
        losses = ops.stack((class_loss, box_loss))
        total = self.total(ops.concat((losses, *flat)))
        cut = ops.partial(updates.cut, total)
        return self.map(cut, self.starts, self.sizes, gradients), total[0], total[1]

    def _apply(self, gradients, norm, learning_rate, corrections, ema_decay):
        mean_correction, square_correction = corrections
        factor = ops.ones_like(norm) * self.unscale
        if self.spec.clip_norm is not None:
            factor = factor * ops.minimum(self.spec.clip_norm / (norm + 1e-6), 1.0)
        if self.spec.optimizer == "adamw":
            self.map(
                ops.partial(
                    updates.adamw,
                    learning_rate,
                    factor,
                    mean_correction,
                    square_correction,
                    self.spec.momentum,
                    self.spec.second_momentum,
                ),
                self.decays,
                self.rates,
                self.weights,
                self.momenta,
                self.squares,
                gradients,
            )
        else:
            update = ops.partial(updates.sgd, learning_rate, factor, self.spec.momentum)
            self.map(update, self.decays, self.rates, self.weights, self.momenta, gradients)
        if self.spec.ema:
            self.map(ops.partial(updates.average, ema_decay), self.averages, self.averaged)
        self.map(updates.assign, self.good_statistics, self.statistics)


def _mixed_precision(detector: nn.Cell, amp_level: str) -> nn.Cell:
    """The detector computing in float16 as MindSpore's level says; parameters stay float32."""
    if amp_level == "O0":
        return detector
    if ms.get_context("device_target") == "CPU":
        raise EngineError(
            f"optimizer.amp_level={amp_level}: a CPU computes only in float32; set O0"
        )
    return ms.amp.auto_mixed_precision(detector, amp_level)


def _buffers(parameters, prefix: str, copy: bool = False) -> ParameterTuple:
    return ParameterTuple(
        [
            Parameter(
                Tensor(p.asnumpy() if copy else np.zeros(p.shape, np.float32)),
                name=prefix + p.name,
                requires_grad=False,
            )
            for p in parameters
        ]
    )


class MindSporeStepper:
    """Implements `engines.base.Stepper`."""

    compiles = True

    def __init__(self, network: MindSporeNetwork, spec: StepSpec, group_size: int = 1) -> None:
        self.network = network
        self.spec = spec
        self._frozen_norms = network.freeze(spec.frozen_prefixes)
        self._cell = _StepCell(network, spec, group_size)
        self._micro_step = 0
        self._updates = 0

    @calling()
    def step(self, batch: Batch, learning_rate: float, ema_decay: float = 0.0) -> StepResult:
        first = self._micro_step == 0
        last = self._micro_step == self.spec.accumulate_steps - 1
        self._cell.set_train(True)
        for norm in self._frozen_norms:
            norm.set_train(False)
        outputs = self._cell(
            Tensor(batch.images),
            Tensor(batch.offsets),
            Tensor(batch.labels),
            Tensor(batch.weights),
            Tensor(learning_rate, ms.float32),
            *(Tensor(value, ms.float32) for value in self._corrections()),
            Tensor(ema_decay, ms.float32),
            first,
            last,
        )
        class_loss, box_loss, positives, norm, finite = (x.asnumpy().item() for x in outputs)
        if not finite:
            self._restore_statistics()
        self._updates += bool(finite) and last
        # A micro-step that is not finite drops the whole update that it belongs to.
        self._micro_step = 0 if last or not finite else self._micro_step + 1
        return StepResult(
            loss=class_loss + box_loss,
            class_loss=class_loss,
            box_loss=box_loss,
            finite=bool(finite),
            gradient_norm=norm,
            num_positives=positives,
        )

    def _corrections(self) -> tuple[float, float]:
        """What AdamW divides its averages by in the next update, since they started at zero."""
        update = self._updates + 1
        return 1 - self.spec.momentum**update, 1 - self.spec.second_momentum**update

    def _restore_statistics(self) -> None:
        """Put back BatchNorm's statistics, which a skipped step's forward pass has moved."""
        for statistic, good in zip(self._cell.statistics, self._cell.good_statistics, strict=True):
            overwrite(statistic, good.asnumpy())

    def _carried(self) -> dict[str, Parameter]:
        cell = self._cell
        groups = (cell.momenta, cell.squares, cell.sums, cell.averages)
        return {p.name: p for group in groups for p in group}

    @calling()
    def state(self) -> StepperState:
        scalars = {"micro_step": float(self._micro_step)}
        if self.spec.optimizer == "adamw":
            scalars["updates"] = float(self._updates)
        return StepperState(
            arrays={name: np.array(p.asnumpy()) for name, p in self._carried().items()},
            scalars=scalars,
        )

    @calling()
    def load_state(self, state: StepperState) -> None:
        carried = self._carried()
        if set(state.arrays) != set(carried):
            odd = sorted(set(state.arrays) ^ set(carried))
            raise WeightsError(
                f"the optimizer's state does not fit this configuration: {len(odd)} tensors, "
                f"{odd[0]} among them, are not in both"
            )
        for name, value in state.arrays.items():
            overwrite(carried[name], value)
        self._updates = int(state.scalars.get("updates", 0))
        micro_step = int(state.scalars["micro_step"])
        # Of more steps an update than there are now: begin the update again.
        self._micro_step = micro_step if micro_step < self.spec.accumulate_steps else 0
        for statistic, good in zip(self._cell.statistics, self._cell.good_statistics, strict=True):
            overwrite(good, statistic.asnumpy())

    @calling()
    def ema_parameters(self) -> Parameters:
        names = list(self.network.parameters())
        return {
            name: np.array(average.asnumpy())
            for name, average in zip(names, self._cell.averages, strict=True)
        }

"""One optimizer step: forward, loss, backward, clipping, SGD or AdamW, averages.

All eager: on two CPU cores PyTorch 2.13's `torch.compile` took a minute to save 4 % of a float32
step of MobileNetV2 with batch 8, and made it a quarter slower in bfloat16.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from mindssd.engines.base import Parameters, StepperState, StepResult, StepSpec
from mindssd.engines.torch.group import mean_over_group, together
from mindssd.engines.torch.layers import BatchNorm
from mindssd.engines.torch.loss import detection_loss
from mindssd.engines.torch.network import TorchNetwork, as_array, overwrite
from mindssd.engines.torch.updates import Updates
from mindssd.errors import EngineError, WeightsError
from mindssd.types import Batch


class TorchStepper:
    """Implements `engines.base.Stepper`."""

    compiles = False

    def __init__(
        self,
        network: TorchNetwork,
        spec: StepSpec,
        group_size: int = 1,
        sync_batch_norm: bool = False,
    ) -> None:
        if spec.amp_level != "O0":
            raise EngineError(
                f"optimizer.amp_level={spec.amp_level} is MindSpore's; with engine=torch set O0, "
                "and precision=bfloat16 if you like"
            )
        self.network = network
        self.runtime = network.runtime
        self.spec = spec
        self.group_size = group_size
        self._frozen_norms = network.freeze(spec.frozen_prefixes)
        self._trained = {n: network.tensors[n] for n in network.trainable_names()}
        self._updates = Updates(self._trained, spec)
        # A frozen BatchNorm's statistics do not move.
        self._statistics = [t for n, t in network.tensors.items() if n not in self._trained]
        self._good_statistics = _copies(self._statistics)
        self._averages = _copies(list(network.tensors.values()) if spec.ema else [])
        self._detector: torch.nn.Module = network.module
        if group_size > 1:
            # It sums gradients while the backward pass goes on. A micro-step's are summed too:
            # the half of an update is the same in each process, and rank 0's checkpoint has it.
            if sync_batch_norm:
                for module in network.module.modules():
                    if isinstance(module, BatchNorm):
                        module.group_size, module.group_mean = group_size, mean_over_group
            self._detector = torch.nn.parallel.DistributedDataParallel(
                network.module, forward_sync_buffers=False, gradient_as_bucket_view=True
            )
        self._synchronised = sync_batch_norm and group_size > 1
        self._micro_step = 0

    def step(self, batch: Batch, learning_rate: float, ema_decay: float = 0.0) -> StepResult:
        last = self._micro_step == self.spec.accumulate_steps - 1
        if self._micro_step == 0:
            self._updates.clear_gradients()
        with together():
            class_loss, box_loss, num_positives = self._backward(batch)
        gradients = self._gradients()
        norm = torch.nn.utils.get_total_norm(gradients)
        figures = torch.stack((class_loss, box_loss, num_positives, norm)).tolist()
        class_value, box_value, count, norm_value = figures
        finite = bool(torch.tensor(class_value + box_value + norm_value).isfinite())
        if not finite:
            # A skipped step's forward pass has moved BatchNorm's statistics.
            torch._foreach_copy_(self._statistics, self._good_statistics)
        elif last:
            self._update(norm, learning_rate, ema_decay)
        # A micro-step that is not finite drops the whole update that it belongs to.
        self._micro_step = 0 if last or not finite else self._micro_step + 1
        return StepResult(
            loss=class_value + box_value,
            class_loss=class_value,
            box_loss=box_value,
            finite=finite,
            gradient_norm=norm_value,
            num_positives=count,
        )

    def _backward(self, batch: Batch) -> tuple[Tensor, Tensor, Tensor]:
        """Add the batch's gradients to the parameters'; its two losses and its positives."""
        self._require_statistics(len(batch.images))
        self.network.module.train()
        for norm in self._frozen_norms:
            norm.eval()
        to_device = self.runtime.tensor
        labels, weights = to_device(batch.labels), to_device(batch.weights)
        with self.runtime.autocast(training=True):
            offsets, logits = self._detector(self.runtime.images(batch.images))
        sums = detection_loss(
            offsets.float(),
            logits.float(),
            to_device(batch.offsets),
            labels,
            weights,
            self.spec.loss,
        )
        # A short batch moves the weights by as much as it has images, not by a whole batch.
        totals = torch.stack([*(value.detach() for value in sums), weights.mean()])
        if self.group_size > 1:  # the batch is the whole group's
            torch.distributed.all_reduce(totals)
        share = totals[4] / self.group_size
        # A batch of background alone divides by 1: its loss stays finite.
        class_factor = self.spec.loss.class_weight / totals[2].clamp(min=1.0)
        box_factor = self.spec.loss.box_weight / totals[3].clamp(min=1.0)
        loss = (sums.class_sum * class_factor + sums.box_sum * box_factor) * share
        # DistributedDataParallel takes the mean of the group's gradients, and their sum is meant.
        (loss * (self.group_size / self.spec.accumulate_steps)).backward()
        return totals[0] * class_factor, totals[1] * box_factor, totals[2]

    def _require_statistics(self, num_images: int) -> None:
        if num_images == 1 and (1, 1) in self.network.grids and not self._synchronised:
            raise EngineError(
                "batch_size=1: a level of one cell has no variance to train BatchNorm on; "
                "set batch_size=2 or more"
            )

    def _gradients(self) -> list[Tensor]:
        return [t.grad for t in self._trained.values() if t.grad is not None]

    def _update(self, norm: Tensor, learning_rate: float, ema_decay: float) -> None:
        if self.spec.clip_norm is not None:
            torch.nn.utils.clip_grads_with_norm_(self._trained.values(), self.spec.clip_norm, norm)
        self._updates.apply(learning_rate)
        with torch.no_grad():
            if self.spec.ema:
                now = list(self.network.tensors.values())
                torch._foreach_lerp_(self._averages, now, 1 - ema_decay)
            torch._foreach_copy_(self._good_statistics, self._statistics)

    def state(self) -> StepperState:
        arrays: dict[str, Tensor | None] = {
            f"{prefix}{name}": moment
            for prefix, moments in self._updates.moments.items()
            for name, moment in moments.items()
        }
        if self.spec.accumulate_steps > 1:
            for name, tensor in self._trained.items():
                nothing = self._micro_step == 0 or tensor.grad is None
                arrays[f"sum.{name}"] = torch.zeros_like(tensor) if nothing else tensor.grad
        if self.spec.ema:
            names = [f"ema.{name}" for name in self.network.tensors]
            arrays.update(zip(names, self._averages, strict=True))
        scalars = {"micro_step": float(self._micro_step)}
        if self.spec.optimizer == "adamw":
            scalars["updates"] = float(self._updates.count)
        return StepperState(
            arrays={n: as_array(t) for n, t in arrays.items() if t is not None},
            scalars=scalars,
        )

    def load_state(self, state: StepperState) -> None:
        expected = self.state().arrays
        if set(state.arrays) != set(expected):
            odd = sorted(set(state.arrays) ^ set(expected))
            raise WeightsError(
                f"the optimizer's state does not fit this configuration: {len(odd)} tensors, "
                f"{odd[0]} among them, are not in both"
            )
        micro_step = int(state.scalars["micro_step"])
        # Of more steps an update than there are now: begin the update again.
        self._micro_step = micro_step if micro_step < self.spec.accumulate_steps else 0
        self._updates.clear_gradients()
        if self.spec.optimizer == "adamw":
            self._updates.count = int(state.scalars["updates"])
        for name, tensor in self._trained.items():
            for prefix, moments in self._updates.moments.items():
                overwrite(moments[name], state.arrays[f"{prefix}{name}"])
            if self._micro_step > 0:
                tensor.grad = torch.zeros_like(tensor)
                overwrite(tensor.grad, state.arrays[f"sum.{name}"])
        for name, average in zip(self.network.tensors, self._averages, strict=self.spec.ema):
            overwrite(average, state.arrays[f"ema.{name}"])
        torch._foreach_copy_(self._good_statistics, self._statistics)

    def ema_parameters(self) -> Parameters:
        return {
            name: as_array(average)
            for name, average in zip(self.network.tensors, self._averages, strict=True)
        }


def _copies(tensors: Sequence[Tensor]) -> list[Tensor]:
    return [tensor.detach().clone() for tensor in tensors]

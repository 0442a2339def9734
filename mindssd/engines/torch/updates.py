"""SGD's and AdamW's updates of all parameters at once, and the momenta that they keep.

PyTorch's functions, not its `Optimizer`: the first use of that imports the compiler that this
engine does without, three to four seconds of each start.
"""

from collections.abc import Mapping

import torch
from torch import Tensor
from torch.optim.adamw import adamw
from torch.optim.sgd import sgd

from mindssd.engines.base import ADAM_EPSILON, StepSpec


class Updates:
    """The optimizer of a step specification over tensors by canonical name."""

    def __init__(self, trained: Mapping[str, Tensor], spec: StepSpec) -> None:
        self._trained = trained
        self._spec = spec
        self._alike: dict[tuple[float, float], list[str]] = {}
        for name in trained:
            self._alike.setdefault((spec.decay_of(name), spec.rate_of(name)), []).append(name)
        prefixes = ("momentum.", "square.") if spec.optimizer == "adamw" else ("momentum.",)
        self.moments = {
            prefix: {name: torch.zeros_like(tensor) for name, tensor in trained.items()}
            for prefix in prefixes
        }
        """Running means of the gradients ("momentum.") and of their squares ("square."), by name;
        SGD's is MindSpore's velocity, m · velocity + gradient from zero."""
        self._counts = {n: torch.zeros((), device=tensor.device) for n, tensor in trained.items()}
        """AdamW's updates so far, of each parameter as PyTorch's function asks for them."""

    @property
    def count(self) -> int:
        """AdamW's updates so far, which its means are corrected by; 0 with SGD."""
        return int(next(iter(self._counts.values()), 0))

    @count.setter
    def count(self, value: int) -> None:
        for count in self._counts.values():
            count.fill_(value)

    def clear_gradients(self) -> None:
        for tensor in self._trained.values():
            tensor.grad = None

    @torch.no_grad()
    def apply(self, learning_rate: float) -> None:
        """Move each parameter that has a gradient by it."""
        for (decay, rate), alike in self._alike.items():
            gradients = {n: g for n in alike if (g := self._trained[n].grad) is not None}
            tensors = [self._trained[n] for n in gradients]
            moments = {k: [named[n] for n in gradients] for k, named in self.moments.items()}
            if self._spec.optimizer == "adamw":
                adamw(
                    tensors,
                    list(gradients.values()),
                    moments["momentum."],
                    moments["square."],
                    [],  # the largest squares, of AMSGrad alone
                    [self._counts[n] for n in gradients],
                    fused=True,
                    amsgrad=False,
                    beta1=self._spec.momentum,
                    beta2=self._spec.second_momentum,
                    lr=learning_rate * rate,
                    weight_decay=decay,
                    eps=ADAM_EPSILON,
                    maximize=False,
                )
            else:
                sgd(
                    tensors,
                    list(gradients.values()),
                    list[Tensor | None](moments["momentum."]),
                    fused=True,
                    weight_decay=decay,
                    momentum=self._spec.momentum,
                    lr=learning_rate * rate,
                    dampening=0.0,
                    nesterov=False,
                    maximize=False,
                )

"""The network as an engine gives it: parameters by canonical name, arrays in and out."""

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from torch import nn

from mindssd.engines.base import NetworkSpec, Parameters, faults, require_fit, require_halving
from mindssd.engines.torch.detector import build_detector, canonical_tensors
from mindssd.engines.torch.device import Runtime, enter
from mindssd.engines.torch.layers import BatchNorm
from mindssd.types import Array


class TorchNetwork:
    """Implements `engines.base.Network`. May be used from several threads."""

    def __init__(self, spec: NetworkSpec, seed: int, runtime: Runtime) -> None:
        self.spec = spec
        self.runtime = runtime
        enter(runtime.device)
        module = build_detector(spec, seed)
        # Convolutions and BatchNorm are fastest with the channels of a pixel side by side.
        self.module = module.to(runtime.device).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.tensors = canonical_tensors(self.module)
        self.grids = self._read_grids()

    def _read_grids(self) -> tuple[tuple[int, int], ...]:
        """Run the backbone and neck once on zeros: the only sure way to a level's size."""
        images = torch.zeros((1, 3, *self.spec.image_size), device=self.runtime.device)
        with torch.inference_mode():
            maps = self.module.backbone(images)
            require_halving(self.spec, _grids(maps))
            return _grids(self.module.neck(maps))

    def parameters(self) -> Parameters:
        return {name: as_array(tensor) for name, tensor in self.tensors.items()}

    def load_parameters(self, parameters: Mapping[str, Array]) -> None:
        require_fit(parameters, {n: t.shape for n, t in self.tensors.items()})
        for name, value in parameters.items():
            overwrite(self.tensors[name], value)

    def trainable_names(self) -> Sequence[str]:
        return [name for name, tensor in self.tensors.items() if tensor.requires_grad]

    def freeze(self, prefixes: tuple[str, ...]) -> list[nn.Module]:
        """Stop training the parameters under these canonical prefixes; return their BatchNorms."""
        for name, tensor in self.tensors.items():
            if name.startswith(prefixes):
                tensor.requires_grad_(False)
        return [
            module
            for name, module in self.module.named_modules()
            if isinstance(module, BatchNorm) and (name + ".").startswith(prefixes)
        ]

    def forward(self, images: Array) -> tuple[Array, Array]:
        enter(self.runtime.device)
        self.module.eval()
        with faults("PyTorch"), torch.inference_mode(), self.runtime.autocast():
            offsets, logits = self.module(self.runtime.images(images))
            return as_array(offsets.float()), as_array(logits.float())


def _grids(maps: Sequence[torch.Tensor]) -> tuple[tuple[int, int], ...]:
    return tuple((int(x.shape[2]), int(x.shape[3])) for x in maps)


def as_array(tensor: torch.Tensor) -> Array:
    """A copy in C order, on the CPU."""
    return np.array(tensor.detach().cpu().numpy(), order="C")


def overwrite(tensor: torch.Tensor, value: Array) -> None:
    with torch.no_grad():
        tensor.copy_(torch.from_numpy(np.array(value, np.float32, order="C")))

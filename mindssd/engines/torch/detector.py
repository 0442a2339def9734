"""The detector network as a plain module: a backbone, a neck and a head."""

import threading

import torch
from torch import Tensor, nn

from mindssd.engines.base import ExtrasNeck, NetworkSpec, PerLevelHead
from mindssd.engines.torch.backbones import create_backbone
from mindssd.engines.torch.heads import PerLevel, Shared
from mindssd.engines.torch.layers import BatchNorm
from mindssd.engines.torch.necks import FPN, Extras


class DetectorModule(nn.Module):
    """images (B, 3, H, W) to offsets (B, A, 4), logits (B, A, C + 1); the same in training."""

    def __init__(self, spec: NetworkSpec) -> None:
        super().__init__()
        self.backbone = create_backbone(spec.backbone, spec.out_indices)
        in_channels = self.backbone.out_channels
        self.neck: Extras | FPN
        if isinstance(spec.neck, ExtrasNeck):
            self.neck = Extras(spec.neck, in_channels)
        else:
            self.neck = FPN(spec.neck, in_channels)
        levels, columns = self.neck.out_channels, spec.num_classes + 1
        self.head: PerLevel | Shared
        if isinstance(spec.head, PerLevelHead):
            self.head = PerLevel(levels, spec.boxes_per_location, columns)
        else:
            self.head = Shared(spec.head, levels, spec.boxes_per_location, columns)

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        offsets, logits = self.head(self.neck(self.backbone(images)))
        return offsets, logits


_CANONICAL = {
    "running_mean": "moving_mean",
    "running_var": "moving_variance",
    "weight": "gamma",
    "bias": "beta",
}
"""What a BatchNorm's tensors are called here and, canonically, in MindSpore's words and order."""


def canonical_tensors(module: nn.Module) -> dict[str, Tensor]:
    """Every parameter and BatchNorm statistic by its canonical name, in the network's order."""
    tensors: dict[str, Tensor] = {}
    for prefix, part in module.named_modules():
        if isinstance(part, BatchNorm):
            for ours, canonical in _CANONICAL.items():
                tensors[f"{prefix}.{canonical}"] = getattr(part, ours)
        else:
            own = part.named_parameters(recurse=False)
            tensors.update((f"{prefix}.{name}", tensor) for name, tensor in own)
    return tensors


_seed_in_use = threading.Lock()


def build_detector(spec: NetworkSpec, seed: int) -> DetectorModule:
    """Build the module with initial values from `seed`; PyTorch's own seed stays as it was."""
    with _seed_in_use, torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)  # the CPU's, where parameters are made
        return DetectorModule(spec).eval()

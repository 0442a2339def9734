"""The engine's front: what `build/` asks for."""

import platform

import torch

from mindssd.engines.base import Group, Network, NetworkSpec, SingleProcessGroup, StepSpec
from mindssd.engines.torch.device import Runtime, own_process
from mindssd.engines.torch.group import join_group
from mindssd.engines.torch.network import TorchNetwork
from mindssd.engines.torch.stepper import TorchStepper


class TorchEngine:
    """Implements `engines.base.Engine`."""

    name = "torch"

    def __init__(
        self,
        device: str = "auto",
        precision: str = "auto",
        deterministic: bool = False,
        sync_batch_norm: bool = False,
        training: bool = False,
    ) -> None:
        """In `training` the process is the run's own: its settings are made, its group joined."""
        self.runtime = Runtime(device, precision, training)
        self.group: Group = SingleProcessGroup()
        if training:
            own_process(self.runtime.device, deterministic)
            self.group = join_group()
        self.sync_batch_norm = sync_batch_norm

    def build_network(self, spec: NetworkSpec, seed: int) -> TorchNetwork:
        return TorchNetwork(spec, seed, self.runtime)

    def build_stepper(self, network: Network, spec: StepSpec) -> TorchStepper:
        if not isinstance(network, TorchNetwork):
            raise TypeError(f"a {type(network).__name__} is not a network of this engine")
        return TorchStepper(network, spec, self.group.size, self.sync_batch_norm)

    def describe(self) -> dict[str, str]:
        return {
            "engine": f"PyTorch {torch.__version__}",
            "device": self.runtime.describe(),
            "python": platform.python_version(),
        }

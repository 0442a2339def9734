"""The engine's front: what `build.py` asks for."""

import platform

import torch

from mindssd.engines.base import Alone, Group, Network, NetworkSpec, StepSpec
from mindssd.engines.torch.network import TorchNetwork
from mindssd.engines.torch.runtime import Runtime
from mindssd.engines.torch.stepper import TorchStepper


class TorchEngine:
    """Implements `engines.base.Engine`."""

    name = "torch"

    def __init__(
        self, device: str = "auto", precision: str = "auto", deterministic: bool = False
    ) -> None:
        self.runtime = Runtime(device, precision, deterministic)
        self.group: Group = Alone()

    def build_network(self, spec: NetworkSpec, seed: int) -> TorchNetwork:
        return TorchNetwork(spec, seed, self.runtime)

    def build_stepper(self, network: Network, spec: StepSpec) -> TorchStepper:
        if not isinstance(network, TorchNetwork):
            raise TypeError(f"a {type(network).__name__} is not a network of this engine")
        return TorchStepper(network, spec, self.group.size)

    def describe(self) -> dict[str, str]:
        return {
            "engine": f"PyTorch {torch.__version__}",
            "device": self.runtime.describe(),
            "python": platform.python_version(),
        }

"""The engine's front: what `build/` asks for."""

import gc
import platform

import mindcv
import mindspore as ms

from mindssd.engines.base import Group, Network, NetworkSpec, SingleProcessGroup, StepSpec
from mindssd.engines.mindspore.device import configure, seeded, settle
from mindssd.engines.mindspore.group import join_group
from mindssd.engines.mindspore.network import MindSporeNetwork
from mindssd.engines.mindspore.process import calling
from mindssd.engines.mindspore.stepper import MindSporeStepper


class MindSporeEngine:
    """Implements `engines.base.Engine`."""

    name = "mindspore"

    def __init__(self, device: str = "auto", training: bool = False) -> None:
        """`start.start_engine` calls it, so that nothing of the process stays changed.

        In `training` the process is the run's own: it joins its group, and MindSpore's modes and
        seeds are set for good.
        """
        self.training = training
        self.device = configure(device, training)
        self.group: Group = join_group(self.device) if training else SingleProcessGroup()
        settle(self.device)

    def build_network(self, spec: NetworkSpec, seed: int) -> MindSporeNetwork:
        with calling(), seeded(seed, for_good=self.training):
            # Processes of a group that resumes on a CPU end bit for bit alike with MindSpore's own
            # depthwise kernels alone: with ours, a gradient differs by a rounding from some step
            # on.
            return MindSporeNetwork(spec, fast_depthwise=self.group.size == 1)

    def build_stepper(self, network: Network, spec: StepSpec) -> MindSporeStepper:
        if not isinstance(network, MindSporeNetwork):
            raise TypeError(f"a {type(network).__name__} is not a network of this engine")
        # MindSpore 2.10.0 forgets, when a step that has compiled is freed, the shapes that it took:
        # another step of the same shapes would compile again. So what can be freed is so before.
        gc.collect()
        with calling():
            return MindSporeStepper(network, spec, self.group.size)

    def describe(self) -> dict[str, str]:
        return {
            "engine": f"MindSpore {ms.__version__}, MindCV {mindcv.__version__}",
            "device": self.device,
            "python": platform.python_version(),
        }

"""A graph while it becomes a TensorFlow Lite file: what writing each operator needs to know."""

import onnx

from mindssd.deploy.targets.tflite_values import Int8, Values
from mindssd.types import Array

ACTIVATIONS = {"RELU": 1, "RELU6": 3}
"""The schema's ActivationFunctionType."""


class Network:
    """A graph, the file that it becomes, and what of it is written already."""

    def __init__(self, graph: onnx.GraphProto, half: bool, int8: Int8 | None) -> None:
        self.graph = graph
        self.values = Values(graph, half, int8)
        self.file = self.values.file
        self._users: dict[str, list[onnx.NodeProto]] = {}
        for node in graph.node:
            for name in node.input:
                self._users.setdefault(name, []).append(node)
        self.done: set[str] = set()
        """Outputs of nodes that another operator has taken in."""

    def goes_on_in_int8(self, node: onnx.NodeProto) -> bool:
        """Whether something it takes is int8 already, and the ranges of all are known."""
        names = [name for name in node.input if name not in self.values.constants]
        return any(map(self.values.is_int8, names)) and all(
            name in self.values.ranges for name in (*names, node.output[0])
        )

    def clip(self, node: onnx.NodeProto) -> tuple[Array | None, Array | None]:
        limits = [self.values.constants.get(name) for name in (*node.input[1:], "", "")]
        return limits[0], limits[1]

    def activation(self, node: onnx.NodeProto) -> str | None:
        """The kind of a Relu or Clip that an operator of the file does too."""
        if node.op_type == "Relu":
            return "RELU"
        if node.op_type != "Clip":
            return None
        low, high = self.clip(node)
        if low is None or low != 0 or (high is not None and high != 6):
            return None
        return "RELU" if high is None else "RELU6"

    def with_activation(self, node: onnx.NodeProto, int8: bool) -> tuple[str, int]:
        """An operator's output and activation: those of a Relu or Clip that alone uses it."""
        output = node.output[0]
        users = self._users.get(output, [])
        kind = self.activation(users[0]) if len(users) == 1 else None
        if kind is None or (int8 and users[0].output[0] not in self.values.ranges):
            return output, 0
        self.done.add(users[0].output[0])
        return users[0].output[0], ACTIVATIONS[kind]

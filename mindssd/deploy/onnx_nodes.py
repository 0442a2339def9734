"""An ONNX graph's nodes, looked at and changed: what makes a value, what takes it."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx
from onnx import helper, numpy_helper

from mindssd.types import Array


@dataclass(frozen=True)
class Wiring:
    """Which constants a graph has, which node makes a value, and which nodes take it."""

    constants: dict[str, onnx.TensorProto]
    makers: dict[str, onnx.NodeProto]
    users: dict[str, list[onnx.NodeProto]]

    @classmethod
    def of(cls, graph: onnx.GraphProto) -> "Wiring":
        users: dict[str, list[onnx.NodeProto]] = {}
        for node in graph.node:
            for name in node.input:
                users.setdefault(name, []).append(node)
        makers = {output: node for node in graph.node for output in node.output}
        return cls({x.name: x for x in graph.initializer}, makers, users)

    def maker(self, name: str, kind: str) -> onnx.NodeProto | None:
        """The node that makes a value, if it is of this kind."""
        node = self.makers.get(name)
        return node if node is not None and node.op_type == kind else None

    def values(self, node: onnx.NodeProto, index: int) -> list[Any] | None:
        """A constant input's values; None where there is none, or it is computed."""
        if index >= len(node.input) or node.input[index] not in self.constants:
            return None
        found: list[Any] = self.constant(node.input[index]).ravel().tolist()
        return found

    def constant(self, name: str) -> Array:
        value: Array = numpy_helper.to_array(self.constants[name])
        return value


def shapes_of(model: onnx.ModelProto) -> dict[str, list[int]]:
    """The shape of each value, 0 for a size that is not known."""
    graph = onnx.shape_inference.infer_shapes(model, True, True, data_prop=True).graph
    values = (*graph.input, *graph.output, *graph.value_info)
    return {x.name: [d.dim_value for d in x.type.tensor_type.shape.dim] for x in values}


def fix_batch(graph: onnx.GraphProto, batch: int) -> None:
    """Give the free first size of each value a number."""
    for value in (*graph.input, *graph.output, *graph.value_info):
        sizes = value.type.tensor_type.shape.dim
        if sizes and sizes[0].dim_param:
            sizes[0].dim_value = batch


def drop_unused(graph: onnx.GraphProto) -> None:
    """Take out nodes and constants that no output needs."""
    used = {output.name for output in graph.output}
    for node in reversed(list(graph.node)):
        if used.isdisjoint(node.output):
            graph.node.remove(node)
        else:
            used.update(node.input)
    for constant in [x for x in graph.initializer if x.name not in used]:
        graph.initializer.remove(constant)


def make_node(
    graph: onnx.GraphProto, kind: str, inputs: Sequence[str | float | Array], output: str
) -> onnx.NodeProto:
    """A node, with constants for the numbers among its inputs."""
    names = []
    for index, value in enumerate(inputs):
        if not isinstance(value, str):
            constant = f"{output}.constant_{index}"
            graph.initializer.append(
                numpy_helper.from_array(np.asarray(value, np.float32), constant)
            )
            value = constant
        names.append(value)
    return helper.make_node(kind, names, [output], f"{output}_node")


def attributes_of(node: onnx.NodeProto) -> dict[str, Any]:
    return {a.name: helper.get_attribute_value(a) for a in node.attribute}


def attribute_of(node: onnx.NodeProto, name: str, default: Any) -> Any:
    return attributes_of(node).get(name, default)


def set_attributes(node: onnx.NodeProto, **attributes: Any) -> None:
    for attribute in [x for x in node.attribute if x.name in attributes]:
        node.attribute.remove(attribute)
    node.attribute.extend(helper.make_attribute(key, value) for key, value in attributes.items())

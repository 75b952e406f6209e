"""Nodes of a saved graph, or of a function in it: found by name, and by what takes their output."""

from __future__ import annotations

import collections
from typing import Any, Iterable, Iterator

import numpy as np
import tensorflow.compat.v1 as tf

VARIABLES = ("VariableV2", "Variable", "VarHandleOp")
# They run functions, and tell the shapes of what these return.
CALLS = ("If", "StatelessIf", "While", "StatelessWhile", "Case", "StatelessCase")
# They hand on what they are given.
PASSING = ("Identity", "ReadVariableOp", "Enter", "RefEnter", "Switch", "RefSwitch", "StopGradient")


class Nodes:
    """The nodes of a `GraphDef`, or of a function.

    Attributes:
      by_name: dict from name to `NodeDef`.
    """

    by_name: dict[str, Any]

    def __init__(self, nodes: Iterable[Any]):
        """Takes the `NodeDef`s; changes of theirs are not seen, but for values of attributes."""
        self.by_name = {node.name: node for node in nodes}
        self._users: dict = collections.defaultdict(list)
        for node in self.by_name.values():
            for place, each in enumerate(data_inputs(node)):
                self._users[name_of(each)].append((node, place))

    def __iter__(self) -> Iterator[Any]:
        return iter(self.by_name.values())

    def users(self, name: str) -> list[tuple[Any, int]]:
        """Returns the nodes that take an output of a node, each with the place of the input."""
        return list(self._users[name])

    def inputs(self, node: Any) -> list[Any]:
        """Returns the nodes that the data of a node come from; arguments of a function are none."""
        found = (self.by_name.get(name_of(each)) for each in data_inputs(node))
        return [each for each in found if each is not None]

    def input(self, node: Any, place: int) -> Any | None:
        """Returns the node that an input comes from, None if there is none."""
        inputs = data_inputs(node)
        return self.by_name.get(name_of(inputs[place])) if place < len(inputs) else None

    def origin(self, tensor: str) -> Any | None:
        """Returns the node that a value was made by, behind those that hand it on."""
        node = self.by_name.get(name_of(tensor))
        while node is not None and node.op in PASSING and data_inputs(node):
            node = self.input(node, 0)
        return node

    def above(self, name: str) -> dict[str, Any]:
        """Returns the nodes that a node's output is made from, itself included, up to variables."""
        found: dict[str, Any] = {}
        pending = [name]
        while pending:
            node = self.by_name.get(pending.pop())
            if node is not None and node.name not in found and node.op not in VARIABLES:
                found[node.name] = node
                pending.extend(name_of(each) for each in data_inputs(node))
        return found


def data_inputs(node: Any) -> list[str]:
    """Returns the inputs of a node but for those that only say when."""
    return [each for each in node.input if not each.startswith("^")]


def name_of(tensor: str) -> str:
    """Returns the name of the node that a tensor belongs to."""
    return tensor.lstrip("^").partition(":")[0]


def value_of(node: Any) -> np.ndarray | None:
    """Returns the array of a constant; None for any other node, and for what is no array."""
    if node is None or node.op != "Const":
        return None
    try:
        return tf.make_ndarray(node.attr["value"].tensor)
    except (TypeError, ValueError):
        # Such as variants.
        return None


def set_value(node: Any, value: Any, like: np.ndarray) -> None:
    """Gives a constant another array, of the dtype of `like`."""
    value = np.asarray(value, like.dtype)
    node.attr["value"].tensor.CopyFrom(tf.make_tensor_proto(value, node.attr["dtype"].type))


def spread(node: Any, shape: Iterable[int]) -> None:
    """Gives a constant, whose values are all the same, another shape."""
    value = tf.make_ndarray(node.attr["value"].tensor)
    # There may be none.
    tensor = tf.make_tensor_proto(value.ravel()[:1], node.attr["dtype"].type)
    # One value for all places, as TensorFlow itself writes it.
    tensor.tensor_shape.CopyFrom(tf.TensorShape(list(shape)).as_proto())
    node.attr["value"].tensor.CopyFrom(tensor)


def is_splat(value: np.ndarray) -> bool:
    """Tells whether all values of an array have the same bits."""
    if value.dtype == object:
        return False
    return value.tobytes() == value.ravel()[:1].tobytes() * value.size


def set_shape(attribute: Any, shape: Iterable[int]) -> None:
    """Gives an attribute another shape of the same rank; -1 for what is not known."""
    for dim, size in zip(attribute.shape.dim, shape):
        dim.size = size


def plain_copy(graph_def: Any) -> Any:
    """Returns a copy without devices, and without shapes that were inferred before."""
    copied = type(graph_def)()
    copied.CopyFrom(graph_def)
    for node in copied.node:
        node.device = ""
        if "_output_shapes" in node.attr:
            del node.attr["_output_shapes"]
    return copied

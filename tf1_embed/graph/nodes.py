"""Operations where they run, and the values that pass between them."""

from __future__ import annotations

from typing import Any

import tensorflow.compat.v1 as tf

_RESOURCE, _VARIANT = tf.resource.as_datatype_enum, tf.variant.as_datatype_enum
_FIRST_REF = 101  # DataType.DT_FLOAT_REF, the first of the references

# Have as many axes as that of their inputs that has most.
_ELEMENTWISE = frozenset(
    "Add AddV2 Cast Equal FloorDiv FloorMod Greater GreaterEqual Identity Less LessEqual "
    "LogicalAnd LogicalNot LogicalOr Maximum Minimum Mul NotEqual Sub".split()
)
# Outputs that are vectors, which TensorFlow does not tell.
_VECTORS = frozenset([("SparseAccumulatorTakeGradient", 0)])


class Value:
    """What an output of a node holds.

    Attributes:
      node: `Node`.
      index: int, which output of it.
      tensor: `tf.Tensor` that has its dtype and shape.
      carries: "ref", "resource", "variant", or None for plain values.
      consumers: list of (node, place among its inputs), of values that carry something.
    """

    __slots__ = ("carries", "consumers", "index", "node", "tensor")

    def __init__(self, node: Node, index: int, tensor: tf.Tensor):
        self.node: Node = node
        self.index: int = index
        self.tensor: tf.Tensor = tensor
        number = tensor.dtype.as_datatype_enum
        self.carries: str | None = (
            "ref"
            if number >= _FIRST_REF
            else {_RESOURCE: "resource", _VARIANT: "variant"}.get(number)
        )
        self.consumers: list[tuple[Node, int]] = []

    @property
    def dtype(self) -> tf.DType:
        """Its dtype, of what is read where it is a reference."""
        return self.tensor.dtype.base_dtype

    @property
    def shape(self) -> tf.TensorShape:
        """Its `tf.TensorShape`."""
        return self.tensor.shape

    @property
    def rank(self) -> int | None:
        """Its number of axes, None if unknown."""
        rank = self.tensor.shape.ndims
        return _rank_of(self) if rank is None else rank

    def dims(self) -> list[int | None] | None:
        """Returns the list of its dimensions, None where one is unknown, or None."""
        shape = self.tensor.shape
        return None if shape.ndims is None else shape.as_list()

    def __repr__(self) -> str:
        return f"<{self.node.type} {self.tensor.name}>"


class Node:
    """An operation where it runs: in the graph, or in a body laid out.

    Attributes:
      op: `tf.Operation`; None for "Merge" and "Unknown" nodes that stand for arguments and results.
      type: string.
      inputs: list of `Value`.
      controls: list of `Node` that run before it.
      outputs: list of `Value`.
      caller: `Node` in whose body it is, or None.
      calls: bool, whether it calls bodies.
      body: list of the nodes that run with it, in bodies that it calls.
      is_unreadable: bool, whether it has a body that could not be laid out.
    """

    __slots__ = (
        "body",
        "caller",
        "calls",
        "controls",
        "inputs",
        "is_unreadable",
        "op",
        "outputs",
        "type",
    )

    def __init__(self, kind: str, op: tf.Operation | None, caller: Node | None):
        self.type: str = kind
        self.op: Any = op
        self.caller: Node | None = caller
        self.inputs: list[Value] = []
        self.controls: list[Node] = []
        self.outputs: list[Value] = []
        self.body: list[Node] = []
        self.calls: bool = False
        self.is_unreadable: bool = False

    def attr(self, name: str) -> Any:
        """Returns an attribute of the operation, None if it has none of this name."""
        try:
            return self.op.get_attr(name)
        except (AttributeError, ValueError):
            return None

    def arguments(self) -> dict[str, Value]:
        """Returns a dict from the name of each argument of the operation to its `Value`."""
        names = [each.name for each in self.op.op_def.input_arg]
        return dict(zip(names, self.inputs))

    @property
    def outermost(self) -> Node:
        """The node of the graph itself that runs this one."""
        node = self
        while node.caller is not None:
            node = node.caller
        return node

    def __repr__(self) -> str:
        return f"<{self.type} {self.op.name if self.op is not None else ''}>"


def link(value: Value, node: Node) -> None:
    """Makes a value the next input of a node."""
    if value.carries:
        value.consumers.append((node, len(node.inputs)))
    node.inputs.append(value)


def _rank_of(value):
    """Returns the number of axes that TensorFlow does not tell, None if it is not known."""
    ranks, seen, pending = [0], set(), [value]
    while pending:
        each = pending.pop()
        rank = each.tensor.shape.ndims
        if (each.node.type, each.index) in _VECTORS:
            rank = 1
        if rank is not None:
            ranks.append(rank)
        elif each.node.type not in _ELEMENTWISE or len(seen) > 100:
            return None
        elif each not in seen:
            seen.add(each)
            pending.extend(each.node.inputs)
    return max(ranks)

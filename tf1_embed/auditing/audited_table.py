"""A table that is audited: what of a graph is this table, a slice of it, or as large as it."""

from __future__ import annotations

import numpy as np
import tensorflow.compat.v1 as tf

from tf1_embed.auditing.constant_ops import index_of_slice
from tf1_embed.auditing.known import Knowledge
from tf1_embed.auditing.rules import chain_of_same, same_as
from tf1_embed.graph import op_kinds
from tf1_embed.graph.flow import Flow
from tf1_embed.graph.nodes import Node, Value
from tf1_embed.graph.variables import variable_key
from tf1_embed.rows import Rows

_GATHERS = frozenset("Gather GatherV2 ResourceGather".split())


class AuditedTable:
    """A variable with frozen rows, in a graph.

    Args:
      flow: `Flow` of the graph.
      constants: `Knowledge` of the graph's constants.
      variable: `tf.Variable`.
      frozen_rows: `Rows` of it.
      axis: int, the axis that ids count along.

    Attributes:
      shape: list of ints.
      axis: int, as given.
      ids: int64 array [num_frozen], the ids of the frozen rows.
    """

    def __init__(
        self,
        flow: Flow,
        constants: Knowledge,
        variable: tf.Variable,
        frozen_rows: Rows,
        axis: int,
    ):
        self._flow, self._constants = flow, constants
        self._key = variable_key(variable.op)
        self.shape: list[int] = variable.shape.as_list()
        self.axis: int = axis
        self.ids: np.ndarray = frozen_rows.ids()

    def is_made_by(self, node: Node) -> bool:
        """Tells whether a node makes the variable."""
        return node.type in op_kinds.VARIABLES and any(
            self._key in self._flow.origins[each] for each in node.outputs if each.carries
        )

    def is_as_large(self, node: Node) -> bool:
        """Tells whether a node makes a variable of the table's shape."""
        if node.type == "VarHandleOp":
            dims = [each.size for each in node.attr("shape").dim]
            return dims == self.shape
        return node.type in op_kinds.VARIABLES and node.outputs[0].dims() == self.shape

    def is_read(self, value: Value) -> bool:
        """Tells whether a value is the table, or what was read of it."""
        for each in chain_of_same(value):
            if each.carries == "ref":
                return self._flow.origins[each] == {self._key}
        value = same_as(value)
        return value.node.type == "ReadVariableOp" and self._is_handle(value.node.inputs[0])

    def _is_handle(self, handle):
        return bool(handle.carries) and self._flow.origins[handle] == {self._key}

    def gathered_ids(self, values: Value) -> Value | None:
        """Returns the ids whose rows of the table values are, or None."""
        node = same_as(values).node
        if node.type not in _GATHERS or node.attr("batch_dims"):
            return None
        params, ids = node.inputs[:2]
        if node.type == "ResourceGather":
            return ids if self._is_handle(params) else None
        axis = self._constants.constant(node.inputs[2]) if len(node.inputs) > 2 else 0
        return ids if self.is_read(params) and axis is not None and np.all(axis == 0) else None

    def rows_of_slice(
        self, node: Node, begin: Value, end: Value, strides: Value
    ) -> np.ndarray | None:
        """Returns a bool for each frozen row: is it in the slice that is taken? None if unknown."""
        ends = self._known([begin, end, strides])
        if ends is None:
            return None
        index = index_of_slice(node, *ends)
        if np.newaxis in index:
            return None
        if Ellipsis in index:
            place = index.index(Ellipsis)
            filler = (slice(None),) * (len(self.shape) - len(index) + 1)
            index = index[:place] + filler + index[place + 1 :]
        if len(index) <= self.axis:
            return np.ones(len(self.ids), bool)
        taken = np.zeros(self.shape[self.axis], bool)
        try:
            taken[index[self.axis]] = True
        except IndexError:
            return None
        return taken[self.ids]

    def is_piece(self, node: Node, start: int, stop: int) -> bool:
        """Tells whether a node takes the rows of the table from start to stop, whole."""
        if node.type not in ("Slice", "StridedSlice") or not self.is_read(node.inputs[0]):
            return False
        ends = self._known(node.inputs[1:])
        if ends is None:
            return False
        if node.type == "Slice":
            begin, size = ends
            taken = tuple(slice(int(first), int(first) + int(n)) for first, n in zip(begin, size))
            if (size < 0).any():
                return False
        else:
            taken = index_of_slice(node, *ends)
        if any(not isinstance(each, slice) for each in taken) or len(taken) > len(self.shape):
            return False
        taken += (slice(None),) * (len(self.shape) - len(taken))
        for axis, (each, length) in enumerate(zip(taken, self.shape)):
            wanted = (start, stop, 1) if axis == self.axis else (0, length, 1)
            if each.indices(length) != wanted:
                return False
        return True

    def _known(self, values):
        """Returns the arrays that values always hold, None if one is not known."""
        found = [self._constants.constant(each) for each in values]
        return None if any(each is None for each in found) else found

"""A scratch variable that holds just the trainable rows of a table while an optimizer acts.

table ──load──> scratch [count, dim] ──optimizer──> scratch ──store──> table
"""

from __future__ import annotations

from typing import Any

import tensorflow.compat.v1 as tf

from tf1_embed.graph.base_optimizer import check_no_strategy
from tf1_embed.graph.row_ops import gather_rows, scatter_rows
from tf1_embed.graph.train_ops import check_precision, operations_under, writing_operations
from tf1_embed.graph.variables import is_ref
from tf1_embed.rows import Rows

# The last part of the scratch variable's name.
SCRATCH = "trainable_rows"


class WrappedTable:
    """A wrapped variable, its trainable rows, and the scratch variable that holds them.

    Attributes:
      variable: `tf.Variable`, the table, or one partition of it.
      rows: `Rows`, the trainable ones.
      axis: int, the axis that ids count along.
      full_slots: bool, whether slot variables have the shape of the table.
      scratch: `tf.Variable` of the trainable rows; None until it is needed.
    """

    def __init__(self, variable: Any, rows: Rows, axis: int, full_slots: bool):
        self.variable: Any = variable
        self.rows: Rows = rows
        self.axis: int = axis
        self.full_slots: bool = full_slots
        self.scratch: Any = None

    def make_scratch(self) -> None:
        """Makes the variable that the base optimizer sees, once."""
        if self.scratch is not None:
            return
        check_no_strategy(self.variable)
        shape = self.variable.shape.as_list()
        shape[self.axis] = self.rows.count
        with tf.init_scope(), tf.device(self.variable.device), tf.name_scope(None):
            self.scratch = tf.Variable(
                lambda: tf.zeros(shape, self.variable.dtype.base_dtype),
                name=f"{self.variable.op.name}/{SCRATCH}",
                trainable=False,
                constraint=self.variable.constraint,
                # With full slots the state is in the table and its slots alone: the scratch
                # variable is loaded whole in each step, and no Saver finds it.
                collections=[] if self.full_slots else None,
                # A custom optimizer may know only the kind of variable that the table is. But one
                # that is never initialized must be read after it was loaded, and not before.
                use_resource=self.full_slots or not is_ref(self.variable),
            )


class TableUpdate:
    """The operations around one application of the base optimizer to one table.

    Attributes:
      table: `WrappedTable`.
      pair: (re-indexed gradient, scratch variable), what the base optimizer is given.
      slots: list of pairs of slot variables, of the table and of the scratch variable, that are
        loaded and stored with the rows.
    """

    table: WrappedTable
    pair: tuple[Any, Any]

    def __init__(self, table: WrappedTable, gradient: Any, rowwise: bool, use_locking: bool):
        self.table = table
        self._use_locking = use_locking
        self._ids = gradient.indices if rowwise else None
        self.slots: list[tuple[Any, Any]] = []
        if isinstance(gradient, tf.IndexedSlices):
            self._positions = table.rows.position(gradient.indices)
            shape = tf.shape(table.scratch, out_type=self._positions.dtype)
            gradient = tf.IndexedSlices(gradient.values, self._positions, shape)
        else:
            gradient = tf.gather(gradient, table.rows.ids_tensor(), axis=table.axis)
        self.pair = (gradient, table.scratch)

    def load(self) -> list[tf.Operation]:
        """Returns the operations that bring rows from the table into the scratch variable."""
        table = self.table
        if self._ids is not None:
            rows = tf.gather(table.variable, self._ids)
            self._loads = [tf.scatter_update(table.scratch, self._positions, rows).op]
        else:
            self._loads = [
                tf.assign(part, self._rows_of(whole)).op
                for whole, part in [(table.variable, table.scratch)] + self.slots
            ]
        return self._loads

    def store(self) -> list[tf.Operation]:
        """Returns the operations that bring them back."""
        table, locking = self.table, self._use_locking
        if self._ids is not None:
            rows = tf.gather(table.scratch, self._positions)
            return [tf.scatter_update(table.variable, self._ids, rows, locking).op]
        return [
            tf.assign(whole, part.read_value()).op
            if whole.shape == part.shape
            else scatter_rows(whole, table.rows, part.read_value(), table.axis, locking)
            for whole, part in [(table.variable, table.scratch)] + self.slots
        ]

    def check_applied(self, applied: tf.Operation, optimizer: Any) -> None:
        """Raises ValueError if the base optimizer did nothing, as some of Keras's do.

        Or if it would divide by a constant that is zero in the table's precision.
        """
        operations = operations_under(applied)
        if not writing_operations(operations, self.table.scratch).difference(self._loads):
            raise ValueError(
                f"{type(optimizer).__name__} cannot be wrapped: it does nothing in graph mode. Use "
                f"one of tf.train, or of tf.keras.optimizers.legacy"
            )
        check_precision(operations.difference(self._loads), self.table.variable)

    def _rows_of(self, whole):
        if whole.shape == self.table.scratch.shape:
            return whole.read_value()
        return gather_rows(whole, self.table.rows, self.table.axis)

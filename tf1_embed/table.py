"""A table of frozen and trainable rows: two variables, and which ids are in them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NoReturn

import numpy as np
import tensorflow.compat.v1 as tf

from tf1_embed import raw_ops
from tf1_embed.graph import train_ops
from tf1_embed.graph.graph_mode import check_graph_mode
from tf1_embed.graph.variables import full_name, is_ref, partitions_of
from tf1_embed.partitions import Partitions
from tf1_embed.rows import Rows

if TYPE_CHECKING:
    from tf1_embed.types import Variable


class SplitTable:
    """A table whose rows live in two variables, one frozen and one trainable.

    What a `GrownTable` and a `RowSplitTable` have in common.

    Attributes:
      name: string, the table's full name, which is that of the frozen variable.
      frozen: `tf.Variable`, not trainable. A partitioned variable if the table has a partitioner;
        `list(table.frozen)` are its partitions.
      trainable: `tf.Variable`, the rows that train, [num_trainable_rows, dim]. A partitioned
        variable as well; `var_list` of an optimizer then takes `list(table.trainable)`.
      partition_strategy: "mod" or "div", how the ids of the frozen rows, and the positions of the
        others in `trainable_rows`, go to partitions; None if neither variable has more than one.
      trainable_rows: `Rows`, which ids of the table they are.
      num_frozen_rows: int, how many rows of the table are frozen.
      num_trainable_rows: int, how many train.
      shape: tuple of ints, of the whole table: (num_rows, dim) or (num_rows,).
      dtype: `tf.DType`.
    """

    name: str
    frozen: Variable
    trainable: Variable
    partition_strategy: str | None
    trainable_rows: Rows
    num_frozen_rows: int
    num_trainable_rows: int
    shape: tuple[int, ...]
    dtype: tf.DType

    def __init__(
        self,
        frozen: tf.Variable,
        trainable: tf.Variable,
        trainable_rows: Rows,
        partition_strategy: str | None = None,
    ) -> None:
        """Joins two variables; use `get_grown_table` or `get_row_split_table`."""
        partitions = partitions_of(frozen) + partitions_of(trainable)
        self.name = full_name(frozen)
        self.partition_strategy = partition_strategy if len(partitions) > 2 else None
        self.frozen = frozen
        self.trainable = trainable
        self.trainable_rows = trainable_rows
        self.num_trainable_rows = trainable_rows.count
        self.num_frozen_rows = trainable_rows.size - trainable_rows.count
        self.shape = (trainable_rows.size,) + tuple(frozen.shape.as_list()[1:])
        self.dtype = frozen.dtype.base_dtype
        # Made now: after a restore the graph may be finalized.
        self._run_time_shapes = {each: _run_time_shape(each) for each in partitions}

    def get_shape(self) -> tf.TensorShape:
        """Returns the table's shape as that of a tensor is given, a `tf.TensorShape`."""
        return tf.TensorShape(self.shape)

    def read(self, name: str | None = None) -> tf.Tensor:
        """Returns the whole table as one tensor.

        This copies the table: O(num_rows * dim) in time and memory whenever it is run.

        Args:
          name: string, a name for the operation.

        Returns:
          `tf.Tensor` of the table's shape and dtype, row i that of id i.

        Raises:
          RuntimeError: in eager mode.
        """
        check_graph_mode("table.read()")
        with tf.name_scope(name, "read_table"):
            return in_order_of_ids(self, tf.concat(both_of(self), 0), axis=0)

    def summary(self) -> str:
        """Returns some lines that say which rows are frozen, which train, and what that saves.

        An optimizer keeps slot variables of the trainable rows alone; what it saves is the frozen
        rows' share of each, of which Momentum has one and Adam two.

        Example:
          >>> import numpy as np
          >>> import tensorflow.compat.v1 as tf
          >>> import tf1_embed
          >>> with tf.Graph().as_default():
          ...     old_rows = np.zeros([20000, 64], np.float32)
          ...     table = tf1_embed.get_grown_table("embedding", 100, old_rows=old_rows)
          >>> print(table.summary())
          embedding, float32 of shape (20100, 64)
            frozen     20,000 rows    5.1 MB  in embedding
            trainable     100 rows   25.6 kB  in embedding_new_rows
            saved                     5.1 MB  in each slot of the optimizer
        """
        row_bytes = self.dtype.size * int(np.prod(self.shape[1:], dtype=np.int64))
        counts = [f"{each:,}" for each in (self.num_frozen_rows, self.num_trainable_rows)]
        width = max(map(len, counts))
        frozen, trainable = (
            _format_bytes(count * row_bytes)
            for count in (self.num_frozen_rows, self.num_trainable_rows)
        )
        return "\n".join(
            [
                f"{self.name}, {self.dtype.name} of shape {self.shape}",
                f"  frozen     {counts[0]:>{width}} rows  {frozen:>9}  in {self.name}",
                f"  trainable  {counts[1]:>{width}} rows  {trainable:>9}  in "
                f"{full_name(self.trainable)}",
                f"  saved      {'':{width}}       {frozen:>9}  in each slot of the optimizer",
            ]
        )

    def check_restored(self, session: tf.Session) -> None:
        """Checks that a restore gave the variables the values of a table of this shape.

        A checkpoint of a smaller table restores into a resource variable without an error: the
        variable shrinks, and only a later lookup fails, or on a GPU returns zeros.

        Args:
          session: `tf.Session` in which the variables have values.

        Raises:
          ValueError: if a variable has another shape than it was made with.
        """
        for variable, run_time_shape in self._run_time_shapes.items():
            expected = tuple(variable.shape.as_list())
            got = tuple(session.run(run_time_shape).tolist())
            if got != expected:
                raise ValueError(
                    f"variable {variable.op.name!r} was made with shape {expected} and has shape "
                    f"{got} since it was restored: the checkpoint is of a table of another size. "
                    f"Restore one that was saved from this graph, or give this one to "
                    f"get_grown_table as `checkpoint`"
                )

    def check_train_op(self, train_op: tf.Operation | tf.Tensor) -> None:
        """Checks that a training step can move the trainable rows, and will not spoil them.

        TensorFlow is silent where one variable has no gradient as long as another has one, and
        where a constant of the optimizer (Adam's default epsilon 1e-8) is zero in the table's
        precision, so that rows become NaN in the first step.

        Args:
          train_op: the `tf.Operation` or `tf.Tensor` that `minimize` or `apply_gradients` returned.

        Raises:
          ValueError: if `train_op` never writes the trainable variable, or divides by a constant
            that underflows to zero in the table's dtype.
        """
        operations = train_ops.operations_run_by([train_op])
        trainable = partitions_of(self.trainable)
        if not any(train_ops.writing_operations(operations, each) for each in trainable):
            raise ValueError(
                f"`train_op` never changes {trainable[0].op.name!r}: the loss does not depend on "
                f"its rows, or `var_list` leaves them out. Look ids up with "
                f"tf1_embed.embedding_lookup(table, ids) and build the loss from what it returns"
            )
        train_ops.check_precision(operations, partitions_of(self.frozen)[0])

    # Type checkers would take it for a sign that every attribute is there, misspelt ones too.
    if not TYPE_CHECKING:

        def __getattr__(self, attribute: str) -> Any:
            # Only what is not there comes here. An optimizer that is given a table asks for `op`.
            if attribute == "op":
                raise AttributeError(
                    f"a {type(self).__name__} is two variables: in `var_list` give "
                    f"{self.name!r} as table.trainable"
                )
            kind = type(self).__name__
            raise AttributeError(f"{kind!r} object has no attribute {attribute!r}")

    def __getitem__(self, index: Any) -> NoReturn:
        raise _no_tensor(self)

    def _as_graph_element(self):
        # What session.run asks a variable for.
        raise _no_tensor(self)

    def __repr__(self) -> str:
        return (
            f"<{type(self).__name__} {self.name!r} of {self.num_frozen_rows} frozen and "
            f"{self.num_trainable_rows} trainable rows, shape {self.shape}, {self.dtype.name}>"
        )


class GrownTable(SplitTable):
    """A trained table with new rows appended: the old rows are frozen, the new ones train.

    Made by `get_grown_table`; looked up by `tf1_embed.embedding_lookup`. `frozen` holds the old
    rows, [num_old_rows, dim], and `trainable` the new ones, [num_new_rows, dim]: row i of
    `trainable` is that of id num_old_rows + i.

    Attributes:
      num_old_rows: int, the number of old rows, all of them frozen.
      num_new_rows: int, the number of new rows, all of them trainable.
    """

    num_old_rows: int
    num_new_rows: int

    def __init__(
        self,
        frozen: tf.Variable,
        trainable: tf.Variable,
        trainable_rows: Rows,
        partition_strategy: str | None = None,
    ) -> None:
        """Joins the variables of the old and of the new rows; use `get_grown_table`."""
        super().__init__(frozen, trainable, trainable_rows, partition_strategy)
        self.num_old_rows = self.num_frozen_rows
        self.num_new_rows = self.num_trainable_rows


class RowSplitTable(SplitTable):
    """A trained table of which chosen rows train, and all others are frozen.

    Made by `get_row_split_table`; looked up by `tf1_embed.embedding_lookup`. `frozen` has the shape
    of the whole table, and stale values in the rows that train; row i of `trainable` is that of
    id `trainable_rows.ids()[i]`.
    """


def both_of(table: SplitTable) -> list[tf.Variable]:
    """Returns the partitions of the frozen variable, then those of the trainable one."""
    return partitions_of(table.frozen) + partitions_of(table.trainable)


def places(table: SplitTable, ids: tf.Tensor) -> tf.Tensor:
    """Returns where in the concatenation of `both_of(table)` each id has its row.

    Args:
      table: `SplitTable`.
      ids: int32 or int64 `tf.Tensor` of any shape, each in [0, num_rows).

    Returns:
      `tf.Tensor` of the shape and dtype of `ids`; `ids` themselves if that is the order of the ids.
    """
    if _is_in_order(table):
        return ids
    position = _place(table, table.trainable, table.trainable_rows.position(ids))
    appended = position + table.frozen.shape.as_list()[0]
    is_trainable = table.trainable_rows.contains(ids)
    return tf.where(is_trainable, appended, _place(table, table.frozen, ids))


def in_order_of_ids(table: SplitTable, tensor: tf.Tensor, axis: int) -> tf.Tensor:
    """Returns what an axis of a tensor holds for the rows of `both_of(table)`, entry i for id i."""
    if _is_in_order(table):
        return tensor
    every_id = tf.range(tf.constant(table.shape[0], tf.int64))
    return tf.gather(tensor, places(table, every_id), axis=axis)


def _is_in_order(table):
    return isinstance(table, GrownTable) and table.partition_strategy != "mod"


def _place(table, variable, positions):
    """Returns where in the concatenation of a variable's partitions each position has its row."""
    sizes = tuple(each.shape.as_list()[0] for each in partitions_of(variable))
    return Partitions(sizes, table.partition_strategy).places(
        positions, lambda starts, part: tf.gather(tf.constant(starts, positions.dtype), part)
    )


def _no_tensor(table):
    return TypeError(
        f"{type(table).__name__} {table.name!r} is no tensor: look ids up with "
        f"tf1_embed.embedding_lookup(table, ids); table.read() is all its rows, at their full cost"
    )


def _refuse_conversion(table, dtype=None, name=None, as_ref=False):
    raise _no_tensor(table)


tf.register_tensor_conversion_function(SplitTable, _refuse_conversion)


def _run_time_shape(variable):
    if is_ref(variable):
        # Assign keeps the shape of a ref variable.
        return tf.constant(variable.shape.as_list(), tf.int32)
    return raw_ops.VariableShape(input=variable.handle)


def _format_bytes(count):
    """Returns a number of bytes as text of at most 9 letters, such as "1.2 MB"."""
    for unit in ("B", "kB", "MB"):
        if count < 1000:
            return f"{count:.1f} {unit}" if unit != "B" else f"{count} B"
        count /= 1000
    return f"{count:,.1f} GB"

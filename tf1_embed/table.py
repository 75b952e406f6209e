"""A table of frozen and trainable rows: two variables, and the ids that join them."""

import numpy as np
import tensorflow.compat.v1 as tf

from tf1_embed import raw_ops
from tf1_embed.graph import train_ops
from tf1_embed.graph.variables import full_name, is_ref, partitions_of


class GrownTable:
    """A table whose rows live in two variables, one frozen and one trainable.

    Made by `get_grown_table` and `get_row_split_table`; looked up by `tf1_embed.embedding_lookup`.

    Attributes:
      name: string, the table's full name, which is that of the frozen variable.
      frozen: `tf.Variable`, not trainable, the old rows, [num_old_rows, dim]. In a row-split table
        it has the shape of the whole table. A partitioned variable if the table has a partitioner;
        `list(table.frozen)` are its partitions.
      trainable: `tf.Variable`, the rows that train, [num_new_rows, dim]. A partitioned variable as
        well; `var_list` of an optimizer then takes `list(table.trainable)`.
      partition_strategy: "mod" or "div", how the ids of the old rows, and the positions of the
        others in `trainable_rows`, go to partitions; None if neither variable has more than one.
      trainable_rows: `Rows`, which ids of the table they are.
      num_old_rows: int, the number of frozen rows.
      num_new_rows: int, the number of trainable rows.
      shape: tuple of ints, of the whole table: (num_rows, dim) or (num_rows,).
      dtype: `tf.DType`.
    """

    def __init__(self, frozen, trainable, trainable_rows, partition_strategy=None):
        """Joins two variables; use `get_grown_table` or `get_row_split_table`."""
        partitions = partitions_of(frozen) + partitions_of(trainable)
        self.name = full_name(frozen)
        self.partition_strategy = partition_strategy if len(partitions) > 2 else None
        self.frozen = frozen
        self.trainable = trainable
        self.trainable_rows = trainable_rows
        self.num_new_rows = trainable_rows.count
        self.num_old_rows = trainable_rows.size - trainable_rows.count
        self.shape = (trainable_rows.size,) + tuple(frozen.shape.as_list()[1:])
        self.dtype = frozen.dtype.base_dtype
        # Made now: after a restore the graph may be finalized.
        self._run_time_shapes = {each: _run_time_shape(each) for each in partitions}

    def read(self, name=None):
        """Returns the whole table as one tensor.

        This copies the table: O(num_rows * dim) in time and memory whenever it is run.

        Args:
          name: string, a name for the operation.

        Returns:
          `tf.Tensor` of the table's shape and dtype.
        """
        with tf.name_scope(name, "read_table"):
            both = tf.concat(self.partitions(), axis=0)
            return both if self.in_order else tf.gather(both, self.every_index())

    def partitions(self):
        """Returns the partitions of `frozen`, then those of `trainable`, a list of variables."""
        return partitions_of(self.frozen) + partitions_of(self.trainable)

    @property
    def in_order(self):
        """Whether row i of `partitions()`, one after another, is that of id i."""
        return self._is_grown and self.partition_strategy != "mod"

    def indices_in_both(self, ids):
        """Returns where in the concatenation of `partitions()` each id has its row.

        Args:
          ids: int32 or int64 `tf.Tensor` of any shape, each in [0, num_rows).

        Returns:
          `tf.Tensor` of the shape and dtype of `ids`; `ids` themselves if they are in order.
        """
        if self.in_order:
            return ids
        position = self._place(self.trainable, self.trainable_rows.position(ids))
        appended = position + self.frozen.shape.as_list()[0]
        return tf.where(self.trainable_rows.contains(ids), appended, self._place(self.frozen, ids))

    def every_index(self):
        """Returns `indices_in_both` of all ids, int64 of shape [num_rows]."""
        return self.indices_in_both(tf.range(tf.constant(self.shape[0], tf.int64)))

    def check_restored(self, session):
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

    def check_train_op(self, train_op):
        """Checks that a training step can move the new rows, and that it will not spoil them.

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
        if not any(
            train_ops.may_write(operation, each) for operation in operations for each in trainable
        ):
            raise ValueError(
                f"`train_op` never changes {trainable[0].op.name!r}: the loss does not depend on "
                f"the new rows, or `var_list` leaves them out. Look ids up with "
                f"tf1_embed.embedding_lookup(table, ids) and build the loss from what it returns"
            )
        train_ops.check_precision(operations, partitions_of(self.frozen)[0])

    @property
    def op(self):
        """What no table has: an optimizer that is given one asks for it."""
        raise AttributeError(
            f"a GrownTable is two variables: in `var_list` give {self.name!r} as table.trainable"
        )

    @property
    def _is_grown(self):
        """Whether the trainable rows follow the frozen ones, rather than stand in for some."""
        return self.frozen.shape.as_list()[0] == self.num_old_rows

    def _place(self, variable, positions):
        """Returns where in the concatenation of its partitions each position has its row."""
        sizes = [each.shape.as_list()[0] for each in partitions_of(variable)]
        if self.partition_strategy != "mod" or len(sizes) == 1:
            return positions
        starts = tf.constant(np.cumsum(sizes) - sizes, positions.dtype)
        return tf.gather(starts, positions % len(sizes)) + positions // len(sizes)

    def __repr__(self):
        return (
            f"<GrownTable {self.name!r} of {self.num_old_rows} frozen and {self.num_new_rows} "
            f"trainable rows, shape {self.shape}, {self.dtype.name}>"
        )


def _refuse_conversion(table, dtype=None, name=None, as_ref=False):
    raise TypeError(
        f"GrownTable {table.name!r} is no tensor: look ids up with "
        f"tf1_embed.embedding_lookup(table, ids); table.read() is all its rows, at their full cost"
    )


tf.register_tensor_conversion_function(GrownTable, _refuse_conversion)


def _run_time_shape(variable):
    if is_ref(variable):
        # Assign keeps the shape of a ref variable.
        return tf.constant(variable.shape.as_list(), tf.int32)
    return raw_ops.VariableShape(input=variable.handle)

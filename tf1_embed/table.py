"""A table of frozen and trainable rows: two variables, and the ids that join them."""

import tensorflow.compat.v1 as tf

from tf1_embed import raw_ops, train_ops
from tf1_embed.row_ops import is_ref


class GrownTable:
    """A table whose rows live in two variables, one frozen and one trainable.

    Made by `get_grown_table` and `get_row_split_table`; looked up by `tf1_embed.embedding_lookup`.

    Attributes:
      name: string, the table's full name, which is that of the frozen variable.
      frozen: `tf.Variable`, not trainable, the old rows, [num_old_rows, dim]. In a row-split table
        it has the shape of the whole table.
      trainable: `tf.Variable`, the rows that train, [num_new_rows, dim].
      trainable_rows: `Rows`, which ids of the table they are.
      num_old_rows: int, the number of frozen rows.
      num_new_rows: int, the number of trainable rows.
      shape: tuple of ints, of the whole table: (num_rows, dim) or (num_rows,).
      dtype: `tf.DType`.
    """

    def __init__(self, frozen, trainable, trainable_rows):
        """Joins two variables; use `get_grown_table` or `get_row_split_table`."""
        self.name = frozen.op.name
        self.frozen = frozen
        self.trainable = trainable
        self.trainable_rows = trainable_rows
        self.num_new_rows = trainable_rows.count
        self.num_old_rows = trainable_rows.size - trainable_rows.count
        self.shape = (trainable_rows.size,) + tuple(frozen.shape.as_list()[1:])
        self.dtype = frozen.dtype.base_dtype
        # Made now: after a restore the graph may be finalized.
        self._run_time_shapes = {each: _run_time_shape(each) for each in (frozen, trainable)}

    def read(self, name=None):
        """Returns the whole table as one tensor.

        This copies the table: O(num_rows * dim) in time and memory whenever it is run.

        Args:
          name: string, a name for the operation.

        Returns:
          `tf.Tensor` of the table's shape and dtype.
        """
        with tf.name_scope(name, "read_table"):
            both = tf.concat([self.frozen, self.trainable], axis=0)
            return both if self._is_grown else tf.gather(both, self._all_indices())

    def indices_in_both(self, ids):
        """Returns where in the concatenation of `frozen` and `trainable` each id has its row.

        Args:
          ids: int32 or int64 `tf.Tensor` of any shape, each in [0, num_rows).

        Returns:
          `tf.Tensor` of the shape and dtype of `ids`; `ids` themselves in a grown table.
        """
        if self._is_grown:
            return ids
        appended = self.trainable_rows.position(ids) + self.frozen.shape.as_list()[0]
        return tf.where(self.trainable_rows.contains(ids), appended, ids)

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
        operations = train_ops.operations_under(train_op)
        if not any(train_ops.may_write(operation, self.trainable) for operation in operations):
            raise ValueError(
                f"`train_op` never changes {self.trainable.op.name!r}: the loss does not depend on "
                f"the new rows, or `var_list` leaves them out. Look ids up with "
                f"tf1_embed.embedding_lookup(table, ids) and build the loss from what it returns"
            )
        train_ops.check_precision(operations, self.frozen)

    @property
    def _is_grown(self):
        """Whether the trainable rows follow the frozen ones, rather than stand in for some."""
        return self.frozen.shape.as_list()[0] == self.num_old_rows

    def _all_indices(self):
        return self.indices_in_both(tf.range(tf.constant(self.shape[0], tf.int64)))

    def __repr__(self):
        return (
            f"<GrownTable {self.name!r} of {self.num_old_rows} frozen and {self.num_new_rows} "
            f"trainable rows, shape {self.shape}, {self.dtype.name}>"
        )


def _run_time_shape(variable):
    if is_ref(variable):
        # Assign keeps the shape of a ref variable.
        return tf.constant(variable.shape.as_list(), tf.int32)
    return raw_ops.VariableShape(input=variable.handle)

"""Lookups whose gradients name the rows that were looked up, inside loops and branches too.

On the way back out of a loop or a branch, TensorFlow mixes the gradients of rows that were looked
up with zeros for rows that were not: a first slice of id 0 (`while_loop`, control flow v1), every
row of the branch that was not taken, or a dense gradient of the whole variable (control flow v2).
Under an optimizer with momentum or shrinkage a row that gets a zero gradient moves all the same.

Zeros do not tell the two apart, since the gradient of a row that was looked up may be zero as well.
So the rows enter the loop or branch with one column more, whose gradient is 1 for each lookup:

    rows of the variable ──mark──> [row | 0] ──loop, branch──> gather ──drop──> row
    gradient of named rows <─keep column > 0── [gradient | times looked up] <── [gradient | 1]
"""

from __future__ import annotations

import contextlib

import tensorflow.compat.v1 as tf

from tf1_embed.graph.row_ops import look_up
from tf1_embed.graph.variables import partitions_of
from tf1_embed.raw_ops import in_loop_or_branch


def look_up_named(
    rows: tf.Variable | tf.Tensor, positions: tf.Tensor, partition_strategy: str | None = None
) -> tf.Tensor:
    """Looks rows up as `look_up` does, with a gradient that names these rows and no others.

    In a loop or a branch this reads all the rows, once a step.

    Args:
      rows: `tf.Variable` of shape [num_rows, dim] or [num_rows], partitioned or not; or a tensor
        of that shape, made `outside_of_loops`.
      positions: int32 or int64 `tf.Tensor` of shape [batch].
      partition_strategy: "mod" or "div", how positions go to partitions.

    Returns:
      `tf.Tensor` of shape [batch, dim] or [batch].
    """
    partitions = partitions_of(rows)
    if not _in_control_flow(partitions[0]):
        return look_up(rows, positions, partition_strategy)
    row_shape = partitions[0].shape.as_list()[1:]
    # Made outside, where the gradients of all iterations and branches meet.
    with tf.init_scope():
        marked = [_marked_beside(each, row_shape) for each in partitions]
    return _drop_mark(look_up(marked, positions, partition_strategy), row_shape)


def outside_of_loops(variable: tf.Variable) -> contextlib.AbstractContextManager:
    """Returns a context outside of the loops and branches, if any, that are being built.

    Args:
      variable: `tf.Variable`, partitioned or not, of the graph that they are in.
    """
    in_control_flow = _in_control_flow(partitions_of(variable)[0])
    return tf.init_scope() if in_control_flow else contextlib.nullcontext()


def _in_control_flow(variable):
    graph = tf.get_default_graph()
    # Control flow v2 builds bodies and branches in graphs of their own.
    return graph is not variable.graph or in_loop_or_branch(graph)


def _marked_beside(variable, row_shape):
    """Returns the rows of a variable, marked, on its own device."""
    with variable.graph.colocate_with(variable.op):
        return _mark(tf.convert_to_tensor(variable), row_shape)


def _mark(rows, row_shape):
    """Returns [rows, dim + 1], `rows` and a column whose gradient counts the lookups of each."""

    @tf.custom_gradient
    def mark(rows):
        def gradient(marked):
            if isinstance(marked, tf.IndexedSlices):
                named = tf.where(marked.values[:, -1] > 0)[:, 0]
                indices, values = tf.gather(marked.indices, named), tf.gather(marked.values, named)
            else:
                indices = tf.where(marked[:, -1] > 0)[:, 0]
                values = tf.gather(marked, indices)
            dense_shape = tf.shape(rows, out_type=indices.dtype)
            return tf.IndexedSlices(_without_column(values, row_shape), indices, dense_shape)

        return _add_column(rows, tf.zeros), gradient

    return mark(rows)


def _drop_mark(marked, row_shape):
    """Returns [batch, dim] without the column that `_mark` added; its gradient is 1."""

    @tf.custom_gradient
    def drop(marked):
        return _without_column(marked, row_shape), lambda rows: _add_column(rows, tf.ones)

    return drop(marked)


def _add_column(rows, make):
    if rows.shape.ndims == 1:
        rows = tf.expand_dims(rows, 1)
    return tf.concat([rows, make([tf.shape(rows)[0], 1], rows.dtype.base_dtype)], 1)


def _without_column(marked, row_shape):
    return tf.reshape(marked[:, :-1], tf.concat([tf.shape(marked)[:1], row_shape], 0))

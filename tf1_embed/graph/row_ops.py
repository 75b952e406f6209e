"""Reads and writes rows of a variable in place, partitioned or not, whatever else it holds."""

from __future__ import annotations

from typing import Callable

import tensorflow.compat.v1 as tf

from tf1_embed.graph.graph_mode import check_graph_mode
from tf1_embed.graph.variables import check_variable, partitions_of, resolve_rows
from tf1_embed.rows import Rows, RowsLike

# TensorFlow's own, bound before legacy code can put tf1_embed's in its place.
tensorflows_lookup = tf.nn.embedding_lookup


def project_rows(
    variable: tf.Variable,
    rows: RowsLike,
    projection: Callable[[tf.Tensor], tf.Tensor],
    name: str | None = None,
) -> tf.Operation:
    """Applies a projection to chosen rows of a variable; all other rows stay, bit for bit.

    A projection of the whole table (to the unit sphere, into a box) is not exact on rows that obey
    it already: it flips their last bits.

    Args:
      variable: `tf.Variable` of shape [num_rows, dim] or [num_rows].
      rows: `Rows`, or ids, a range, a slice or a bool vector: those to project.
      projection: function of a tensor of these rows, [rows.count, dim] or [rows.count], that
        returns one of the same shape and dtype.
      name: string, a name for the operation.

    Returns:
      `tf.Operation` that projects the rows when it is run; run it after a training step.

    Raises:
      TypeError: if `variable` is not a variable or `rows` are not `Rows`.
      ValueError: if the variable has another number of rows, or the projection changes the shape.
      RuntimeError: in eager mode.

    Example:
      >>> import tensorflow.compat.v1 as tf
      >>> import tf1_embed
      >>> with tf.Graph().as_default(), tf.Session() as session:
      ...     table = tf.get_variable("table", initializer=[-2.0, -2.0, 2.0])
      ...     rows = tf1_embed.Rows.of([1, 2], size=3)
      ...     project = tf1_embed.project_rows(table, rows, lambda x: tf.clip_by_value(x, 0, 1))
      ...     session.run(table.initializer)
      ...     session.run(project)
      ...     print(session.run(table))
      [-2.  0.  1.]
    """
    check_graph_mode("project_rows")
    rows = resolve_rows(variable, rows)
    check_variable(variable, rows)
    with tf.name_scope(name, "project_rows"):
        values = gather_rows(variable, rows)
        projected = projection(values)
        if not projected.shape.is_compatible_with(values.shape):
            raise ValueError(
                f"`projection` must return rows of shape {values.shape.as_list()}, as it was "
                f"given; got {projected.shape.as_list()}"
            )
        return scatter_rows(variable, rows, projected)


def look_up(
    rows: tf.Variable | tf.Tensor | list, ids: tf.Tensor, partition_strategy: str | None = None
) -> tf.Tensor:
    """Gathers the rows of ids on the device of their partition, so that they alone leave it.

    Args:
      rows: `tf.Variable` or `tf.Tensor` of shape [num_rows, ...], a partitioned variable, or a list
        of partitions.
      ids: int32 or int64 of shape [batch], each in [0, num_rows).
      partition_strategy: "mod" or "div", needed where there is more than one partition.

    Returns:
      `tf.Tensor` of shape [batch, ...].
    """
    partitions = partitions_of(rows)
    ids = tf.convert_to_tensor(ids)
    # Where 1.15 can fold a stitch of nothing, it takes it for one row.
    if len(partitions) > 1 and ids.shape.num_elements() != 0:
        return tensorflows_lookup(partitions, ids, partition_strategy)
    with tf.get_default_graph().colocate_with(partitions[0].op):
        return tf.gather(partitions[0], ids)


def gather_rows(variable: tf.Variable, rows: Rows, axis: int = 0) -> tf.Tensor:
    """Returns the chosen rows of a variable, of its shape but for `rows.count` on `axis`.

    Costs O(count): in particular no read of a whole resource variable, which copies it once some
    lookup has used it.
    """
    if axis:
        return tf.gather_nd(variable, _places(variable, rows, axis))
    return tf.gather(variable, rows.ids_tensor())


def scatter_rows(
    variable: tf.Variable, rows: Rows, values: tf.Tensor, axis: int = 0, use_locking: bool = False
) -> tf.Operation:
    """Returns the operation that writes `values`, shaped as by `gather_rows`, to the rows."""
    if axis:
        return tf.scatter_nd_update(variable, _places(variable, rows, axis), values, use_locking).op
    return tf.scatter_update(variable, rows.ids_tensor(), values, use_locking).op


def _places(variable, rows, axis):
    """Returns the indices of the rows along the first axes, [..., count, axis + 1]."""
    before = variable.shape.as_list()[:axis]
    if None in before:
        raise ValueError(f"variable {variable.op.name!r} must have a known shape")
    ranges = [tf.range(tf.constant(size, tf.int64)) for size in before]
    return tf.stack(tf.meshgrid(*ranges, rows.ids_tensor(), indexing="ij"), axis=-1)

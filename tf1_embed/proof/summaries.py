"""Scalars for TensorBoard: how the new rows train, and that no frozen one has changed."""

from __future__ import annotations

from typing import TYPE_CHECKING

import tensorflow.compat.v1 as tf

if TYPE_CHECKING:
    from tf1_embed.table import GrownTable
    from tf1_embed.types import IndexedSlices, Tensor


def summaries(
    table: GrownTable, gradient: Tensor | IndexedSlices | None = None, name: str | None = None
) -> Tensor:
    """Makes the summaries of a table that has grown.

        <table>/new_rows/mean_norm             of a row; far from that of the old ones: look at the
        <table>/new_rows/largest_norm          initializer, the learning rate, a penalty
        <table>/new_rows/gradient_norm         0: the batches hold no new ids
        <table>/frozen_rows/changed            what the last check found: always 0

    The last is NaN, which TensorBoard marks and does not draw, until `FrozenRowsHook` or
    `FrozenRowsChecker` have looked. Fetching the summaries reads all new rows and no old one.

    Args:
      table: `GrownTable`.
      gradient: `tf.IndexedSlices` or `tf.Tensor`, the gradient of `table.trainable`, as
        `compute_gradients` or `tf.gradients` return it. Without it the gradient's norm is left out.
      name: string, the name before the slash; default: that of the table.

    Returns:
      scalar string `tf.Tensor`, the merged summaries. They are in the collection
      `tf.GraphKeys.SUMMARIES` too, for `tf.summary.merge_all`.

    Raises:
      TypeError: if `table` is no `GrownTable`, or `gradient` no tensor or slices.

    Example:
      >>> import numpy as np
      >>> import tensorflow.compat.v1 as tf
      >>> import tf1_embed
      >>> with tf.Graph().as_default(), tf.Session() as session:
      ...     table = tf1_embed.get_grown_table(
      ...         "table", 2, old_rows=np.zeros([3, 2]), initializer=np.eye(2)
      ...     )
      ...     merged = tf1_embed.summaries(table)
      ...     session.run(tf.global_variables_initializer())
      ...     drawn = tf.Summary.FromString(session.run(merged))
      ...     print({each.tag: each.simple_value for each in drawn.value})
      {'table/new_rows/mean_norm': 1.0, 'table/new_rows/largest_norm': 1.0,
       'table/frozen_rows/changed': nan}
    """
    if not hasattr(table, "trainable_rows"):
        raise TypeError(f"`table` must be a GrownTable, got {type(table).__name__}")
    name = table.name if name is None else name
    with tf.name_scope("summaries"):
        norms = _row_norms(table.trainable)
        scalars = {
            "new_rows/mean_norm": tf.reduce_mean(norms),
            "new_rows/largest_norm": tf.reduce_max(norms),
            "frozen_rows/changed": _changed_rows(table.name),
        }
        if gradient is not None:
            scalars["new_rows/gradient_norm"] = _gradient_norm(gradient)
    with tf.name_scope(None):
        return tf.summary.merge(
            [tf.summary.scalar(f"{name}/{tag}", scalar) for tag, scalar in scalars.items()]
        )


def record_changed_rows(
    session: tf.Session, graph: tf.Graph, variable_name: str, count: int
) -> None:
    """Sets what the summaries of a table say of its frozen rows, if there are summaries.

    Args:
      session: `tf.Session`.
      graph: `tf.Graph`, that of the session.
      variable_name: string, the name of the table.
      count: int, how many frozen rows have changed.
    """
    scope = _scope(variable_name)
    try:
        assign = graph.get_operation_by_name(f"{scope}record")
    except KeyError:
        return
    session.run(assign, {f"{scope}count:0": count})


def _changed_rows(variable_name):
    """Returns a scalar tensor of what was recorded last, NaN if nothing was."""
    with tf.init_scope(), tf.name_scope(_scope(variable_name)):
        # In no collection: it needs no initializer, and no Saver looks for it in a checkpoint.
        recorded = tf.Variable(0.0, trainable=False, collections=[], use_resource=True)
        count = tf.placeholder(tf.float32, [], "count")
        tf.group(tf.assign(recorded, count), name="record")
        return tf.cond(
            tf.is_variable_initialized(recorded), recorded.read_value, lambda: float("nan")
        )


def _scope(variable_name):
    # An absolute name: it ends in "/".
    return f"tf1_embed_changed_rows_of/{variable_name}/"


def _row_norms(variable):
    rows = tf.reshape(tf.cast(variable, tf.float32), [variable.shape.as_list()[0], -1])
    return tf.sqrt(tf.reduce_sum(tf.square(rows), axis=1))


def _gradient_norm(gradient):
    if isinstance(gradient, tf.IndexedSlices):
        # A row that a batch has twice has two slices, and its gradient is their sum.
        ids, segments = tf.unique(gradient.indices)
        gradient = tf.unsorted_segment_sum(gradient.values, segments, tf.size(ids))
    elif not isinstance(gradient, tf.Tensor):
        raise TypeError(
            f"`gradient` must be tf.IndexedSlices or a tf.Tensor, as compute_gradients returns it "
            f"for `table.trainable`; got {gradient!r}"
        )
    return tf.sqrt(tf.reduce_sum(tf.square(tf.cast(gradient, tf.float32))))

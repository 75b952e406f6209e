"""From sparse ids to combined vectors, over a table of frozen and trainable rows."""

from __future__ import annotations

import tensorflow.compat.v1 as tf

from tf1_embed.graph.graph_mode import check_graph_mode
from tf1_embed.lookup import embedding_lookup
from tf1_embed.table import SplitTable

# TensorFlow's own, bound before legacy code can put those below in their place.
_tensorflows = tf.nn.embedding_lookup_sparse
_tensorflows_safe = tf.nn.safe_embedding_lookup_sparse


def embedding_lookup_sparse(
    table: SplitTable | tf.Variable | tf.Tensor,
    sp_ids: tf.SparseTensor,
    sp_weights: tf.SparseTensor | None,
    partition_strategy: str = "mod",
    name: str | None = None,
    combiner: str = "mean",
    max_norm: float | None = None,
) -> tf.Tensor:
    """Looks up the vectors of sparse ids and combines those of each row of `sp_ids`.

    Each id is looked up once, however often the batch names it; the rest is
    `tf.nn.embedding_lookup_sparse`, whose arguments these are, in its order.

    Args:
      table: `GrownTable` or `RowSplitTable` of shape [num_rows, dim]; anything else goes to
        `tf.nn.embedding_lookup_sparse`.
      sp_ids: `tf.SparseTensor` of int32 or int64 ids, of shape [batch, any].
      sp_weights: `tf.SparseTensor` of floats of the same indices, or None for weights of 1.
      partition_strategy: "mod" or "div", for a partitioned variable; a `GrownTable` has its own.
      name: string, a name for the operation.
      combiner: "sum", "mean" (weighted), or "sqrtn" (the sum over the root of the sum of squared
        weights).
      max_norm: float; if given, longer vectors are scaled down to this L2 norm before they combine.

    Returns:
      `tf.Tensor` of shape [batch, dim]; rows of `sp_ids` without ids give zeros, as in TensorFlow.

    Raises:
      TypeError: if `sp_ids` is not a `tf.SparseTensor`.
      ValueError: if `combiner` is not one of the three, or `partition_strategy` is "div" and the
        table's is "mod".
      RuntimeError: in eager mode, for a split table.
      tf.errors.InvalidArgumentError: at run time, if an id is not in the table.
    """
    if isinstance(table, SplitTable):
        check_graph_mode("embedding_lookup_sparse")
        _check_sparse(sp_ids)
        table, sp_ids = _looked_up_once(table, sp_ids, partition_strategy)
    return _tensorflows(
        table,
        sp_ids,
        sp_weights,
        partition_strategy=partition_strategy,
        name=name,
        combiner=combiner,
        max_norm=max_norm,
    )


def safe_embedding_lookup_sparse(
    table: SplitTable | tf.Variable | tf.Tensor,
    sp_ids: tf.SparseTensor,
    sp_weights: tf.SparseTensor | None = None,
    combiner: str = "mean",
    default_id: int | None = None,
    name: str | None = None,
    partition_strategy: str = "div",
    max_norm: float | None = None,
) -> tf.Tensor:
    """Looks up sparse ids and combines them, without invalid ones, and with a vector for no ids.

    Ids below 0 are left out, and, unless the combiner is "sum", ids whose weight is not above 0. A
    row that then has no ids gets the vector of `default_id`, or zeros. Only the rows that are left,
    and that of `default_id` where it is needed, have a gradient; under
    `tf.nn.safe_embedding_lookup_sparse`, whose arguments these are, in its order, row 0 has one of
    zeros as well wherever there are no ids.

    Args:
      table: `GrownTable` or `RowSplitTable` of shape [num_rows, dim]; anything else goes to
        `tf.nn.safe_embedding_lookup_sparse`.
      sp_ids: `tf.SparseTensor` of int32 or int64 ids, of shape [..., any]; those along the last
        axis are combined.
      sp_weights: `tf.SparseTensor` of the table's dtype, of the same indices, or None for weights
        of 1.
      combiner: as for `embedding_lookup_sparse`.
      default_id: int, the id of rows without ids; default: none, such rows are zeros.
      name: string, a name for the operation.
      partition_strategy: "mod" or "div", for a partitioned variable; a `GrownTable` has its own.
      max_norm: as for `embedding_lookup_sparse`.

    Returns:
      `tf.Tensor` of shape [..., dim].

    Raises:
      TypeError: if `sp_ids` is not a `tf.SparseTensor`.
      ValueError: as for `embedding_lookup_sparse`.
      RuntimeError: in eager mode, for a split table.
      tf.errors.InvalidArgumentError: at run time, if an id is beyond the table.
    """
    if not isinstance(table, SplitTable):
        return _tensorflows_safe(
            table, sp_ids, sp_weights, combiner, default_id, name, partition_strategy, max_norm
        )
    check_graph_mode("safe_embedding_lookup_sparse")
    _check_sparse(sp_ids)
    with tf.name_scope(name, "safe_embedding_lookup_sparse") as scope:
        is_valid = sp_ids.values >= 0
        if sp_weights is not None and combiner != "sum":
            is_valid = tf.logical_and(is_valid, sp_weights.values > 0)
        batch_shape, static_shape = sp_ids.dense_shape[:-1], sp_ids.shape[:-1]
        flat_shape = tf.stack([tf.reduce_prod(batch_shape), sp_ids.dense_shape[-1]])

        def prepare(sparse, default):
            sparse = tf.sparse.reshape(tf.sparse.retain(sparse, is_valid), flat_shape)
            return sparse if default_id is None else tf.sparse.fill_empty_rows(sparse, default)[0]

        sp_ids = prepare(sp_ids, default_id)
        if sp_weights is not None:
            sp_weights = prepare(sp_weights, 1.0)
        vectors, sp_ids = _looked_up_once(table, sp_ids, partition_strategy)
        # For rows that are still empty TensorFlow takes the first vector, then clears the result.
        vectors = tf.pad(vectors, [[1, 0], [0, 0]])
        sp_ids = tf.SparseTensor(sp_ids.indices, sp_ids.values + 1, sp_ids.dense_shape)
        combined = _tensorflows_safe(vectors, sp_ids, sp_weights, combiner, max_norm=max_norm)
        combined = tf.reshape(combined, tf.concat([batch_shape, table.shape[1:]], 0))
        combined.set_shape(static_shape.concatenate(table.shape[1:]))
        return tf.identity(combined, name=scope)


def _check_sparse(sp_ids):
    if not isinstance(sp_ids, tf.SparseTensor):
        raise TypeError(f"`sp_ids` must be a tf.SparseTensor, got {type(sp_ids).__name__}")


def _looked_up_once(table, sp_ids, partition_strategy):
    """Returns the vectors of the ids, each once, [any, dim], and where in these each id is."""
    ids, positions = tf.unique(sp_ids.values)
    vectors = embedding_lookup(table, ids, partition_strategy=partition_strategy)
    return vectors, tf.SparseTensor(sp_ids.indices, positions, sp_ids.dense_shape)

"""From ids to vectors, over a table of frozen and trainable rows.

Three strategies give the same vectors and the same gradients. They differ in what a step costs and
in the batches they can serve:

| strategy    | a batch of old and new ids | cost of a step                             |
|-------------|----------------------------|--------------------------------------------|
| `partition` | yes                        | O(batch)                                   |
| `cond`      | an error that says so      | O(batch)                                   |
| `concat`    | yes                        | O(table): copies both variables every step |

Each is a function of its name at the end of this file, which reads as the question's answer does:
which ids are new, the offset that turns them into rows of the new variable, and the way back.
"""

from __future__ import annotations

import tensorflow.compat.v1 as tf

from tf1_embed.graph.control_flow import look_up_named, outside_of_loops
from tf1_embed.graph.graph_mode import check_graph_mode
from tf1_embed.graph.keras_layers import warn_of_lambda_layer
from tf1_embed.graph.row_ops import look_up, tensorflows_lookup
from tf1_embed.partitions import STRATEGIES as PARTITION_STRATEGIES
from tf1_embed.table import GrownTable, SplitTable, both_of, in_order_of_ids, places


def embedding_lookup(
    table: SplitTable | tf.Variable | tf.Tensor,
    ids: tf.Tensor,
    strategy: str = "partition",
    is_new: tf.Tensor | bool | None = None,
    max_norm: float | None = None,
    partition_strategy: str = "mod",
    name: str | None = None,
) -> tf.Tensor:
    """Looks up the vectors of `ids`, old and new ones mixed.

        ids      3   0   n+1  2              old ids │ new ids
        frozen   v3  v0       v2             3 0 2   │
        new              w1                          │ n+1  -> row 1 of the new rows
        vectors  v3  v0  w1   v2

    The gradient of the trainable variable is `tf.IndexedSlices` of the ids of its rows in the
    batch, also when this is called in a `tf.while_loop` or in a branch of a `tf.cond`, where
    TensorFlow by itself would name row 0, or every row, with zeros: a zero gradient still moves a
    row under optimizers with momentum. In a loop or branch the trainable rows are those of before
    the loop: one read of that variable, O(new rows), a step.

    The rows are gathered on the device of their variable, or of its partition.

    Anything but a `GrownTable` or a `RowSplitTable` goes to TensorFlow's own lookup. So this serves
    in its place: `tf.nn.embedding_lookup = tf1_embed.embedding_lookup`.

    Args:
      table: `GrownTable` or `RowSplitTable` of shape [num_rows, dim] or [num_rows]; or what
        `tf.nn.embedding_lookup` takes (a variable, a partitioned variable, a tensor).
      ids: int32 or int64, any shape, each in [0, num_rows); may be empty.
      strategy: "partition", the default; "cond", the branch of the question's answer, for batches
        of old ids or of new ids only; "concat", the question's own attempt, O(table) a step.
        "mod" and "div" are taken for a `partition_strategy`, which is third in TensorFlow.
      is_new: bool scalar tensor, for "cond": whether the batch holds new ids. Default: found from
        the ids.
      max_norm: float; if given, longer vectors are scaled down to this L2 norm.
      partition_strategy: "mod" or "div", for a partitioned variable; a `GrownTable` has its own.
      name: string, a name for the operation.

    Returns:
      `tf.Tensor` of shape `ids.shape + [dim]` (or `ids.shape` for a table of rank 1), of the
      table's dtype.

    Raises:
      TypeError: if `ids` are not int32 or int64.
      ValueError: if `strategy` is not one of the three, `is_new` is given without "cond", either
        is given for what is no split table, or `partition_strategy` is "div" and the table's "mod".
      RuntimeError: in eager mode, for a split table; if `tf.nn.embedding_lookup` was replaced by
        what calls this, before this was imported.
      tf.errors.InvalidArgumentError: at run time, if an id is not in the table, and under "cond" if
        the batch mixes old and new ids or is not what `is_new` says.

    Example:
      >>> import numpy as np
      >>> import tensorflow.compat.v1 as tf
      >>> import tf1_embed
      >>> with tf.Graph().as_default(), tf.Session() as session:
      ...     table = tf1_embed.get_grown_table(
      ...         "embedding",
      ...         num_new_rows=1,
      ...         old_rows=np.float32([[0, 0], [1, 1]]),
      ...         initializer=tf1_embed.initializers.constant(2),
      ...     )
      ...     vectors = tf1_embed.embedding_lookup(table, [2, 0, 1])
      ...     session.run(tf.global_variables_initializer())
      ...     print(session.run(vectors))
      [[2. 2.]
       [0. 0.]
       [1. 1.]]
    """
    if strategy in PARTITION_STRATEGIES:
        strategy, partition_strategy = "partition", strategy
    if not isinstance(table, SplitTable):
        _check_is_default(strategy, is_new)
        try:
            return tensorflows_lookup(
                table, ids, partition_strategy=partition_strategy, max_norm=max_norm, name=name
            )
        except RecursionError:
            raise RuntimeError(
                "tf.nn.embedding_lookup was replaced by a function that calls tf1_embed's, before "
                "this was imported; so each calls the other. Put `import tf1_embed.lookup` ahead "
                "of that line"
            ) from None
    check_graph_mode("embedding_lookup")
    if strategy not in _STRATEGIES:
        raise ValueError(f"`strategy` must be one of {sorted(_STRATEGIES)}, got {strategy!r}")
    if is_new is not None and strategy != "cond":
        raise ValueError(f'`is_new` is for strategy "cond"; got it with strategy {strategy!r}')
    _check_partition_strategy(table, partition_strategy)
    warn_of_lambda_layer(table)
    with tf.name_scope(name, "embedding_lookup", [ids]) as scope:
        ids = _valid_ids(table, ids)
        vectors = _STRATEGIES[strategy](table, tf.reshape(ids, [-1]), is_new)
        row_shape = list(table.shape[1:])
        if max_norm is not None:
            # Before the ids' shape is put back, whose rank need not be known.
            vectors = tf.clip_by_norm(vectors, max_norm, axes=list(range(1, len(table.shape))))
        vectors = tf.reshape(vectors, tf.concat([tf.shape(ids), row_shape], 0))
        vectors.set_shape(ids.shape.concatenate(row_shape))
        return tf.identity(vectors, name=scope)


def matmul(
    x: tf.Tensor, table: SplitTable | tf.Variable | tf.Tensor, name: str | None = None
) -> tf.Tensor:
    """Multiplies by the transposed table: the logits of a tied output layer, over all rows.

    Neither variable is copied into the other: each is multiplied by itself, a partition on its own
    device, and the results, whose size is the logits' own, are joined. The gradient of `x` would
    still fetch partitions from there; `colocate_gradients_with_ops=True` has it computed there too.

    Args:
      x: floats of shape [..., dim], of the table's dtype.
      table: `GrownTable` or `RowSplitTable` of shape [num_rows, dim], or a variable or tensor of
        that shape.
      name: string, a name for the operation.

    Returns:
      `tf.Tensor` of shape [..., num_rows].

    Raises:
      ValueError: if the table has not rank 2.
      RuntimeError: in eager mode, for a split table.
    """
    if not isinstance(table, SplitTable):
        return tf.matmul(x, table, transpose_b=True, name=name)
    check_graph_mode("matmul")
    with tf.name_scope(name, "matmul", [x]) as scope:
        if len(table.shape) != 2:
            raise ValueError(
                f"`table` must have shape [num_rows, dim]; table {table.name!r} has {table.shape}"
            )
        x = tf.convert_to_tensor(x, table.dtype)
        flat = tf.reshape(x, [-1, table.shape[1]])
        logits = tf.concat([_logits(table, flat, each) for each in both_of(table)], 1)
        logits = in_order_of_ids(table, logits, axis=1)
        logits = tf.reshape(logits, tf.concat([tf.shape(x)[:-1], [table.shape[0]]], 0))
        logits.set_shape(x.shape[:-1].concatenate(table.shape[0]))
        return tf.identity(logits, name=scope)


def _logits(table, x, variable):
    if table.partition_strategy is None:
        return tf.matmul(x, variable, transpose_b=True)
    # Partitions are on servers, as a rule, from which they would be sent.
    with tf.get_default_graph().colocate_with(variable.op):
        return tf.matmul(x, variable, transpose_b=True)


def _check_is_default(strategy, is_new):
    if strategy != "partition" or is_new is not None:
        argument, value = ("is_new", is_new) if strategy == "partition" else ("strategy", strategy)
        raise ValueError(
            f"`{argument}` is for a table of get_grown_table or get_row_split_table; an ordinary "
            f"variable or tensor has one way to be looked up. Leave it out; got {value!r}"
        )


def _check_partition_strategy(table, partition_strategy):
    # The other way round it is the default that is given, so nothing is known.
    if (table.partition_strategy, partition_strategy) == ("mod", "div"):
        raise ValueError(
            f'`partition_strategy` is "div", but the ids of table {table.name!r} go to its '
            f'partitions by "mod". Give get_grown_table the strategy of the trained model\'s '
            f'lookups: "div" if they were as this one, else give "mod" here'
        )


def _valid_ids(table, ids):
    """Returns `ids` as a tensor whose every use first finds them to be in the table."""
    ids = tf.convert_to_tensor(ids, name="ids")
    if ids.dtype.base_dtype not in (tf.int32, tf.int64):
        raise TypeError(f"`ids` must be int32 or int64, got {ids.dtype.base_dtype.name}")
    if table.shape[0] > tf.int32.max:
        ids = tf.cast(ids, tf.int64)
    ends = [tf.reduce_min(ids), tf.reduce_max(ids)]
    in_range = tf.logical_and(ends[0] >= 0, ends[1] < table.shape[0])
    if ids.dtype == tf.int64:
        # tf.Assert puts a branch, which costs more than the check, around data of other kinds.
        ends = [tf.as_string(end) for end in ends]
    # A GPU would return zeros, and the error of a gather would name an id of one variable.
    text = f"`ids` must be in [0, {table.shape[0]}), the rows of table {table.name!r}; got ids from"
    in_table = tf.Assert(in_range, [text, ends[0], "to", ends[1]])
    with tf.control_dependencies([in_table]):
        return tf.identity(ids)


def _are_new(table, ids):
    """Tells of each id whether its row is in the trainable variable."""
    if isinstance(table, GrownTable):
        return ids >= table.num_old_rows
    return table.trainable_rows.contains(ids)


def _without_offset(table, new_ids):
    """Returns the rows of the trainable variable that the ids of trainable rows have."""
    if isinstance(table, GrownTable):
        return new_ids - table.num_old_rows
    # Chosen rows have gaps between them: the offset is another one for each run of ids.
    return table.trainable_rows.position(new_ids)


def _partition(table, ids, is_new):
    """Sends each id to its own variable and puts the vectors back in order."""
    if ids.shape.num_elements() == 0:
        # Where 1.15 can fold a stitch of nothing, it takes it for one row.
        return _look_up_trainable(table, ids)
    are_new = tf.cast(_are_new(table, ids), tf.int32)
    old_ids, new_ids = tf.dynamic_partition(ids, are_new, 2)
    old_vectors = _look_up_frozen(table, old_ids)
    new_vectors = _look_up_trainable(table, _without_offset(table, new_ids))
    places_in_batch = tf.dynamic_partition(tf.range(tf.size(ids)), are_new, 2)
    return tf.dynamic_stitch(places_in_batch, [old_vectors, new_vectors])


def _cond(table, ids, is_new):
    """Takes the branch of the question's answer, around two lookups rather than two tables."""
    are_new = _are_new(table, ids)
    if is_new is None:
        is_new = tf.reduce_any(are_new)
    is_new = tf.convert_to_tensor(is_new, tf.bool, name="is_new")
    uniform = tf.Assert(
        tf.reduce_all(tf.equal(are_new, is_new)),
        [
            'strategy "cond" serves batches of old ids only or of new ids only, as `is_new` says; '
            f'got both, or the others, for table {table.name!r}. Use "partition" instead; is_new:',
            tf.as_string(is_new),
        ],
    )
    with tf.control_dependencies([uniform]):
        ids = tf.identity(ids)
    # The trainable variable is looked up outside of the branch: inside, the branch not taken would
    # give every one of its rows a gradient of zero.
    new_rows = tf.cond(
        is_new, lambda: _without_offset(table, ids), lambda: tf.zeros([0], ids.dtype)
    )
    new_vectors = _look_up_trainable(table, new_rows)
    return tf.cond(is_new, lambda: new_vectors, lambda: _look_up_frozen(table, ids))


def _concat(table, ids, is_new):
    """Copies both variables into one tensor, in every step, and gathers the rows there."""
    with outside_of_loops(table.trainable):
        both = tf.concat(both_of(table), 0)
    return look_up_named(both, places(table, ids))


_STRATEGIES = {"partition": _partition, "cond": _cond, "concat": _concat}


def _look_up_frozen(table, ids):
    return look_up(table.frozen, ids, table.partition_strategy)


def _look_up_trainable(table, rows):
    return look_up_named(table.trainable, rows, table.partition_strategy)

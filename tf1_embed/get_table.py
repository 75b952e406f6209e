"""Makes the two variables of a table: the frozen one, under its old name, and the trainable one."""

from __future__ import annotations

import os
from typing import Any, Callable, Sequence

import numpy as np
import tensorflow.compat.v1 as tf

from tf1_embed import initializers
from tf1_embed.graph import initial_values, sources
from tf1_embed.graph.graph_mode import check_graph_mode
from tf1_embed.graph.variables import partitions_of
from tf1_embed.partitions import STRATEGIES, Partitions
from tf1_embed.rows import Rows, RowsLike, as_rows
from tf1_embed.table import GrownTable, RowSplitTable


# What follows `initializer` are arguments of tf.get_variable, one by one and by its names, so that
# a call of that becomes a call of this, and an editor knows them.
def get_grown_table(
    name: str,
    num_new_rows: int,
    checkpoint: str | os.PathLike | None = None,
    old_rows: np.ndarray | str | os.PathLike | tf.Variable | None = None,
    initializer: Any = None,
    checkpoint_name: str | None = None,
    dtype: tf.DType | None = None,
    regularizer: Callable[[tf.Tensor], tf.Tensor] | None = None,
    constraint: Callable[[tf.Tensor], tf.Tensor] | None = None,
    collections: Sequence[str] | None = None,
    use_resource: bool | None = None,
    partitioner: Callable | None = None,
    partition_strategy: str = "mod",
) -> GrownTable:
    """Gets a trained table with new rows appended, of which only the new rows train.

        id        0 1 2 … n-1 │ n … n+k-1
        variable  <name>      │ <name>_new_rows
                  frozen      │ trainable

    The frozen variable has the name that the table had, so that a `tf.train.Saver` of the old model
    finds it; `trainable=False` keeps optimizers, and their slot variables, away from it. Its values
    come in when it is initialised and never enter the GraphDef.

    With a partitioner both are partitioned variables. The old rows stay in the partitions in which
    the trained model had them; the new ones have their own, and go to them by the same strategy:

        5 + 3 rows, 2 partitions    mod  0 2 4 | 1 3 │ 5 7 | 6    div  0 1 2 | 3 4 │ 5 6 | 7

    The enclosing variable scope is obeyed as by `tf.get_variable`: name, reuse, custom getter,
    `use_resource`, partitioner; its initializer and regularizer serve for the new rows only. Its
    dtype does not count: the table has that of the old rows.

    Running the initializer of new rows that are made from the old ones (`initializers.mean` and its
    like) runs the frozen variable's initializer first. So initialise, then restore.

    Args:
      name: string, the name of the table, relative to the variable scope.
      num_new_rows: int > 0, the number of rows to append.
      checkpoint: string, a checkpoint prefix, or a folder, whose latest checkpoint is taken.
      old_rows: instead of `checkpoint`: a float array of shape [num_old_rows, dim] or
        [num_old_rows], the path of such a `.npy` file, or a `tf.Variable`.
      initializer: values of the new rows: one of `tf1_embed.initializers`, a TensorFlow
        initializer, or an array or tensor of shape [num_new_rows, dim] or [num_new_rows]. Default:
        the scope's initializer, else `initializers.glorot_normal()`.
      checkpoint_name: string, the table's name in the checkpoint, where it is another than here.
      dtype: `tf.DType` that the old rows are expected to have; they keep their own in any case.
      regularizer: function of the new rows, as for `tf.get_variable`; default: the scope's.
      constraint: function of the new rows, as for `tf.get_variable`; default: the scope's.
      collections: list of graph collections for both variables, as for `tf.get_variable`.
      use_resource: bool, as for `tf.get_variable`; default: the scope's.
      partitioner: function of a shape and a dtype, as for `tf.get_variable`, such as
        `tf.fixed_size_partitioner(3)`; default: the scope's. It cuts the rows of each variable by
        themselves, into no more partitions than it has rows. Each partition of the frozen variable
        reads its own old rows, where these are an array or stored in the same partitions.
      partition_strategy: "mod" or "div", how ids go to partitions: as in the lookups with which the
        old rows were trained. Those of `tf.nn.embedding_lookup` and `embedding_lookup_sparse` go by
        "mod" unless told otherwise, those of feature columns and of
        `tf.nn.safe_embedding_lookup_sparse` by "div". Does not matter where nothing is partitioned.

    Returns:
      `GrownTable` of shape [num_old_rows + num_new_rows, dim] or [num_old_rows + num_new_rows].

    Raises:
      TypeError: if `num_new_rows` is not an int; if `old_rows` or `initializer` is of no known
        kind, such as a list, which has no dtype, or `initializers.mean` without its parentheses.
      ValueError: if `num_new_rows` is not positive; if not exactly one of `checkpoint` and
        `old_rows` is given; if the old rows are of another rank than 1 or 2, not floats, or of
        another dtype than `dtype`; if `initializer` has another shape than the new rows; if a
        variable of that name exists; if `partitioner` cuts columns, or `partition_strategy` is not
        one of the two; if the strategy is "mod" and the checkpoint holds the table in several
        partitions, but not in those of the frozen variable; if the checkpoint's path has brackets.
      FileNotFoundError: if there is no such checkpoint or file.
      KeyError: if the checkpoint holds no such variable; the error lists those that it holds.
      CheckpointDamaged: if the checkpoint is damaged.
      RuntimeError: in eager mode.

    Example:
      >>> import numpy as np
      >>> import tensorflow.compat.v1 as tf
      >>> import tf1_embed
      >>> with tf.Graph().as_default():
      ...     table = tf1_embed.get_grown_table(
      ...         "embedding", num_new_rows=2, old_rows=np.zeros([10, 4], np.float32)
      ...     )
      ...     print(table.shape, [variable.op.name for variable in tf.trainable_variables()])
      (12, 4) ['embedding_new_rows']
    """
    check_graph_mode("get_grown_table")
    num_new_rows = _positive_int("num_new_rows", num_new_rows)
    initializer = initializers.told_apart(initializer)
    source = _source(name, checkpoint, checkpoint_name, old_rows, dtype)
    num_old_rows = source.shape[0]
    num_rows = num_old_rows + num_new_rows
    if initializer is None:
        initializer = tf.get_variable_scope().initializer or initializers.glorot_normal()
    return _get_table(
        GrownTable,
        name,
        f"{name}_new_rows",
        source,
        Rows.range(num_old_rows, num_rows, size=num_rows),
        initializer,
        regularizer=regularizer,
        constraint=constraint,
        collections=collections,
        use_resource=use_resource,
        partitioner=partitioner,
        partition_strategy=partition_strategy,
    )


def get_row_split_table(
    name: str,
    trainable_rows: RowsLike,
    checkpoint: str | os.PathLike | None = None,
    old_rows: np.ndarray | str | os.PathLike | tf.Variable | None = None,
    checkpoint_name: str | None = None,
    dtype: tf.DType | None = None,
    regularizer: Callable[[tf.Tensor], tf.Tensor] | None = None,
    constraint: Callable[[tf.Tensor], tf.Tensor] | None = None,
    collections: Sequence[str] | None = None,
    use_resource: bool | None = None,
    partitioner: Callable | None = None,
    partition_strategy: str = "mod",
) -> RowSplitTable:
    """Gets a trained table of which only chosen rows train, starting from their old values.

        id        0 1 2 3 4 5           trainable_rows=Rows.of([1, 4], size=6)
        variable  f t f f t f           f: <name>, frozen    t: <name>_trainable_rows

    The frozen variable keeps its name, its shape and all its values; those of the chosen rows are
    stale there as soon as training moves the rows in `<name>_trainable_rows`.

    Args:
      name: string, the name of the table, relative to the variable scope.
      trainable_rows: `Rows` of the table's size, or ids, a `range`, a `slice` or a bool for each
        row of the table; at least one row.
      checkpoint: as for `get_grown_table`, as are all arguments that follow.
      old_rows: see `get_grown_table`.
      checkpoint_name: see `get_grown_table`.
      dtype: see `get_grown_table`.
      regularizer: see `get_grown_table`.
      constraint: see `get_grown_table`.
      collections: see `get_grown_table`.
      use_resource: see `get_grown_table`.
      partitioner: see `get_grown_table`.
      partition_strategy: see `get_grown_table`. It is for the places of the trainable rows as well.

    Returns:
      `RowSplitTable` of the old table's shape.

    Raises:
      TypeError: if `trainable_rows` name no rows; and as for `get_grown_table`.
      ValueError: if `trainable_rows` are none, or rows of a table of another size; and as for
        `get_grown_table`.
      FileNotFoundError: as for `get_grown_table`.
      KeyError: as for `get_grown_table`.
      CheckpointDamaged: as for `get_grown_table`.
      RuntimeError: in eager mode.
    """
    check_graph_mode("get_row_split_table")
    source = _source(name, checkpoint, checkpoint_name, old_rows, dtype)
    trainable_rows = as_rows("trainable_rows", trainable_rows, source.shape[0])
    if not trainable_rows.count:
        raise ValueError("`trainable_rows` must hold at least one row; with none, nothing trains")
    own_rows = initializers.RowInitializer(
        lambda shape, dtype, rows: rows.gather(trainable_rows.ids_tensor()),
        "the rows themselves",
        needs_old_rows=True,
    )
    return _get_table(
        RowSplitTable,
        name,
        f"{name}_trainable_rows",
        source,
        trainable_rows,
        own_rows,
        regularizer=regularizer,
        constraint=constraint,
        collections=collections,
        use_resource=use_resource,
        partitioner=partitioner,
        partition_strategy=partition_strategy,
    )


def _source(name, checkpoint, checkpoint_name, old_rows, dtype):
    """Returns the source of the old rows, its shape and dtype checked."""
    if (checkpoint is None) == (old_rows is None):
        raise ValueError(
            "expected exactly one of `checkpoint` and `old_rows`, got "
            + ("neither" if checkpoint is None else "both")
        )
    if checkpoint is not None:
        scope = tf.get_variable_scope()
        full_name = f"{scope.name}/{name}" if scope.name else name
        try:
            source = sources.CheckpointRows(checkpoint, checkpoint_name or full_name)
        except KeyError as error:
            raise KeyError(
                f"{error.args[0]}. Correct `name`, or give the name there as `checkpoint_name`"
            ) from None
    elif isinstance(old_rows, (list, tuple)):
        raise TypeError(
            f"`old_rows` of table {name!r} is a {type(old_rows).__name__}, which has no dtype. "
            f"Give an array of the dtype that the model has: np.float32(old_rows)"
        )
    elif hasattr(old_rows, "initial_value"):
        source = sources.VariableRows(old_rows)
    elif sources.is_tensor(old_rows):
        raise TypeError(
            f"`old_rows` must be an array, the path of a .npy file, or a variable, got {old_rows!r}"
        )
    else:
        source = sources.ArrayRows(old_rows)
    if len(source.shape) not in (1, 2):
        raise ValueError(
            f"table {name!r} must have rank 2, [num_rows, dim], or rank 1, [num_rows]; the old "
            f"rows have shape {tuple(source.shape)}"
        )
    if not source.dtype.is_floating:
        raise ValueError(f"table {name!r} must be of a float dtype, got {source.dtype.name}")
    if dtype is not None and tf.as_dtype(dtype) != source.dtype:
        raise ValueError(
            f"`dtype` is {tf.as_dtype(dtype).name} but the old rows of table {name!r} are "
            f"{source.dtype.name}. A cast would change their bits; leave `dtype` out"
        )
    return source


def _get_table(kind, name, trainable_name, source, trainable_rows, initializer, **variable_kwargs):
    regularizer = variable_kwargs.pop("regularizer")
    constraint = variable_kwargs.pop("constraint")
    partitioner = variable_kwargs.pop("partitioner") or tf.get_variable_scope().partitioner
    strategy = variable_kwargs.pop("partition_strategy")
    if strategy not in STRATEGIES:
        raise ValueError(f"`partition_strategy` must be one of {STRATEGIES}, got {strategy!r}")

    def get(name, shape, make_initializer, **kwargs):
        partitions = Partitions((shape[0],), strategy)
        if partitioner is not None:
            count = _num_partitions(partitioner, shape, source.dtype)
            partitions = Partitions.even(shape[0], count, strategy)
            kwargs["partitioner"] = tf.fixed_size_partitioner(count)
        kwargs["initializer"] = make_initializer(partitions)
        return _get_variable(name, shape, source.dtype, **kwargs, **variable_kwargs)

    frozen = get(
        name,
        source.shape,
        lambda partitions: initial_values.of_old_rows(source, partitions),
        trainable=False,
        # Else the scope's regularizer would add the whole old table to every step.
        regularizer=tf.no_regularizer,
    )
    shape = [trainable_rows.count] + frozen.shape.as_list()[1:]
    trainable = get(
        trainable_name,
        shape,
        lambda partitions: initial_values.of_new_rows(initializer, frozen, shape, partitions),
        regularizer=regularizer,
        constraint=constraint,
    )
    return kind(frozen, trainable, trainable_rows, strategy)


def _num_partitions(partitioner, shape, dtype):
    """Returns into how many partitions a partitioner cuts the rows of a variable."""
    counts = list(partitioner(shape=tf.TensorShape(shape), dtype=dtype))
    if any(count > 1 for count in counts[1:]):
        raise ValueError(
            f"`partitioner` must cut rows only, since a lookup wants them whole; for shape "
            f"{list(shape)} it gives {counts} partitions"
        )
    # An empty partition is one that lookups do not expect.
    return max(1, min(counts[0], shape[0]))


def _get_variable(name, shape, dtype, **kwargs):
    try:
        variable = tf.get_variable(name, shape, dtype, **kwargs)
    except ValueError as error:
        if "Trying to share variable" in str(error):
            raise ValueError(
                f"the table of variable {name!r} is shared by `reuse`, and was made with another "
                f"shape than {list(shape)}: {error}"
            ) from None
        if "already exists" not in str(error):
            raise
        raise ValueError(
            f"variable {name!r} exists already in scope {tf.get_variable_scope().name!r}. To share "
            f"the table, use tf.variable_scope(..., reuse=True); to keep both, rename this one"
        ) from None
    if not hasattr(partitions_of(variable)[0], "initializer"):
        raise ValueError(
            f"the scope's custom getter returned {variable!r} for {name!r}; a table needs the "
            f"variable itself, so make it outside of the scope with that getter"
        )
    return variable


def _positive_int(argument, value):
    if isinstance(value, (bool, np.bool_)) or not isinstance(value, (int, np.integer)):
        raise TypeError(f"`{argument}` must be an int, got {value!r}")
    if value <= 0:
        raise ValueError(f"`{argument}` must be positive, got {value}")
    return int(value)

"""The initial values of a table's two variables, whole or partition by partition.

TensorFlow asks for the value of each partition by itself. One that was stored, or given as an
array, by itself is read by itself; any other value is made once and cut, so that initialising the
partitions together reads it once and holds it twice at most.
"""

from __future__ import annotations

from typing import Any, Callable

import tensorflow.compat.v1 as tf

from tf1_embed import initializers
from tf1_embed.graph import maths, sources
from tf1_embed.graph.row_ops import look_up
from tf1_embed.graph.variables import full_name, partitions_of
from tf1_embed.partitions import Partitions


def of_old_rows(
    source: sources.CheckpointRows | sources.ArrayRows | sources.VariableRows,
    partitions: Partitions,
) -> Callable:
    """Returns the initializer, as tf.get_variable takes it, of the frozen variable.

    Args:
      source: where the rows come from.
      partitions: `Partitions` of the variable.

    Raises:
      ValueError: if the source is a checkpoint that holds the rows in other partitions, from which
        they cannot be read in the order of their ids.
    """
    if source.reads_parts(partitions) and len(partitions.sizes) > 1:
        # Only what has parts reads them.
        return _by_partition(partitions, source.part)  # type: ignore[union-attr]
    return _cut(source.value, partitions)


def of_new_rows(
    initializer: Any, frozen: Any, shape: list[int], partitions: Partitions
) -> Callable:
    """Returns the initializer, as tf.get_variable takes it, of the trainable variable.

    Args:
      initializer: one of `tf1_embed.initializers`, a TensorFlow initializer, an array or a tensor.
      frozen: the frozen variable, partitioned or not.
      shape: list of ints, that of all new rows.
      partitions: `Partitions` of the new rows; those of the old ones are by the same strategy.

    Raises:
      TypeError: if `initializer` is a string.
      ValueError: if it is an array or a tensor of another shape or dtype than the new rows.
    """
    initializer = initializers.told_apart(initializer)
    dtype = frozen.dtype.base_dtype
    if isinstance(initializer, initializers.RowInitializer):
        old_rows = _InitializedRows(frozen, partitions.strategy)
        return _cut(lambda: initializer(shape, dtype, old_rows), partitions)
    if callable(initializer):
        return initializer
    is_tensor = sources.is_tensor(initializer)
    value: Any = initializer if is_tensor else sources.ArrayRows(initializer)
    got = value.shape.as_list() if is_tensor else list(value.shape)
    initializers.check_values(
        full_name(frozen), got, value.dtype.base_dtype.name, shape, dtype.name
    )
    return _cut((lambda: value) if is_tensor else value.value, partitions)


class _InitializedRows:
    """What an initializer of new rows sees of the old ones."""

    maths = maths

    def __init__(self, variable, partition_strategy):
        self.name = full_name(variable)
        self.num_rows = variable.shape.as_list()[0]
        self._variables = partitions_of(variable)
        self._partition_strategy = partition_strategy
        self._values = None

    def gather(self, ids):
        # The values share the variables' buffers. They are taken once, outside of any loop, since a
        # loop of control flow v1 drops control dependencies on what stands outside.
        if self._values is None:
            initialized = [each.initializer for each in self._variables]
            with tf.init_scope(), tf.control_dependencies(initialized):
                self._values = [sources.read_variable(each) for each in self._variables]
        return look_up(self._values, ids, self._partition_strategy)


def _cut(make_value, partitions):
    """Returns an initializer that takes the rows of each partition from one value of all rows."""
    if len(partitions.sizes) == 1:
        return lambda shape, dtype=None, partition_info=None: make_value()
    made = []

    def rows(ids, places):
        if not made:
            made.append(make_value())
        return made[0][ids]

    return _by_partition(partitions, rows)


def _by_partition(partitions, function):
    """Returns an initializer that calls `function(ids, places)` for each partition.

    `ids`, a slice, are the ids of the partition's rows; `places`, (start, stop), where these lie in
    the concatenation of all partitions.
    """
    parts = zip(partitions.ids_of_parts, partitions.slices)
    by_start = {places[0]: (ids, places) for ids, places in parts}

    def initialize(shape, dtype=None, partition_info=None):
        return function(*by_start[partition_info.var_offset[0]])

    return initialize

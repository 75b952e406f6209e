"""The initial values of a table's two variables, whole or partition by partition.

TensorFlow asks for the value of each partition by itself. One that was stored, or given as an
array, by itself is read by itself; any other value is made once and cut, so that initialising the
partitions together reads it once and holds it twice at most.
"""

import os

import numpy as np
import tensorflow.compat.v1 as tf

from tf1_embed import initializers, raw_ops
from tf1_embed.checkpoint.files.find import data_loss
from tf1_embed.checkpoint.files.index import read_index
from tf1_embed.checkpoint.files.sstable import SSTableError
from tf1_embed.graph import sources
from tf1_embed.graph.row_ops import look_up
from tf1_embed.graph.variables import full_name, partitions_of


def of_old_rows(source, old_rows, partitions):
    """Returns the initializer, as tf.get_variable takes it, of the frozen variable.

    Args:
      source: one of the sources of `tf1_embed.old_rows`.
      old_rows: what `source` was made of, if it is an `ArrayRows`.
      partitions: `Partitions` of the variable.

    Raises:
      ValueError: if the source is a checkpoint that holds the rows in other partitions, from which
        they cannot be read in the order of their ids.
      tf.errors.DataLossError: if the checkpoint's index cannot be read.
    """
    stored = (source.shape[0],)
    if isinstance(source, sources.CheckpointRows):
        stored = _stored_sizes(source)
        _check_order(source, stored, partitions)
    if len(partitions.sizes) > 1 and len(stored) > 1:
        return _by_partition(partitions, lambda ids, places: _restore(source, *places))
    if len(partitions.sizes) > 1 and isinstance(source, sources.ArrayRows):
        array = _open(old_rows)
        return _by_partition(partitions, lambda ids, places: sources.ArrayRows(array[ids]).value())
    return _cut(source.value, partitions)


def of_new_rows(initializer, frozen, shape, partitions):
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
    if isinstance(initializer, type):
        initializer = initializer()
    dtype = frozen.dtype.base_dtype
    if isinstance(initializer, initializers.RowInitializer):
        old_rows = _InitializedRows(frozen, partitions.strategy)
        return _cut(lambda: initializer(shape, dtype, old_rows), partitions)
    if callable(initializer):
        return initializer
    if isinstance(initializer, str):
        raise TypeError(
            f"`initializer` must be one of tf1_embed.initializers, a TensorFlow initializer, an "
            f"array or a tensor; got the string {initializer!r}"
        )
    is_tensor = sources.is_tensor(initializer)
    value = initializer if is_tensor else sources.ArrayRows(initializer)
    got = value.shape.as_list() if is_tensor else list(value.shape)
    if got != shape:
        raise ValueError(
            f"`initializer` must have the shape of the new rows, {shape}, got shape {got}"
        )
    if value.dtype.base_dtype != dtype:
        raise ValueError(
            f"`initializer` must have the dtype of the old rows, {dtype.name}, got "
            f"{value.dtype.base_dtype.name}"
        )
    return _cut((lambda: value) if is_tensor else value.value, partitions)


class _InitializedRows:
    """What an initializer of new rows sees of the old ones."""

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
    starts = [start for start, _ in partitions.slices]

    def initialize(shape, dtype=None, partition_info=None):
        part = starts.index(partition_info.var_offset[0])
        places = partitions.slices[part]
        if partitions.strategy == "mod":
            return function(slice(part, None, len(starts)), places)
        return function(slice(*places), places)

    return initialize


def _stored_sizes(source):
    """Returns how many rows each partition has in which a checkpoint holds a table."""
    with tf.gfile.GFile(f"{source.prefix}.index", "rb") as file:
        content = file.read()
    try:
        entries, _ = read_index(content)
    except SSTableError as error:
        raise data_loss(source.prefix, f"its index cannot be read: {error}") from error
    slices = entries[source.tensor_name.encode("utf-8", "surrogateescape")].slices
    rows = sorted({extents[0] for extents in slices})
    # One extent, of no length, if the partitions are of columns.
    return tuple(length for _, length in rows if length is not None) or (source.shape[0],)


def _check_order(source, stored, partitions):
    """Checks that the partitions' rows can be found in those that are stored."""
    if partitions.strategy == "div" or len(stored) == 1 or stored == partitions.sizes:
        return
    raise ValueError(
        f"checkpoint {source.prefix} holds {source.tensor_name!r} in {len(stored)} partitions of "
        f"{list(stored)} rows, but here it would have {len(partitions.sizes)} of "
        f'{list(partitions.sizes)}. With `partition_strategy` "mod" the ids of a row depend on '
        f"their number: give `partitioner`, tf.fixed_size_partitioner({len(stored)}), or, if "
        f'lookups in the trained model went by "div", `partition_strategy="div"`'
    )


def _restore(source, start, stop):
    """Returns the rows that a checkpoint has from `start` to `stop - 1`; reads no others."""
    extents = ":".join([f"{start},{stop - start}"] + ["-"] * (len(source.shape) - 1))
    # Only the CPU reads checkpoints.
    with tf.device("/cpu:0"):
        (value,) = raw_ops.RestoreV2(
            prefix=source.prefix,
            tensor_names=[source.tensor_name],
            shape_and_slices=[" ".join(map(str, source.shape)) + " " + extents],
            dtypes=[source.dtype],
            name="old_rows_from_checkpoint",
        )
    value.set_shape((stop - start,) + source.shape[1:])
    return value


def _open(old_rows):
    if isinstance(old_rows, (str, os.PathLike)):
        return np.load(os.fspath(old_rows), mmap_mode="r")
    return np.asanyarray(old_rows)

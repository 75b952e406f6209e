"""Merges the frozen and the new rows of grown tables into one variable each."""

import functools

import tensorflow.compat.v1 as tf

from tf1_embed.checkpoint.writer import CheckpointWriter
from tf1_embed.old_rows import CheckpointRows, checkpoint_shapes, data_loss, find_checkpoint

NEW_ROWS_SUFFIX = "_new_rows"


def merge_checkpoint(checkpoint, tables, out):
    """Writes a checkpoint in which each grown table is one variable under its old name.

        <name> [n, dim], <name>_new_rows [k, dim]   ->   <name> [n + k, dim]

    The model's original code, given n + k rows, restores it with an unmodified `tf.train.Saver`,
    and `tf1_embed.get_grown_table` grows it again. All other variables pass through bit for bit,
    the new rows' slot variables among them. One variable at a time is in memory.

    Args:
      checkpoint: string, the prefix of the grown model's checkpoint, or a folder, whose latest is
        taken. It is not written to.
      tables: list of strings, the full names of the grown tables.
      out: string, the prefix to write, on a local disk; its folder must exist.

    Returns:
      dict from table name to the merged shape, a tuple of ints.

    Raises:
      FileNotFoundError: if there is no such checkpoint, or no folder to write to.
      FileExistsError: if `out` exists already.
      KeyError: if the checkpoint does not hold both variables of a table.
      ValueError: if `tables` is a string, a table is row-split, the two variables' dims or dtypes
        differ, or a path has brackets.
      tf.errors.DataLossError: if the checkpoint is damaged.
    """
    if isinstance(tables, str):
        raise ValueError(f"`tables` must be a list of names, got the string {tables!r}")
    prefix = find_checkpoint(checkpoint)
    parts_of_table = {name: _parts(prefix, name) for name in tables}
    merged = {part.tensor_name for parts in parts_of_table.values() for part in parts}
    shapes = {}
    with CheckpointWriter(out) as writer:
        try:
            for name in sorted(set(checkpoint_shapes(prefix)) - merged):
                writer.add(name, CheckpointRows(prefix, name).value)
            for name, (frozen, new) in parts_of_table.items():
                shapes[name] = (frozen.shape[0] + new.shape[0],) + frozen.shape[1:]
                if frozen.dtype == tf.float16:
                    # TensorFlow cannot put slices of it together ("Dtype half not supported").
                    writer.add(frozen.tensor_name, functools.partial(_concat, frozen, new))
                    continue
                writer.add(frozen.tensor_name, frozen.value, 0, shapes[name])
                writer.add(frozen.tensor_name, new.value, frozen.shape[0], shapes[name])
        except tf.errors.DataLossError as error:
            raise data_loss(prefix, f"variable {name!r}: {error.message}") from error
    return shapes


def _concat(frozen, new):
    return tf.concat([frozen.value(), new.value()], 0)


def _parts(prefix, name):
    frozen = CheckpointRows(prefix, name)
    if f"{name}_trainable_rows" in checkpoint_shapes(prefix):
        raise ValueError(
            f"{name!r} is a row-split table, and the checkpoint does not say which rows are in "
            f"{name + '_trainable_rows'!r}. Take the whole table from GrownTable.read() instead"
        )
    new = CheckpointRows(prefix, name + NEW_ROWS_SUFFIX)
    if frozen.shape[1:] != new.shape[1:] or frozen.dtype != new.dtype:
        raise ValueError(
            f"{name!r} ({frozen.shape}, {frozen.dtype.name}) and {name + NEW_ROWS_SUFFIX!r} "
            f"({new.shape}, {new.dtype.name}) are not rows of one table"
        )
    return frozen, new

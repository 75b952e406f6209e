"""Merges the frozen and the trainable rows of tables into one variable each."""

from tf1_embed.checkpoint.growth import Growth
from tf1_embed.checkpoint.reader import CheckpointReader
from tf1_embed.checkpoint.rewrite import rewrite
from tf1_embed.checkpoint.slots import SAME_AS_TABLE, find_slots, initial_value, variable_name
from tf1_embed.checkpoint.split_table import (
    CHOSEN_ROWS,
    NEW_ROWS,
    rename_slot,
    trainable_name,
)
from tf1_embed.checkpoint.stored_rows import StoredRows
from tf1_embed.checkpoint.vocabulary_axis import table_axes
from tf1_embed.vocabulary import IdMap, append_map


def merge_checkpoint(
    checkpoint,
    tables,
    out,
    trainable_rows=None,
    slot_values=None,
    partition_strategy=None,
    force=False,
    dry_run=False,
    progress=None,
):
    """Writes a checkpoint in which each grown table is one variable under its old name.

        embedding [10, 4], embedding_new_rows [2, 4]    ->   embedding [12, 4]
        embedding_new_rows/Adam [2, 4]                  ->   embedding/Adam [12, 4]

    The model's original code, given that many rows, restores it with an unmodified
    `tf.train.Saver`, and `tf1_embed.get_grown_table` grows it again. Frozen rows had no slots; they
    get what the optimizer begins with, or keep those that the checkpoint has under the table's
    name. All other variables pass through bit for bit. Tables are streamed.

    Args:
      checkpoint: string, the prefix of the grown model's checkpoint on a local disk, or a folder,
        whose latest is taken. It is not written to.
      tables: list of strings, the full names of the grown tables, or patterns (`user_*`).
      out: string, the prefix to write; its folder must exist.
      trainable_rows: `Rows` of the tables, or a dict from table names to them, for tables of
        `get_row_split_table`: the checkpoint does not say which rows these are.
      slot_values: dict from the last part of a slot variable's name ("Adagrad"), or its whole name,
        to its value in frozen rows. Default: what TensorFlow's optimizers begin with.
      partition_strategy: "mod" or "div", needed where a table has partitions; the merged table has
        as many.
      force: bool, whether a checkpoint at `out` is replaced. The input never is.
      dry_run: bool, whether nothing is written.
      progress: function of the number of bytes in all, which returns a context with a method
        `update(num_bytes)`, such as a `tqdm`.

    Returns:
      list of `Written`, what becomes of each tensor.

    Raises:
      FileNotFoundError: if there is no such checkpoint, or no folder to write to.
      FileExistsError: if `out` exists and not `force`, or is the input.
      KeyError: if the checkpoint does not hold both variables of a table.
      ValueError: if `tables` is a string, a table is row-split and its rows are not given, the two
        variables' dims or dtypes differ, or a slot variable's first value is not known.
      OSError: if the disk is full.
      tf.errors.DataLossError: if the checkpoint is damaged.
    """
    with CheckpointReader(checkpoint) as reader:
        changes = {}
        slots = find_slots(reader).values()
        for axis in _tables_without_parts(reader, tables):
            rows = trainable_rows
            if isinstance(trainable_rows, dict):
                rows = trainable_rows.get(str(axis))
            name, new_name = axis.name, _trainable_name(reader, axis, rows)
            new_rows = StoredRows(reader, new_name, partition_strategy)
            num_new_rows = reader.shape(new_name)[0]
            if rows is None:
                id_map = append_map(axis.size, num_new_rows)
            else:
                id_map = IdMap(rows, axis.size)
            if id_map.new_rows.count != num_new_rows or id_map.num_rows != axis.size + num_new_rows:
                raise ValueError(
                    f"`trainable_rows` of {str(axis)!r} must be {num_new_rows} of "
                    f"{axis.size + num_new_rows} rows, got {rows!r}"
                )
            growth = Growth(reader, axis, id_map, partition_strategy)
            changes[name] = growth.change(name, new_rows)
            changes[new_name] = None
            for slot in (each for each in slots if each.table == new_name):
                merged = rename_slot(slot, new_name, name)
                new = StoredRows(reader, slot.name, partition_strategy)
                old, old_shape = merged, None
                if merged in reader.names():
                    old_shape = reader.shape(merged)
                else:
                    old, _ = initial_value(slot, slot_values)
                    old = name if old == SAME_AS_TABLE else old
                changes[merged] = growth.change_to(
                    reader.dtype(slot.name), reader.shape(slot.name), old, new, None, old_shape
                )
                changes[slot.name] = None
        return rewrite(reader, changes, out, force, dry_run, progress)


def _tables_without_parts(reader, tables):
    """Returns the tables that are meant; a pattern means the variables of new rows as well."""
    axes = table_axes(reader, tables)
    parts = {
        trainable_name(axis.name, suffix) for axis in axes for suffix in (NEW_ROWS, CHOSEN_ROWS)
    }
    return [axis for axis in axes if axis.name not in parts]


def _trainable_name(reader, axis, rows):
    """Returns the name of the variable of a table's trainable rows, which are of its kind."""
    name, new_name = axis.name, trainable_name(axis.name)
    if trainable_name(name, CHOSEN_ROWS) in reader.names():
        new_name = trainable_name(name, CHOSEN_ROWS)
        if rows is None:
            raise ValueError(
                f"{str(axis)!r} is a row-split table, and the checkpoint does not say which rows "
                f"are in {variable_name(new_name)!r}. Give them as `trainable_rows` "
                f"(--trainable-rows)"
            )
    new_name = reader.find(new_name)
    shape, new_shape = reader.shape(name), reader.shape(new_name)
    if shape[1:] != new_shape[1:] or reader.dtype(name) != reader.dtype(new_name):
        raise ValueError(
            f"{variable_name(name)!r} ({list(shape)}, {reader.dtype(name).name}) and "
            f"{variable_name(new_name)!r} ({list(new_shape)}, {reader.dtype(new_name).name}) are "
            f"not rows of one table"
        )
    return new_name

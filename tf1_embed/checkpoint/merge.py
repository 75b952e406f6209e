"""Merges the frozen and the trainable rows of tables into one variable each."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Mapping, Sequence

from tf1_embed.checkpoint.clocks import find_clocks, fresh_clocks
from tf1_embed.checkpoint.files.reader import CheckpointReader
from tf1_embed.checkpoint.files.stored_rows import StoredRows
from tf1_embed.checkpoint.growth import Growth, certificates_of
from tf1_embed.checkpoint.rewrite import Change, Written, rewrite
from tf1_embed.checkpoint.slot_values import SAME_AS_TABLE, check_slot_values, initial_value
from tf1_embed.checkpoint.slots import (
    CHOSEN_ROWS,
    NEW_ROWS,
    find_slots,
    rename_slot,
    trainable_name,
    variable_name,
)
from tf1_embed.checkpoint.vocabulary_axis import table_axes
from tf1_embed.rows import Rows
from tf1_embed.vocabulary import IdMap, append_map

if TYPE_CHECKING:
    from tf1_embed.types import PathLike, Progress


def merge_checkpoint(
    checkpoint: PathLike,
    tables: Sequence[str],
    out: PathLike,
    trainable_rows: Rows | Mapping[str, Rows] | None = None,
    slot_values: Mapping[str, float] | None = None,
    clocks: str | None = None,
    partition_strategy: str | None = None,
    force: bool = False,
    dry_run: bool = False,
    progress: Progress | None = None,
) -> list[Written]:
    """Writes a checkpoint in which each grown table is one variable under its old name.

        embedding [10, 4], embedding_new_rows [2, 4]    ->   embedding [12, 4]
        embedding_new_rows/Adam [2, 4]                  ->   embedding/Adam [12, 4]

    The model's original code, given that many rows, restores it with an unmodified
    `tf.train.Saver`, and `tf1_embed.get_grown_table` grows it again. Frozen rows had no slots; they
    get what the optimizer begins with, or keep those that the checkpoint has under the table's
    name. All other variables pass through bit for bit; one that did not train with the new rows has
    no slots, so leave these out of a `Saver` that restores it. Tables are streamed.

    Args:
      checkpoint: string, the prefix of the grown model's checkpoint on a local disk, or a folder,
        whose latest is taken. It is not written to.
      tables: list of strings, the full names of the grown tables, or patterns (`user_*`).
      out: string, the prefix to write; its folder must exist.
      trainable_rows: `Rows` of the tables, or a dict from table names to them, for tables of
        `get_row_split_table`: the checkpoint does not say which rows these are. Such a table keeps
        its size.
      slot_values: dict from the last part of a slot variable's name ("Adagrad"), or its whole name,
        to its value in frozen rows. Default: what TensorFlow's optimizers begin with, and a moving
        average with the frozen row itself.
      clocks: "fresh" or "keep": whether what counts the optimizer's steps (Adam's `beta1_power`,
        Keras' `iter`) begins anew, as the slots of frozen rows do, or goes on as it is, so that
        these rows step up to 6 times too far (see `tf1_embed.checkpoint.clocks`). Default: anew;
        for AdaMax it must be given. What it begins with, where the checkpoint does not tell, may be
        in `slot_values`.
      partition_strategy: "mod" or "div", needed where a table has partitions; the merged table has
        as many.
      force: bool, whether a checkpoint at `out` is replaced. The input never is.
      dry_run: bool, whether nothing is written.
      progress: function of the number of bytes in all, which returns a context with a method
        `update(num_bytes)`, such as a `tqdm`.

    Returns:
      list of `Written`, what becomes of each tensor.

    Raises:
      FileNotFoundError: if there is no such checkpoint.
      FileExistsError: if `out` exists and not `force`, or is the input.
      KeyError: if the checkpoint does not hold both variables of a table, or a name in
        `trainable_rows` or `slot_values` matches nothing.
      ValueError: if `tables` is a string or empty, a table is row-split and its rows are not given,
        or are given and others, the two variables' dims or dtypes differ, `partition_strategy` is
        needed and not given, a slot variable's first value is not known, or is in an object-based
        checkpoint.
      OSError: if the disk is full.
      CheckpointDamaged: if the checkpoint is damaged.
    """
    with CheckpointReader(checkpoint) as reader:
        axes = _tables_without_parts(reader, tables)
        _check_names(axes, trainable_rows)
        new_names = {axis.name: _find_trainable(reader, axis) for axis in axes}
        parts = {*new_names, *new_names.values()}
        slots = [slot for slot in find_slots(reader).values() if slot.table in parts]
        check_slot_values(slots, slot_values, find_clocks(reader))
        _refuse_slots_of_objects(slots)
        changes: dict[str, Change | None] = {}
        growths, begun = [], []
        for axis in axes:
            name, new_name = axis.name, new_names[axis.name]
            id_map = _id_map(reader, axis, new_name, trainable_rows)
            growth = Growth(reader, axis, id_map, partition_strategy)
            new_rows = StoredRows(reader, new_name, partition_strategy)
            changes[name] = growth.change(name, new_rows)
            growths.append(growth)
            changes[new_name] = None
            pairs = _pair_slots(slots, name, new_name)
            for merged, (old_slot, new_slot) in pairs.items():
                slot = old_slot or new_slot
                old: Any = name
                new: Any = new_rows
                if old_slot is None or new_slot is None:
                    begun.append(slot)
                    value = initial_value(reader, slot, slot_values)
                    if value != SAME_AS_TABLE:
                        old = new = value
                if old_slot is not None:
                    old = old_slot.source
                if new_slot is not None:
                    new = StoredRows(reader, new_slot.source, partition_strategy)
                    changes[new_slot.name] = None
                changes[merged] = growth.change(merged, new, old, like=slot.name)
        changes.update(fresh_clocks(reader, begun, clocks, slot_values))
        certify = certificates_of(growths)
        return rewrite(reader, changes, out, force, dry_run, progress, certify)


def _tables_without_parts(reader, tables):
    """Returns the tables that are meant; a pattern means the variables of new rows as well."""
    axes = table_axes(reader, tables)
    parts = {
        trainable_name(axis.name, suffix) for axis in axes for suffix in (NEW_ROWS, CHOSEN_ROWS)
    }
    return [axis for axis in axes if axis.name not in parts]


def _refuse_slots_of_objects(slots):
    for slot in slots:
        if slot.name != variable_name(slot.name):
            raise ValueError(
                f"{slot.name!r} is a slot variable in an object-based checkpoint, whose object "
                f"graph says which slots a variable has. That of the merged table would not be "
                f"found. Give a checkpoint that tf.train.Saver wrote, or that a "
                f"tf.train.Checkpoint without the optimizer wrote"
            )


def _pair_slots(slots, name, new_name):
    """Returns a dict from each merged slot variable's name to that of old and of new rows or None.

    The old rows have none in the checkpoint of a grown model, but in that of a split one.
    """
    old_slots = {slot.name: slot for slot in slots if slot.table == name}
    new_slots = {rename_slot(slot, name): slot for slot in slots if slot.table == new_name}
    names = {**old_slots, **new_slots}
    return {merged: (old_slots.get(merged), new_slots.get(merged)) for merged in names}


def _check_names(axes, trainable_rows):
    known = {str(axis) for axis in axes}
    for name in trainable_rows if isinstance(trainable_rows, dict) else ():
        if name not in known:
            raise KeyError(
                f"`trainable_rows` has {name!r}, which is none of the tables: "
                f"{', '.join(sorted(known))}"
            )


def _find_trainable(reader, axis):
    """Returns the name of the variable of a table's trainable rows, which are of its kind."""
    name, new_name = axis.name, trainable_name(axis.name, CHOSEN_ROWS)
    if new_name not in reader.names():
        try:
            new_name = reader.find(trainable_name(name))
        except KeyError as error:
            raise KeyError(
                f"table {variable_name(name)!r} is not split, so there is nothing to merge: "
                f"{error.args[0]}"
            ) from None
    shape, new_shape = reader.shape(name), reader.shape(new_name)
    if shape[1:] != new_shape[1:] or reader.dtype(name) != reader.dtype(new_name):
        raise ValueError(
            f"{variable_name(name)!r} ({list(shape)}, {reader.dtype(name).name}) and "
            f"{variable_name(new_name)!r} ({list(new_shape)}, {reader.dtype(new_name).name}) are "
            f"not rows of one table"
        )
    return new_name


def _id_map(reader, axis, new_name, trainable_rows):
    """Returns the `IdMap` to the merged table of a table and its trainable rows."""
    num_rows = reader.shape(new_name)[0]
    if new_name == trainable_name(axis.name):
        return append_map(axis.size, num_rows)
    rows = trainable_rows
    if isinstance(rows, dict):
        rows = rows.get(str(axis))
    if rows is None:
        raise ValueError(
            f"{str(axis)!r} is a row-split table, and the checkpoint does not say which rows are "
            f"in {variable_name(new_name)!r}. Give them as `trainable_rows` (--trainable-rows)"
        )
    if (rows.count, rows.size) != (num_rows, axis.size):
        raise ValueError(
            f"`trainable_rows` of {str(axis)!r} must be {num_rows} of {axis.size} rows, got "
            f"{rows!r}"
        )
    # The frozen variable has a place for each row; those of the trainable rows are out of date.
    return IdMap(rows, axis.size, (~rows).ids())

"""Merges the frozen and the trainable rows of tables into one variable each."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any, Mapping, Sequence

from tf1_embed.checkpoint.clocks import find_clocks, fresh_clocks
from tf1_embed.checkpoint.files.reader import CheckpointReader
from tf1_embed.checkpoint.files.stored_rows import StoredRows
from tf1_embed.checkpoint.files.writer import CheckpointWriter
from tf1_embed.checkpoint.growth import Growth, certificates_of
from tf1_embed.checkpoint.rewrite import Change, Copy, LeftOut, Written, rewrite
from tf1_embed.checkpoint.slot_values import SAME_AS_TABLE, SlotChoice, initial_value
from tf1_embed.checkpoint.slots import (
    CHOSEN_ROWS,
    NEW_ROWS,
    Slot,
    find_slots,
    rename_slot,
    trainable_name,
    variable_name,
)
from tf1_embed.checkpoint.verify import MAX_LISTED
from tf1_embed.checkpoint.vocabulary_axis import row_axes
from tf1_embed.fingerprints import ChangedRows, beside, chunks_of
from tf1_embed.rows import Rows, RowsLike, as_rows
from tf1_embed.vocabulary import IdMap, append_map

if TYPE_CHECKING:
    from tf1_embed.types import PathLike, Progress


def merge_checkpoint(
    checkpoint: PathLike,
    tables: Sequence[str],
    out: PathLike,
    trainable_rows: RowsLike | Mapping[str, RowsLike] | None = None,
    base: PathLike | None = None,
    slot_values: Mapping[str, float | str] | None = None,
    reset_slots: bool = False,
    without_slots: bool = False,
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
    `tf.train.Saver`, and `tf1_embed.get_grown_table` grows it again. All other variables pass
    through bit for bit. Tables are streamed.

    The graph that trained had no slots of frozen rows, nor of variables that were frozen. With
    `base` they are what they were, and so is all else that this graph did not hold: the original
    code, slots and averages and all, opens the result. Without it, frozen rows get what the
    optimizer begins with, or keep those that the checkpoint has under the table's name; of a
    variable that did not train there are no slots, so leave these out of a `Saver` that restores
    it; and where there are moving averages, of which those of frozen rows are not known, you are
    asked.

    Args:
      checkpoint: string, the prefix of the grown model's checkpoint on a local disk, or a folder,
        whose latest is taken. It is not written to.
      tables: list of strings, the full names of the grown tables, or patterns (`user_*`).
      out: string, the prefix to write; its folder is made if it is not there.
      trainable_rows: `Rows` of the tables, or ids, a range, a slice or a bool vector; or a dict
        from table names to such. For tables of `get_row_split_table`: the checkpoint does not say
        which rows these are. Such a table keeps its size.
      base: string, the prefix of the checkpoint that the tables grew from, or a folder, whose
        latest is taken: what has no value in `checkpoint` has that of the base. Its rows of the
        tables must have the bits of the frozen ones.
      slot_values: dict from the last part of a slot variable's name ("Adagrad"), or its whole name,
        to its value in rows that have none in either checkpoint; "table" for the row itself, as in
        {"ExponentialMovingAverage": "table"}. Default: what TensorFlow's optimizers begin with.
      reset_slots: bool, whether the slots of all rows begin anew, those of the training too.
      without_slots: bool, whether the optimizer's slots of the tables are left out, which is noted.
        Moving averages go on, in either case.
      clocks: "fresh" or "keep": whether what counts the optimizer's steps (Adam's `beta1_power`,
        Keras' `iter`) begins anew, as the slots of frozen rows do, or goes on as it is, so that
        these rows step up to 6 times too far (see `tf1_embed.checkpoint.clocks`). Default: anew;
        but where all slots have values, as with `base`, the clock of the training goes on;
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
        checkpoint; if slots are both reset and left out; if the base has other rows than the
        frozen ones.
      OSError: if the disk is full.
      CheckpointDamaged: if the checkpoint is damaged.
    """
    with contextlib.ExitStack() as stack:
        reader = stack.enter_context(CheckpointReader(checkpoint))
        base_reader, base_slots = None, {}
        if base is not None:
            base_reader = stack.enter_context(CheckpointReader(base))
            # The output may not replace it either.
            CheckpointWriter(out, force=force, source=base_reader.prefix)
            base_slots = find_slots(base_reader)
        axes = _tables_without_parts(reader, tables)
        _check_names(axes, trainable_rows)
        new_names = {axis.name: _find_trainable(reader, axis) for axis in axes}
        parts = {*new_names, *new_names.values()}
        slots = [slot for slot in find_slots(reader).values() if slot.table in parts]
        of_base = [slot for slot in base_slots.values() if slot.table in new_names]
        clocks_found = find_clocks(reader) + (find_clocks(base_reader) if base_reader else [])
        slot_choice = SlotChoice(slot_values, reset_slots, without_slots)
        slot_choice.check(slots + of_base, clocks_found)
        _refuse_slots_of_objects(slots + of_base)
        changes: dict[str, Change | Copy | LeftOut | None] = {}
        growths: list[Growth] = []
        begun: list[Slot] = []
        for axis in axes:
            name, new_name = axis.name, new_names[axis.name]
            id_map = _id_map(reader, axis, new_name, trainable_rows)
            growth = Growth(reader, axis, id_map, partition_strategy)
            if base_reader is not None:
                _check_base(reader, axis, id_map, base_reader, partition_strategy)
            new_rows = StoredRows(reader, new_name, partition_strategy)
            changes[name] = growth.change(name, new_rows)
            growths.append(growth)
            changes[new_name] = None
            pairs = _pair_slots(slots, name, new_name)
            kept = {slot.name: slot for slot in of_base if slot.table == name}
            for merged in {**pairs, **kept}:
                old_slot, new_slot = pairs.get(merged, (None, None))
                parts_known: dict[str, tuple[CheckpointReader, Slot]] = {}
                if old_slot is not None:
                    parts_known["old"] = reader, old_slot
                elif base_reader is not None and merged in kept:
                    parts_known["old"] = base_reader, kept[merged]
                if new_slot is not None:
                    parts_known["new"] = reader, new_slot
                    changes[new_slot.name] = None
                sources: dict[str, Any] = {
                    part: StoredRows(of, slot.source, partition_strategy)
                    for part, (of, slot) in parts_known.items()
                }
                like = next(iter(sources.values()))
                of, slot = next(iter(parts_known.values()))
                if slot_choice.applies_to(slot):
                    begun.append(slot)
                    change = slot_choice.change(of, growth, slot, merged, like)
                    changes[merged] = change
                    if new_slot is not None and isinstance(change, LeftOut):
                        changes[new_slot.name] = change
                    continue
                if len(sources) == 1:
                    begun.append(slot)
                    value = initial_value(of, slot, slot_values)
                    is_average = value == SAME_AS_TABLE
                    if "old" not in sources and is_average:
                        _refuse_average(slot, base_reader, slot_values)
                    sources.setdefault("old", name if is_average else value)
                    sources.setdefault("new", new_rows if is_average else value)
                changes[merged] = growth.change(merged, sources["new"], sources["old"], like=like)
        if base_reader is not None:
            # What counts the steps of an optimizer that the training did not have.
            for clock, change in fresh_clocks(base_reader, begun, clocks, slot_values).items():
                if clock not in reader.names():
                    changes[clock] = change
        changes.update(fresh_clocks(reader, begun, clocks, slot_values))
        certify = certificates_of(growths)
        if base_reader is not None:
            note = f"as in {base_reader.prefix}"
            for name in set(base_reader.names()).difference(reader.names(), changes):
                changes[name] = Copy(base_reader, name, note)
        return rewrite(reader, changes, out, force, dry_run, progress, certify)


def _check_base(reader, axis, id_map, base_reader, partition_strategy):
    """Raises a ValueError unless the base has the bits of a table's frozen rows."""
    frozen = StoredRows(reader, axis.name, partition_strategy)
    before = StoredRows(base_reader, base_reader.find(str(axis)), partition_strategy)
    if before.shape != frozen.shape or before.dtype != frozen.dtype:
        raise ValueError(
            f"`base` {base_reader.prefix} has {str(axis)!r} of shape {list(before.shape)}, but its "
            f"frozen rows are of {list(frozen.shape)}: give the checkpoint that it grew from"
        )
    changed = ChangedRows(MAX_LISTED)
    # Those of a row-split table that train are stale in it.
    kept = Rows.of(id_map.old_ids((~id_map.new_rows).ids()), axis.size)
    for ids, old, new in beside(before, chunks_of(frozen, kept)):
        changed.add(ids, old, new)
    if changed.count:
        ids = ", ".join(map(str, changed.first_ids))
        raise ValueError(
            f"{changed.count} frozen rows of {str(axis)!r} are not those of `base` "
            f"{base_reader.prefix} (ids {ids}): give the checkpoint that it grew from"
        )


def _refuse_average(slot, base_reader, slot_values):
    """Asks for the averages of frozen rows: what they are served from is no row of the table."""
    if base_reader is None and not {slot.name, slot.kind} & set(slot_values or {}):
        raise ValueError(
            f"{slot.name!r} is a moving average, and the checkpoint has none of the frozen rows. "
            f"Give the checkpoint that the table grew from, whose averages they keep: `base` "
            f"(--base BASE); or, if they had none, say that each is the row itself: "
            f"slot_values={{{slot.kind!r}: 'table'}} (--slot-value {slot.kind}=table)"
        )


def _tables_without_parts(reader, tables):
    """Returns the tables that are meant; a pattern means the variables of new rows as well."""
    axes = row_axes(reader, tables)
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
    for name in trainable_rows if isinstance(trainable_rows, Mapping) else ():
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
    if isinstance(rows, Mapping):
        rows = rows.get(str(axis))
    if rows is None:
        raise ValueError(
            f"{str(axis)!r} is a row-split table, and the checkpoint does not say which rows are "
            f"in {variable_name(new_name)!r}. Give them as `trainable_rows` (--trainable-rows)"
        )
    if not isinstance(rows, Rows):
        rows = as_rows(f"trainable_rows of {str(axis)!r}", rows, axis.size)
    if (rows.count, rows.size) != (num_rows, axis.size):
        raise ValueError(
            f"`trainable_rows` of {str(axis)!r} must be {num_rows} of {axis.size} rows, got "
            f"{rows!r}"
        )
    # The frozen variable has a place for each row; those of the trainable rows are out of date.
    return IdMap(rows, axis.size, (~rows).ids())

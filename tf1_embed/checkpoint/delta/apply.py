"""Appends the new rows of deltas to the tables that they were made for."""

from __future__ import annotations

import contextlib
import os
from typing import TYPE_CHECKING, Mapping, Sequence

from tf1_embed.checkpoint.clocks import find_clocks, fresh_clocks
from tf1_embed.checkpoint.delta.file import NewRows, check_output, read_delta
from tf1_embed.checkpoint.delta.rows import (
    MappedRows,
    Stack,
    change_of,
    check_fits,
    find_axis,
    slots_in,
)
from tf1_embed.checkpoint.files.reader import CheckpointReader
from tf1_embed.checkpoint.files.stored_rows import StoredRows
from tf1_embed.checkpoint.growth import Growth, certificates_of
from tf1_embed.checkpoint.rewrite import Change, Copy, LeftOut, Written, rewrite
from tf1_embed.checkpoint.slot_values import SlotChoice
from tf1_embed.checkpoint.vocabulary_axis import slots_of
from tf1_embed.fingerprints import digest_of

if TYPE_CHECKING:
    from tf1_embed.types import PathLike, Progress


def apply_delta(
    base: PathLike,
    deltas: PathLike | Sequence[PathLike],
    out: PathLike,
    slot_values: Mapping[str, float | str] | None = None,
    reset_slots: bool = False,
    without_slots: bool = False,
    clocks: str | None = None,
    others_from: PathLike | None = None,
    partition_strategy: str | None = None,
    force: bool = False,
    dry_run: bool = False,
    progress: Progress | None = None,
) -> list[Written]:
    """Writes a checkpoint that has the new rows of one delta, or of several in order.

        base                 delta               out
        embedding [10, 4]    embedding [2, 4]    embedding [12, 4]
        global_step                              global_step, as in the base

    A table must have the very bits that the first delta was made for, and gets those that the last
    one was made from; both are proved by their SHA-256 before anything is written. Old rows are
    where the deltas moved them, and those that they dropped are gone. Other variables that a delta
    was made with (`others="from-grown"`) are as in it. What no delta has passes through bit for
    bit, the global step too, unless it is taken from the checkpoint that grew; what the deltas left
    out is noted. A certificate of the base's rows, `<out>.rows.json`, lies beside the checkpoint.
    Old rows keep their slots; slot variables that the base has not are left out. Tables are
    streamed; the deltas and a few chunks are in memory.

    Args:
      base: string, a checkpoint prefix on a local disk, or a folder, whose latest is taken. It is
        not written to.
      deltas: string, the prefix of a delta, or a list of them in the order of their making.
      out: string, the prefix to write; its folder is made if it is not there.
      slot_values: dict from the last part of a slot variable's name ("Adagrad"), or its whole name,
        to its value in new rows whose slots a delta lacks. Default: what TensorFlow's optimizers
        begin with, and a moving average with the new row itself.
      reset_slots: bool, whether the slots of all rows begin anew, whatever the deltas have.
      without_slots: bool, whether the optimizer's slots of the tables are left out, which is noted.
        Moving averages go on, in either case.
      clocks: "fresh" or "keep": whether what counts the optimizer's steps (Adam's `beta1_power`,
        Keras' `iter`) begins anew, as the slots of new rows do, or goes on as it is, so that
        these rows step up to 6 times too far (see `tf1_embed.checkpoint.clocks`). Default: anew;
        for AdaMax it must be given. Those that a delta has, or `others_from`, are taken,
        whatever this says. What a clock begins with, where the checkpoint does not tell, may be in
        `slot_values`.
      others_from: string, the prefix of the checkpoint that the last delta was made from: what the
        deltas left out, such as other variables that were trained and the global step, is as in it.
        Default: as in the base.
      partition_strategy: "mod" or "div", how lookups send ids to partitions; needed where a table
        has more than one. The number of them stays.
      force: bool, whether a checkpoint at `out` is replaced. The inputs never are.
      dry_run: bool, whether all is checked, and nothing written.
      progress: function of the number of bytes to write, which returns a context with a method
        `update(num_bytes)`, such as a `tqdm`.

    Returns:
      list of `Written`, what becomes of each tensor; the `note` of what the deltas left out says
        which values it has, that of a table how many old rows are dropped or have other ids.

    Raises:
      FileNotFoundError: if there is no such checkpoint or delta.
      FileExistsError: if `out` exists and not `force`, or is an input.
      KeyError: if the base lacks a table, or a slot variable that `slot_values` names.
      ValueError: if a table has other bits, another shape or dtype than a delta was made for; if
        the deltas are out of order; if a delta was changed; if a slot variable's first value is
        needed and not known; if slots are both reset and left out; if `partition_strategy` is
        needed and not given.
      OSError: if the disk is full.
      CheckpointDamaged: if a checkpoint is damaged.
    """
    prefixes = [deltas] if isinstance(deltas, (str, os.PathLike)) else list(deltas)
    if not prefixes:
        raise ValueError("`deltas` must be the prefix of a delta, or a list of such; got none")
    with contextlib.ExitStack() as stack:
        reader, other = stack.enter_context(CheckpointReader(base)), None
        check_output(out, force, [reader.prefix, *prefixes])
        if others_from is not None:
            other = stack.enter_context(CheckpointReader(others_from))
            check_output(out, force, [other.prefix])
        steps: dict[str, list[tuple[str, NewRows]]] = {}
        left_out: set[str] = set()
        copies: dict[str, Copy] = {}
        for delta in map(read_delta, prefixes):
            for name, new in delta.tables.items():
                steps.setdefault(name, []).append((delta.prefix, new))
            # The last delta that says something of a variable counts.
            left_out = left_out.union(delta.left_out).difference(delta.others)
            if delta.others:
                stored = stack.enter_context(CheckpointReader(delta.prefix))
                note = f"as in delta {delta.prefix}"
                copies.update((name, Copy(stored, name, note)) for name in delta.others)
        if other is not None:
            note = f"as in {other.prefix}"
            taken = left_out.intersection(other.names())
            copies.update((name, Copy(other, name, note)) for name in taken)
            left_out -= taken
        axes = [find_axis(reader, name, each[0][1].axis) for name, each in steps.items()]
        slots = [slot for axis in axes for slot in slots_of(reader, axis)]
        slot_choice = SlotChoice(slot_values, reset_slots, without_slots)
        slot_choice.check(slots, find_clocks(reader))
        # Clocks of where the delta was made are those that the new rows were trained under.
        changes: dict[str, Change | Copy | LeftOut | None] = {}
        if clocks is not None or any(each.name not in copies for each in find_clocks(reader)):
            changes.update(fresh_clocks(reader, slots, clocks, slot_values))
        changes.update(copies)
        growths = []
        for axis, each in zip(axes, steps.values()):
            growth, of_axis = _apply(reader, axis, each, slot_choice, partition_strategy)
            growths.append(growth)
            changes.update(of_axis)
        certify = certificates_of(growths)
        written = rewrite(reader, changes, out, force, dry_run, progress, certify)
    places = {each.name: "as in the base" for each in written if not each.changed}
    places.update((name, copy.note) for name, copy in copies.items())
    another = "where the delta was made, it was another"
    return [
        each._replace(note=f"{places[each.name]}; {another}")
        if each.name in left_out.intersection(places)
        else each
        for each in written
    ]


def _apply(reader, axis, steps, slot_choice, partition_strategy):
    """Returns the `Growth` of a variable, and the `Change` of it and of each slot variable.

    Args:
      reader: `CheckpointReader`.
      axis: `VocabularyAxis`.
      steps: list of pairs, the prefix of each delta and its `NewRows` of the variable.
      slot_choice: `SlotChoice`.
      partition_strategy: as for `apply_delta`.
    """
    size = axis.size
    for prefix, new in steps:
        check_fits(reader, axis, axis.name, new.values.dtype, new.values.shape, prefix)
        if (new.num_old_rows, new.axis) != (size, axis.axis):
            raise ValueError(
                f"delta {prefix} was made for {new.num_old_rows} rows of {str(axis)!r}, but here "
                f"it would add to {size}. Give all deltas in the order of their making, and the "
                f"checkpoint that the first was made for"
            )
        size = new.rows.size
    stack = Stack([new.id_map for _, new in steps])
    values = stack.join([new.values for _, new in steps], axis.axis)
    stored = StoredRows(reader, axis.name, partition_strategy, axis.axis)
    digest = digest_of(stored, axis=axis.axis)
    for prefix, new in steps:
        if digest != new.base_digest:
            raise ValueError(
                f"delta {prefix} was made for rows of {str(axis)!r} with the SHA-256 "
                f"{new.base_digest}, but here they have {digest}. Apply it to the checkpoint that "
                f"it was made for, after the deltas that were made before it"
            )
        digest = new.grown_digest
    grown = digest_of(MappedRows(stored, stack.id_map, values, axis.axis), axis=axis.axis)
    if grown != digest:
        prefix = steps[-1][0]
        raise ValueError(
            f"delta {prefix} says that it gives {str(axis)!r} the SHA-256 {digest}, but it would "
            f"be {grown}: the delta was changed, or one before it. Extract it again"
        )
    growth = Growth(reader, axis, stack.id_map, partition_strategy)
    change = change_of(growth, axis.name, values)._replace(note=_note(stack.id_map.counts()))
    changes = {axis.name: change}
    for slot in slots_of(reader, axis):
        if slot_choice.applies_to(slot):
            changes[slot.name] = slot_choice.change(reader, growth, slot)
            continue
        joined = stack.join(
            [
                slots_in(reader, axis, slot, new.values, new.slots, prefix, slot_choice.values)
                for prefix, new in steps
            ],
            axis.axis,
        )
        changes[slot.name] = change_of(growth, slot.name, joined, slot.source)
    return growth, changes


def _note(counts):
    """Returns what became of old rows that are not where they were, or None."""
    said = []
    if counts.dropped:
        said.append(f"old rows that are dropped: {counts.dropped}")
    if counts.moved:
        said.append(f"old rows that have other ids: {counts.moved}")
    return "; ".join(said) or None

"""Takes a delta back: the tables that it was applied to are as they were."""

from __future__ import annotations

from typing import TYPE_CHECKING, Mapping

from tf1_embed.checkpoint.delta.file import check_output, read_delta
from tf1_embed.checkpoint.delta.rows import (
    Back,
    MappedRows,
    change_of,
    check_fits,
    find_axis,
    slots_in,
)
from tf1_embed.checkpoint.files.reader import CheckpointReader
from tf1_embed.checkpoint.files.stored_rows import StoredRows
from tf1_embed.checkpoint.growth import Growth
from tf1_embed.checkpoint.rewrite import Change, Copy, Written, rewrite
from tf1_embed.checkpoint.slot_values import check_slot_values
from tf1_embed.checkpoint.vocabulary_axis import slots_of
from tf1_embed.fingerprints import digest_of

if TYPE_CHECKING:
    from tf1_embed.types import PathLike, Progress


def revert_delta(
    grown: PathLike,
    delta: PathLike,
    out: PathLike,
    slot_values: Mapping[str, float | str] | None = None,
    partition_strategy: str | None = None,
    force: bool = False,
    dry_run: bool = False,
    progress: Progress | None = None,
) -> list[Written]:
    """Writes a checkpoint as it was before a delta: the inverse of `apply_delta`.

    New rows go; rows that the delta moved are where they were, and those that it dropped are back,
    with their slots. Other variables that the delta has are as they were where it was made.

    Of several deltas the last is reverted first. The rows that stay must have the very bits that
    the delta was made for, which is proved by their SHA-256 before anything is written. The rows
    that go, and their slots, may have been trained on since; what the delta says of them is not
    compared. All else passes through bit for bit, clocks that began anew when
    it was applied too, so that they are not those of the base. Tables are streamed.

    Args:
      grown: string, the prefix of a checkpoint with the delta's rows, on a local disk, or a folder,
        whose latest is taken. It is not written to.
      delta: string, the prefix of the delta.
      out: string, the prefix to write; its folder is made if it is not there.
      slot_values: as for `apply_delta`, for rows that are back and whose slots the delta lacks.
      partition_strategy: as for `apply_delta`.
      force: as for `apply_delta`.
      dry_run: as for `apply_delta`.
      progress: as for `apply_delta`.

    Returns:
      list of `Written`, what becomes of each tensor.

    Raises:
      FileNotFoundError: if there is no such checkpoint or delta.
      FileExistsError: if `out` exists and not `force`, or is an input.
      KeyError: if the checkpoint lacks a table, or a slot variable that `slot_values` names.
      ValueError: if a table has another shape or dtype than with the delta's rows, or other bits
        without them; if a slot variable's first value is needed and not known; if
        `partition_strategy` is needed and not given.
      OSError: if the disk is full.
      CheckpointDamaged: if a checkpoint is damaged.
    """
    removed = read_delta(delta)
    where = removed.prefix
    with CheckpointReader(grown) as reader, CheckpointReader(where) as stored_delta:
        check_output(out, force, [reader.prefix, where])
        axes = [find_axis(reader, name, new.axis) for name, new in removed.tables.items()]
        slots = {axis.name: slots_of(reader, axis) for axis in axes}
        check_slot_values([slot for each in slots.values() for slot in each], slot_values)
        changes: dict[str, Change | Copy | None] = {}
        for axis, (name, new) in zip(axes, removed.tables.items()):
            check_fits(reader, axis, axis.name, new.values.dtype, new.values.shape, where)
            if axis.size != new.rows.size:
                raise ValueError(
                    f"with the rows of delta {where} {str(axis)!r} has {new.rows.size} rows, but "
                    f"here it has {axis.size}. Revert the delta that was applied last"
                )
            back, dropped = Back(new.id_map), new.dropped.get(name)
            stored = StoredRows(reader, axis.name, partition_strategy, axis.axis)
            digest = digest_of(MappedRows(stored, back, dropped, axis.axis), axis=axis.axis)
            if digest != new.base_digest:
                raise ValueError(
                    f"without the rows of delta {where} {str(axis)!r} would have the SHA-256 "
                    f"{digest}, but before it was {new.base_digest}. Either rows changed, or "
                    f"another delta was applied last, which is to be reverted first"
                )
            growth = Growth(reader, axis, back, partition_strategy)
            changes[axis.name] = change_of(growth, axis.name, dropped)
            for slot in slots[axis.name]:
                values = None
                if dropped is not None:
                    about = (dropped, new.dropped, where, slot_values)
                    values = slots_in(reader, axis, slot, *about)
                changes[slot.name] = change_of(growth, slot.name, values, slot.source)
        for name, before in removed.others.items():
            if before is not None:
                changes[name] = Copy(stored_delta, before, f"as it was before delta {where}")
            elif name in reader.names():
                changes[name] = None
        return rewrite(reader, changes, out, force, dry_run, progress)

"""Removes the new rows of a delta from the tables that it was applied to."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tf1_embed.checkpoint.delta.file import check_output, read_delta
from tf1_embed.checkpoint.delta.rows import Removal, check_fits, find_axis, fingerprints, slots_of
from tf1_embed.checkpoint.files.reader import CheckpointReader
from tf1_embed.checkpoint.growth import Growth
from tf1_embed.checkpoint.rewrite import Written, rewrite

if TYPE_CHECKING:
    from tf1_embed.types import PathLike, Progress


def revert_delta(
    grown: PathLike,
    delta: PathLike,
    out: PathLike,
    partition_strategy: str | None = None,
    force: bool = False,
    dry_run: bool = False,
    progress: Progress | None = None,
) -> list[Written]:
    """Writes a checkpoint without the new rows of a delta: the inverse of `apply_delta`.

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
      partition_strategy: as for `apply_delta`.
      force: as for `apply_delta`.
      dry_run: as for `apply_delta`.
      progress: as for `apply_delta`.

    Returns:
      list of `Written`, what becomes of each tensor.

    Raises:
      FileNotFoundError: if there is no such checkpoint or delta.
      FileExistsError: if `out` exists and not `force`, or is an input.
      KeyError: if the checkpoint lacks a table.
      ValueError: if a table has another shape or dtype than with the delta's rows, or other bits
        without them; if `partition_strategy` is needed and not given.
      OSError: if the disk is full.
      CheckpointDamaged: if a checkpoint is damaged.
    """
    removed = read_delta(delta)
    with CheckpointReader(grown) as reader:
        check_output(out, force, [reader.prefix, removed.prefix])
        changes = {}
        for name, new in removed.tables.items():
            axis = find_axis(reader, name, new.axis)
            check_fits(reader, axis, axis.name, new.values.dtype, new.values.shape, removed.prefix)
            if axis.size != new.rows.size:
                raise ValueError(
                    f"with the rows of delta {removed.prefix} {str(axis)!r} has {new.rows.size} "
                    f"rows, but here it has {axis.size}. Revert the delta that was applied last"
                )
            (digest,) = fingerprints(reader, axis, [~new.rows], partition_strategy)
            if digest != new.base_digest:
                raise ValueError(
                    f"without the rows of delta {removed.prefix} {str(axis)!r} would have the "
                    f"SHA-256 {digest}, but before it was {new.base_digest}. Either rows changed, "
                    f"or another delta was applied last, which is to be reverted first"
                )
            growth = Growth(reader, axis, Removal(new.rows), partition_strategy)
            changes[axis.name] = growth.change(axis.name, 0)
            for slot in slots_of(reader, axis):
                changes[slot.name] = growth.change(slot.name, 0, slot.source)
        return rewrite(reader, changes, out, force, dry_run, progress)

"""Stores tables of a checkpoint in another number of partitions; every id keeps its vector."""

from __future__ import annotations

from typing import TYPE_CHECKING, Sequence

from tf1_embed.checkpoint.files.reader import CheckpointReader
from tf1_embed.checkpoint.growth import Growth, certificates_of
from tf1_embed.checkpoint.rewrite import Change, Written, rewrite
from tf1_embed.checkpoint.slots import (
    CHOSEN_ROWS,
    NEW_ROWS,
    name_parts,
    trainable_name,
    variable_name,
)
from tf1_embed.checkpoint.vocabulary_axis import check_once, slots_of, table_axes
from tf1_embed.rows import Rows
from tf1_embed.vocabulary import IdMap

if TYPE_CHECKING:
    from tf1_embed.types import PathLike, Progress


def repartition_checkpoint(
    checkpoint: PathLike,
    tables: Sequence[str],
    out: PathLike,
    num_partitions: int,
    partition_strategy: str | None = None,
    new_partition_strategy: str | None = None,
    force: bool = False,
    dry_run: bool = False,
    progress: Progress | None = None,
) -> list[Written]:
    """Writes a checkpoint in which tables have another number of partitions, and their slots too.

        5 rows in two partitions, mod     0 2 4 | 1 3
        in three, mod                     0 3 | 1 4 | 2
        in three, div                     0 1 | 2 3 | 4
        in one                            0 1 2 3 4

    A model whose `tf.get_variable` has such a partitioner, and whose lookups have the new strategy,
    restores it and sees the vector of each id that it saw before. TensorFlow itself restores any
    partitions into any others, but by their places: under "mod" ids get vectors of others. A
    certificate of all rows, `<out>.rows.json`, lies beside the checkpoint. All other variables
    pass through bit for bit. Tables are streamed.

    Args:
      checkpoint: string, a checkpoint prefix on a local disk, or a folder, whose latest is taken.
        It is not written to.
      tables: list of strings, names or patterns (`user_*`) of variables of shape
        [num_rows, ...], biases among them; each of any size. Of a split table both variables.
      out: string, the prefix to write; its folder is made if it is not there.
      num_partitions: int, 1 or more; with 1, tables are stored whole.
      partition_strategy: "mod" or "div", how the model's lookups send ids to partitions. Needed
        where a table has partitions, or gets some.
      new_partition_strategy: that of the result, if it is another.
      force: bool, whether a checkpoint at `out` is replaced. The input never is.
      dry_run: bool, whether nothing is written.
      progress: as for `grow_checkpoint`.

    Returns:
      list of `Written`, what becomes of each tensor.

    Raises:
      FileNotFoundError: if there is no such checkpoint.
      FileExistsError: if `out` exists and not `force`, or is the input.
      KeyError: if a name in `tables` matches nothing.
      ValueError: if `num_partitions` is not positive or more than a table has rows, `tables` names
        another axis than that of rows, or one of the two variables of a split table and not the
        other, a strategy is needed and not given, or it is not known what TensorFlow calls a slot
        variable under so many partitions.
      OSError: if the disk is full.
      CheckpointDamaged: if the checkpoint is damaged.
    """
    if num_partitions < 1:
        raise ValueError(f"`num_partitions` (--partitions) must be 1 or more, got {num_partitions}")
    with CheckpointReader(checkpoint) as reader:
        axes = table_axes(reader, tables)
        _check_split(reader, {axis.name for axis in axes})
        slots = {axis.name: slots_of(reader, axis) for axis in axes}
        check_once(axes, [slot for each in slots.values() for slot in each], "change")
        changes: dict[str, Change | None] = {}
        growths = []
        for axis in axes:
            if axis.axis:
                raise ValueError(
                    f"`tables` names axis {axis.axis} of {str(axis)!r}, but partitions are of rows"
                )
            same_ids = IdMap(Rows.range(0, 0, size=axis.size), axis.size)
            growth = Growth(
                reader,
                axis,
                same_ids,
                partition_strategy,
                num_partitions,
                new_partition_strategy,
            )
            growths.append(growth)
            # A table that is whole has no strategy that another takes the place of.
            old_strategy = partition_strategy if len(reader.slices(axis.name)) > 1 else None
            note = _note(num_partitions, old_strategy, new_partition_strategy or partition_strategy)
            changes[axis.name] = growth.change(axis.name, 0)._replace(note=note)
            for slot in slots[axis.name]:
                changes.setdefault(slot.name, None)
                for name, parts in name_parts(reader, slot, num_partitions).items():
                    changes[name] = growth.change(name, 0, slot.source, slot.source, parts)
        certify = certificates_of(growths)
        return rewrite(reader, changes, out, force, dry_run, progress, certify)


def _check_split(reader, named):
    """Raises a ValueError if but one of the two variables of a split table is named.

    The model cuts both by one partitioner, and TensorFlow would fill the other's partitions by
    their places.
    """
    for name in reader.names():
        for suffix in (NEW_ROWS, CHOSEN_ROWS):
            other = trainable_name(name, suffix)
            if other in reader.names() and (name in named) != (other in named):
                raise ValueError(
                    f"{variable_name(name)!r} is split, and its partitioner cuts "
                    f"{variable_name(other)!r} as well: name both in `tables`, or merge them first"
                )


def _note(num_partitions, old_strategy, new_strategy):
    """Returns how ids are sent to the partitions from now on, or None."""
    if num_partitions == 1:
        return None
    changed = f", no longer by {old_strategy}" if old_strategy not in (None, new_strategy) else ""
    return f"ids are sent to its partitions by {new_strategy}{changed}"

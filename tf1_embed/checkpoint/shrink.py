"""Removes rows from tables in a checkpoint, and from all that has a row for each of theirs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Callable, Sequence

from tf1_embed.checkpoint.files.reader import CheckpointReader
from tf1_embed.checkpoint.files.writer import CheckpointWriter
from tf1_embed.checkpoint.growth import Growth, certificates_of
from tf1_embed.checkpoint.rewrite import Change, Written, rewrite
from tf1_embed.checkpoint.slots import CHOSEN_ROWS, NEW_ROWS, trainable_name, variable_name
from tf1_embed.checkpoint.vocabulary_axis import (
    also_axes,
    check_once,
    decide_also,
    find_also,
    slots_of,
    table_axes,
)
from tf1_embed.rows import Rows, RowsLike, as_rows
from tf1_embed.vocabulary import IdMap, remove_map

if TYPE_CHECKING:
    from tf1_embed.types import PathLike, Progress


def shrink_checkpoint(
    checkpoint: PathLike,
    tables: Sequence[str],
    out: PathLike,
    rows: RowsLike | None = None,
    id_map: IdMap | None = None,
    also: Sequence[str] | Callable[[list[str]], Sequence[str]] | None = None,
    partition_strategy: str | None = None,
    force: bool = False,
    dry_run: bool = False,
    progress: Progress | None = None,
) -> list[Written]:
    """Writes a checkpoint in which tables have fewer rows, their slot variables likewise.

        embedding [12, 4]         embedding [10, 4], with rows=[0, 5]
        embedding/Adam [12, 4]    embedding/Adam [10, 4]
        bias [12]                 bias [10], with also=["bias"]
        projection [4, 12]        projection [4, 10], with also=["projection:1"]
        global_step               global_step

    It is the inverse of `grow_checkpoint`: to take away the rows that it made gives back every bit
    of the checkpoint that grew, but for the clocks of the optimizer, which go on as they are (see
    `tf1_embed.checkpoint.clocks`; under clocks="keep" these are the same as well). The model's
    original code, given the smaller number of rows, restores the result. Rows that stay keep their
    bits; those behind a row that goes move up, so that their ids are smaller by one for each. A
    table in partitions keeps the number of these, and every id that stays its vector. A
    certificate of the rows that stay, `<out>.rows.json`, lies beside the checkpoint. All other
    variables pass through bit for bit. Tables are streamed.

    Args:
      checkpoint: string, a checkpoint prefix on a local disk, TF1 or TF2 object-based, or a folder,
        whose latest is taken. It is not written to.
      tables: list of strings, names or patterns (`user_*`) of variables of shape
        [num_rows, ...], all of as many rows.
      out: string, the prefix to write; its folder is made if it is not there.
      rows: `Rows` of the tables that go, or ids, a range, a slice or a bool vector: slice(-2, None)
        for the last two. Or give `id_map`.
      id_map: `tf1_embed.vocabulary.IdMap` without new rows, from
        `id_map(old_tokens, new_tokens, drop_missing=True)` or `remove_map(rows)` there. It may move
        rows to other places.
      also: list of strings, other variables that have the same vocabulary: biases, or, with the
        axis as in "projection:1", projections. Default: an error, if there are such; an empty list
        for none of them, or a function, as for `grow_checkpoint`.
      partition_strategy: "mod" or "div", how the model's lookups send ids to partitions. Needed
        where a table has partitions.
      force: bool, whether a checkpoint at `out` is replaced. The input never is.
      dry_run: bool, whether nothing is written.
      progress: as for `grow_checkpoint`.

    Returns:
      list of `Written`, what becomes of each tensor.

    Raises:
      FileNotFoundError: if there is no such checkpoint.
      FileExistsError: if `out` exists and not `force`, or is the input.
      KeyError: if a name in `tables` or `also` matches nothing.
      TypeError: if `rows` are none.
      ValueError: if not exactly one of `rows` and `id_map` is given, `rows` are none or all, they
        are not of the tables, or tables have different sizes; if `id_map` has new rows; if a
        variable would shrink twice, or has new rows in a variable of their own;
        `partition_strategy` is needed and not given; if `also` is not given and there are biases or
        projections.
      OSError: if the disk is full.
      CheckpointDamaged: if the checkpoint is damaged.
    """
    if (rows is None) == (id_map is None):
        raise ValueError("give either `rows` or `id_map`")
    with CheckpointReader(checkpoint) as reader:
        axes = table_axes(reader, tables)
        _check_sizes(axes)
        ids = _checked(id_map) if id_map else remove_map(_removed(axes[0], rows))
        # What is wrong with `out` is found here, too.
        CheckpointWriter(out, force=force, source=reader.prefix)
        decided = None if also is None or callable(also) else also
        others = find_also(reader, axes) if decided is None else also_axes(reader, decided)
        _changes(reader, axes, ids, partition_strategy)
        if others and decided is None:
            others = decide_also(reader, others, also, "shrink")
        changes, growths = _changes(reader, axes + others, ids, partition_strategy)
        certify = certificates_of(growths)
        return rewrite(reader, changes, out, force, dry_run, progress, certify)


def _changes(reader, axes, ids, strategy):
    """Returns the changes of variables and of their slots, a dict by name; and the growths."""
    slots = {axis.name: slots_of(reader, axis) for axis in axes}
    check_once(axes, [slot for each in slots.values() for slot in each], "shrink")
    changes: dict[str, Change | None] = {}
    growths = []
    for axis in axes:
        _check_whole(reader, axis)
        growth = Growth(reader, axis, ids, strategy)
        changes[axis.name] = growth.change(axis.name, 0)
        for slot in slots[axis.name]:
            changes[slot.name] = growth.change(slot.name, 0, slot.source)
        growths.append(growth)
    return changes, growths


def _removed(axis, rows):
    """Returns the `Rows` of a table that go."""
    if not isinstance(rows, Rows):
        rows = as_rows("rows", rows, axis.size)
    if rows.size != axis.size or not 0 < rows.count < axis.size:
        raise ValueError(
            f"`rows` must be some, but not all, of the {axis.size} rows of {str(axis)!r}; got "
            f"{rows!r}"
        )
    return rows


def _checked(id_map):
    """Returns an `IdMap`; raises a ValueError if there are rows in it that the table lacks."""
    if id_map.new_rows.count:
        raise ValueError(
            f"`id_map` (--new-vocab) names {id_map.new_rows.count} that the table lacks, and to "
            f"shrink makes no new rows; grow by it, with drop_missing=True (grow --drop-missing)"
        )
    return id_map


def _check_sizes(axes):
    if len({axis.size for axis in axes}) > 1:
        listed = ", ".join(f"{axis} ({axis.size})" for axis in axes)
        raise ValueError(
            f"`tables` that lose the same rows must have as many, got {listed}; shrink them one "
            f"after the other"
        )


def _check_whole(reader, axis):
    for suffix in (NEW_ROWS, CHOSEN_ROWS):
        name = trainable_name(axis.name, suffix)
        if name in reader.names():
            raise ValueError(
                f"{str(axis)!r} is split: ids of {variable_name(name)!r} count on from its rows or "
                f"among them. Merge them first"
            )

"""Splits tables into frozen and trainable rows, the inverse of a merge."""

from __future__ import annotations

from typing import TYPE_CHECKING, Sequence

from tf1_embed.checkpoint.files.reader import CheckpointReader
from tf1_embed.checkpoint.files.stored_rows import StoredRows
from tf1_embed.checkpoint.rewrite import Change, Written, rewrite
from tf1_embed.checkpoint.slots import (
    CHOSEN_ROWS,
    NEW_ROWS,
    find_slots,
    rename_slot,
    trainable_name,
    variable_name,
)
from tf1_embed.checkpoint.vocabulary_axis import row_axes
from tf1_embed.rows import Rows, RowsLike, as_rows, rows_in_chunk

if TYPE_CHECKING:
    from tf1_embed.types import PathLike, Progress


def split_checkpoint(
    checkpoint: PathLike,
    tables: Sequence[str],
    out: PathLike,
    num_old_rows: int | None = None,
    trainable_rows: RowsLike | None = None,
    partition_strategy: str | None = None,
    force: bool = False,
    dry_run: bool = False,
    progress: Progress | None = None,
) -> list[Written]:
    """Writes a checkpoint in which each table is two variables, its frozen and its trainable rows.

        embedding [12, 4]         ->   embedding [10, 4], embedding_new_rows [2, 4]
        embedding/Adam [12, 4]    ->   embedding/Adam [10, 4], embedding_new_rows/Adam [2, 4]

    It opens in code that uses `tf1_embed.get_grown_table`, or `get_row_split_table` if the rows are
    given as `trainable_rows`. The second variable is then called `embedding_trainable_rows`, and
    the first one keeps all rows, those too that the second has. Such code has no slots of frozen
    rows and ignores those in the checkpoint; `merge_checkpoint` takes them back. All other
    variables pass through bit for bit. Tables are streamed.

    Args:
      checkpoint: string, the prefix of a checkpoint of a `tf.train.Saver` on a local disk, or a
        folder, whose latest is taken. It is not written to.
      tables: list of strings, names or patterns (`user_*`).
      out: string, the prefix to write; its folder is made if it is not there.
      num_old_rows: int, how many rows stay under the table's name; or give `trainable_rows`.
      trainable_rows: `Rows` of the tables, or ids, a range, a slice or a bool vector.
      partition_strategy: "mod" or "div", needed where a table has partitions. The two variables
        have none.
      force: bool, whether a checkpoint at `out` is replaced. The input never is.
      dry_run: bool, whether nothing is written.
      progress: as for `merge_checkpoint`.

    Returns:
      list of `Written`, what becomes of each tensor.

    Raises:
      FileNotFoundError: if there is no such checkpoint.
      FileExistsError: if `out` exists and not `force`, or is the input.
      KeyError: if a name matches nothing.
      ValueError: if not exactly one of `num_old_rows` and `trainable_rows` is given, `tables` is a
        string or empty, one of the two parts would have no rows, `trainable_rows` are of a table of
        another size, the checkpoint is object-based or has a variable of the second's name, or
        `partition_strategy` is needed and not given.
      OSError: if the disk is full.
      CheckpointDamaged: if the checkpoint is damaged.
    """
    if (num_old_rows is None) == (trainable_rows is None):
        raise ValueError("give either `num_old_rows` or `trainable_rows`")
    suffix = NEW_ROWS if trainable_rows is None else CHOSEN_ROWS
    with CheckpointReader(checkpoint) as reader:
        changes: dict[str, Change | None] = {}
        slots = find_slots(reader).values()
        for axis in row_axes(reader, tables):
            name, new_name = axis.name, trainable_name(axis.name, suffix)
            if name != variable_name(name):
                raise ValueError(
                    f"{str(axis)!r} is in an object-based checkpoint, whose object graph has no "
                    f"second variable, so that no tf.train.Checkpoint would restore it. Give one "
                    f"that tf.train.Saver wrote"
                )
            if new_name in reader.names():
                raise ValueError(
                    f"{str(axis)!r} is split already: the checkpoint holds "
                    f"{variable_name(new_name)!r} as well. Merge them first"
                )
            rows = _trainable_rows(axis, num_old_rows, trainable_rows)
            # The frozen variable of a `get_row_split_table` has a place for each row of the table.
            old_rows = ~rows if trainable_rows is None else Rows.range(0, axis.size, axis.size)
            pairs = {(name, new_name): name}
            for slot in (each for each in slots if each.table == name):
                pairs[rename_slot(slot, name), rename_slot(slot, new_name)] = slot.source
                changes[slot.name] = None
            for (name, new_name), source in pairs.items():
                stored = StoredRows(reader, source, partition_strategy)
                changes[name] = _part(stored, old_rows, stored.shape)
                changes[new_name] = _part(stored, rows)
        return rewrite(reader, changes, out, force, dry_run, progress)


def _trainable_rows(axis, num_old_rows, trainable_rows):
    if trainable_rows is None:
        if not 0 < num_old_rows < axis.size:
            raise ValueError(
                f"`num_old_rows` must be from 1 to {axis.size - 1}, since {str(axis)!r} has "
                f"{axis.size} rows; got {num_old_rows}"
            )
        return Rows.range(num_old_rows, axis.size, size=axis.size)
    if not isinstance(trainable_rows, Rows):
        trainable_rows = as_rows("trainable_rows", trainable_rows, axis.size)
    if trainable_rows.size != axis.size or not 0 < trainable_rows.count < axis.size:
        raise ValueError(
            f"`trainable_rows` must be some, but not all, of the {axis.size} rows of "
            f"{str(axis)!r}; got {trainable_rows!r}"
        )
    return trainable_rows


def _part(stored, rows, old_shape=None):
    """Returns the `Change` to some rows of a tensor."""
    row_shape = stored.shape[1:]

    def chunks():
        for index in rows.chunks(rows_in_chunk(stored.dtype, row_shape)):
            yield stored[index]

    dtype = stored.reader.dtype(stored.name)
    return Change(dtype, (rows.count, *row_shape), chunks, old_shape=old_shape)

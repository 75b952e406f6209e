"""The rows of deltas among those of a variable: where they come to lie, and what all hash to."""

from __future__ import annotations

from typing import Any, Callable, Sequence

import numpy as np

from tf1_embed.checkpoint.files.dtypes import as_dtype
from tf1_embed.checkpoint.files.reader import CheckpointReader
from tf1_embed.checkpoint.files.stored_rows import StoredRows
from tf1_embed.checkpoint.growth import Growth
from tf1_embed.checkpoint.slots import Slot, find_slots, variable_name
from tf1_embed.checkpoint.vocabulary_axis import VocabularyAxis
from tf1_embed.fingerprints import Digest
from tf1_embed.rows import Rows, rows_in_chunk
from tf1_embed.vocabulary import IdMap


def ids_after(ids: Any, new_rows: Rows) -> np.ndarray:
    """Returns the ids that rows have in a grown table.

    Args:
      ids: ints of shape [m], the ids before it grew.
      new_rows: `Rows` of the grown table, those that were not there.

    Returns:
      int64 array of shape [m].

    Example:
      >>> ids_after([0, 1, 2], Rows.range(1, 3, size=5))
      array([0, 3, 4])
    """
    # How many old rows come before each new one.
    places = new_rows.ids() - np.arange(new_rows.count)
    return np.asarray(ids, np.int64) + np.searchsorted(places, ids, side="right")


class Removal:
    """The ids of a table from which rows are taken: an `IdMap` back to the table before it grew."""

    def __init__(self, rows: Rows) -> None:
        """Takes the `Rows` of the grown table that go."""
        self.num_rows, self.num_old_rows = rows.size - rows.count, rows.size
        self.new_rows = Rows.range(0, 0, size=self.num_rows)
        self.appends = False
        self._rows = rows

    def old_ids(self, ids: Any) -> np.ndarray:
        """Returns the ids that rows have in the grown table."""
        return ids_after(ids, self._rows)


class Stack:
    """The new rows of several deltas, one after another, as those of one growth.

        delta 1   rows 3 4 of 5       a b c 1 1             base a b c
        delta 2   rows 0 5 of 7     2 a b c 1 2 1
        stack     rows 0 4 5 6 of 7

    Attributes:
      rows: `Rows` of the last grown table, all that are not in the base.
    """

    rows: Rows

    def __init__(self, new_rows: Sequence[Rows]) -> None:
        """Takes a list of `Rows`, those that are new in the table after each delta."""
        ids: list[np.ndarray] = []
        for rows in new_rows:
            ids = [ids_after(each, rows) for each in ids] + [rows.ids()]
        self._ids, self._size = ids, new_rows[-1].size
        self.rows = self._of(0)
        self._order = np.argsort(np.concatenate(ids))

    def rows_at(self, level: int) -> Rows:
        """Returns the `Rows` of the last grown table that were there after `level` deltas."""
        return ~self._of(level)

    def join(self, arrays: Sequence[np.ndarray], axis: int) -> np.ndarray:
        """Returns the new rows of each delta, along an axis, in the order of their last ids."""
        return np.take(np.concatenate(arrays, axis), self._order, axis)

    def _of(self, level):
        return Rows.of(np.concatenate([np.zeros(0, np.int64), *self._ids[level:]]), self._size)


def fingerprints(
    reader: CheckpointReader,
    axis: VocabularyAxis,
    wanted: Sequence[Rows],
    partition_strategy: str | None = None,
    new_rows: Rows | None = None,
    values: np.ndarray | None = None,
    update: Callable[[int], Any] | None = None,
) -> list[str]:
    """Returns the fingerprints of several sets of rows of a variable, which is read once.

    Of a projection [dim, num_ids] the sets are columns; the matrix of these is what is hashed.

    Args:
      reader: `CheckpointReader`.
      axis: `VocabularyAxis`.
      wanted: list of `Rows` of the variable with the new rows in it.
      partition_strategy: "mod" or "div", needed where the variable has partitions.
      new_rows: `Rows` that the variable would get, default: none.
      values: array, their values along the axis.
      update: function that is given the number of bytes of each chunk.

    Returns:
      list of strings of 64 hexadecimal digits.
    """
    shape, dtype = list(reader.shape(axis.name)), reader.dtype(axis.name).numpy
    digests = []
    for rows in wanted:
        shape[axis.axis] = rows.count
        digests.append(Digest(dtype, tuple(shape)))
    if new_rows is None:
        new_rows = Rows.range(0, 0, size=axis.size)
    chunks = _columns if axis.axis else _rows
    for ids, chunk in chunks(reader, axis, partition_strategy, new_rows, values):
        for digest, rows in zip(digests, wanted):
            digest.update(np.compress(rows.contains(ids), chunk, axis.axis))
        if update is not None:
            update(chunk.nbytes)
    return [digest.hexdigest() for digest in digests]


def find_axis(reader: CheckpointReader, name: str, axis: int) -> VocabularyAxis:
    """Returns the `VocabularyAxis` of a variable in one more checkpoint.

    Args:
      reader: `CheckpointReader`.
      name: string, the variable's name in another checkpoint, which may be object-based.
      axis: int.

    Raises:
      KeyError: if the checkpoint does not hold it.
      ValueError: if it has no such axis.
    """
    name = reader.find(variable_name(name))
    shape = reader.shape(name)
    if len(shape) <= axis:
        raise ValueError(
            f"{variable_name(name)!r} must have an axis {axis}, got shape {list(shape)} in "
            f"{reader.prefix}"
        )
    return VocabularyAxis(name, axis, shape[axis])


def check_fits(
    reader: CheckpointReader,
    axis: VocabularyAxis,
    name: str,
    dtype: Any,
    shape: Sequence[int],
    where: str,
) -> None:
    """Checks that a variable's rows are those of another one.

    Args:
      reader: `CheckpointReader`.
      axis: `VocabularyAxis`.
      name: string, its variable or a slot variable of that.
      dtype: the other's dtype.
      shape: the other's shape, of any size on the axis.
      where: string, the prefix that it is from.

    Raises:
      ValueError: if dtypes or shapes differ, but for the size on the axis.
    """
    expected, got = list(reader.shape(name)), list(shape)
    if len(got) == len(expected):
        expected[axis.axis] = got[axis.axis]
    if got != expected or reader.dtype(name) != as_dtype(dtype):
        raise ValueError(
            f"{variable_name(name)!r} must be the same in both checkpoints but for its size on "
            f"axis {axis.axis}; got {reader.dtype(name).name} of shape {list(reader.shape(name))} "
            f"in {reader.prefix}, and {as_dtype(dtype).name} of shape {list(shape)} in {where}"
        )


def slots_of(reader: CheckpointReader, axis: VocabularyAxis) -> list[Slot]:
    """Returns the `Slot` of each slot variable that has an entry for each id, a list."""
    return [
        slot
        for slot in find_slots(reader).values()
        # What has one number for each row of a projection has no axis of ids.
        if slot.table == axis.name and reader.shape(slot.name)[axis.axis :][:1] == (axis.size,)
    ]


def _rows(reader, axis, partition_strategy, new_rows, values):
    """Yields rows of a grown table in the order of their ids, and these."""
    stored = StoredRows(reader, axis.name, partition_strategy)
    id_map = IdMap(new_rows, axis.size)
    step = rows_in_chunk(stored.dtype, stored.shape[1:])
    for start in range(0, new_rows.size, step):
        ids = np.arange(start, min(start + step, new_rows.size))
        old_ids = id_map.old_ids(ids)
        is_old = old_ids >= 0
        rows = stored[old_ids[is_old]]
        if not is_old.all():
            old_rows, rows = rows, np.empty((ids.size,) + stored.shape[1:], stored.dtype)
            rows[is_old] = old_rows
            rows[~is_old] = values[new_rows.position(ids[~is_old])]
        yield ids, rows


def _columns(reader, axis, partition_strategy, new_rows, values):
    """Yields rows of a grown projection, and all ids, of which each has a column."""
    growth = Growth(reader, axis, IdMap(new_rows, axis.size), partition_strategy)
    ids = np.arange(new_rows.size)
    for rows in growth.change(axis.name, 0 if values is None else values.T).chunks():
        yield ids, rows

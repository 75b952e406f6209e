"""The rows of deltas among those of a variable: where they come to lie, and what all hash to."""

from __future__ import annotations

import functools
from typing import Any, Mapping, Sequence

import numpy as np

from tf1_embed.bfloat16 import cast
from tf1_embed.checkpoint.files.dtypes import as_dtype
from tf1_embed.checkpoint.files.reader import CheckpointReader
from tf1_embed.checkpoint.files.stored_rows import StoredRows
from tf1_embed.checkpoint.growth import Growth
from tf1_embed.checkpoint.rewrite import Change
from tf1_embed.checkpoint.slot_values import SAME_AS_TABLE, initial_value
from tf1_embed.checkpoint.slots import Slot, variable_name
from tf1_embed.checkpoint.vocabulary_axis import VocabularyAxis
from tf1_embed.rows import Rows, ids_of
from tf1_embed.vocabulary import IdMap


class Back:
    """The ids of a table as it was before it grew: an `IdMap` the other way round.

    The rows that growth dropped are those that are new; the rows that it added go.

    Attributes:
      new_rows: `Rows` of the table as it was, those that growth dropped.
      num_rows: int, how many rows it had.
      num_old_rows: int, how many rows the grown table has.
      appends: bool, False.
    """

    new_rows: Rows
    num_rows: int
    num_old_rows: int
    appends: bool

    def __init__(self, id_map: IdMap) -> None:
        """Takes the `IdMap` by which the table grew."""
        self.new_rows, self.appends = id_map.dropped_rows(), False
        self.num_rows, self.num_old_rows = id_map.num_old_rows, id_map.num_rows
        self._map = id_map

    def old_ids(self, ids: Any) -> np.ndarray:
        """Returns the ids that rows have in the grown table, -1 of those that it lacks."""
        return self._map.new_ids(ids)


class Stack:
    """Several deltas, one after another, as one growth.

        delta 1   rows 3 4 of 5       a b c 1 1             base a b c
        delta 2   rows 0 5 of 7     2 a b c 1 2 1
        stack     rows 0 4 5 6 of 7

    Attributes:
      id_map: `IdMap` from the base to the last grown table.
    """

    id_map: IdMap

    def __init__(self, id_maps: Sequence[IdMap]) -> None:
        """Takes a list of `IdMap`, those of each delta."""
        self.id_map = functools.reduce(IdMap.then, id_maps)
        # The last ids of each delta's new rows, -1 of those that a later one dropped.
        ids = np.zeros(0, np.int64)
        for id_map in id_maps:
            is_there = ids >= 0
            ids[is_there] = id_map.new_ids(ids[is_there])
            ids = np.concatenate([ids, id_map.new_rows.ids()])
        self._order = np.argsort(ids)[np.count_nonzero(ids < 0) :]

    def join(self, arrays: Sequence[np.ndarray], axis: int) -> np.ndarray:
        """Returns the new rows of each delta, along an axis, in the order of their last ids."""
        return np.take(np.concatenate(arrays, axis), self._order, axis)


class MappedRows:
    """A table as an `IdMap` or a `Back` would make it, indexed by rows as an array is.

    Of a projection [dim, num_ids] the index is that of its rows, which have a column for each id.

    Attributes:
      shape: tuple of ints.
      dtype: `np.dtype`.
    """

    shape: tuple[int, ...]
    dtype: np.dtype

    def __init__(
        self, stored: StoredRows, id_map: IdMap | Back, new: np.ndarray | None, axis: int
    ) -> None:
        """Takes the table as it is, and the values of rows that it has not, if there are such."""
        self._stored, self._map, self._new, self._axis = stored, id_map, new, axis
        shape = stored.shape
        self.shape = shape[:axis] + (id_map.num_rows,) + shape[axis + 1 :]
        self.dtype = stored.dtype

    def __getitem__(self, index: slice | np.ndarray) -> np.ndarray:
        """Reads the rows of an int array of indices, or of a slice of them."""
        ids = np.arange(self._map.num_rows) if self._axis else ids_of(index)
        old_ids = self._map.old_ids(ids)
        is_old = old_ids >= 0
        if self._axis:
            old = np.take(self._stored[index], old_ids[is_old], 1)
        else:
            old = self._stored[old_ids[is_old]]
        if is_old.all() or self._new is None:
            return old
        places = self._map.new_rows.position(ids[~is_old])
        new = self._new[index] if self._axis else self._new[places]
        shape = (len(old), ids.size) if self._axis else (ids.size, *old.shape[1:])
        rows = np.empty(shape, self.dtype)
        # Of a view in which ids come first.
        by_id = rows.T if self._axis else rows
        by_id[is_old], by_id[~is_old] = (each.T if self._axis else each for each in (old, new))
        return rows


def change_of(
    growth: Growth, name: str, values: np.ndarray | None, source: str | None = None
) -> Change:
    """Returns the `Change` of a variable that a delta puts rows into, or of a slot variable of it.

    Args:
      growth: `Growth` of the variable.
      name: string.
      values: array, the rows along the variable's axis, or None if there are none.
      source: string, the tensor that has the old ones; default: `name`.
    """
    if values is None:
        return growth.change(name, 0, source)
    return growth.change(name, values.T if growth.axis.axis else values, source)


def slots_in(
    reader: CheckpointReader,
    axis: VocabularyAxis,
    slot: Slot,
    values: np.ndarray,
    slots: Mapping[str, np.ndarray],
    where: str,
    slot_values: Mapping[str, float | str] | None,
) -> np.ndarray:
    """Returns the slots of the rows that a delta puts into a table, initial ones if it has none.

    Args:
      reader: `CheckpointReader`.
      axis: `VocabularyAxis`.
      slot: `Slot` of the checkpoint.
      values: array, the rows themselves.
      slots: dict from the name of each slot variable that the delta has to an array.
      where: string, the delta's prefix.
      slot_values: as for `apply_delta`.

    Raises:
      ValueError: if they have another dtype or shape, or what slots begin with is not known.
    """
    if slot.name in slots:
        found = slots[slot.name]
        check_fits(reader, axis, slot.name, found.dtype, found.shape, where)
        return found
    value = initial_value(reader, slot, slot_values)
    if value == SAME_AS_TABLE:
        return values
    shape = list(reader.shape(slot.name))
    shape[axis.axis] = values.shape[axis.axis]
    return np.full(shape, cast(np.array(value, np.float64), reader.dtype(slot.name).numpy))


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

"""Which rows of a table: an immutable set of row ids, in NumPy and in the graph."""

from __future__ import annotations

import operator
from typing import TYPE_CHECKING, Any, Iterator, Sequence, Union

import numpy as np

from tf1_embed.partitions import Partitions

if TYPE_CHECKING:
    import tensorflow.compat.v1 as tf

# What names rows of a table whose size is known: `as_rows` takes all of these.
RowsLike = Union["Rows", Sequence[int], Sequence[bool], np.ndarray, range, slice]

# Bytes of a large table that are read, moved or written at one time.
CHUNK_BYTES = 4 << 20


class Rows:
    """A set of row ids of a table of known size.

    The set is kept as its runs, `[start, stop)` pairs in ascending order, so that a range is two
    numbers, a complement costs no more than the set itself, and nothing of the table's length is
    ever made:

        ids    0 1 2 3 4 5 6 7          Rows.of([1, 2, 6], size=8)
        rows     * *       *            runs [1, 3) and [6, 7)
        position 0 1       2

    Make one with `Rows.range`, `Rows.of` or `Rows.where`; `~rows` holds all other rows.

    Attributes:
      size: int, the number of rows of the table, in the set or not.
      count: int, the number of rows in the set.

    Example:
      >>> rows = Rows.of([6, 1, 2], size=8)
      >>> rows.count
      3
      >>> rows.contains([0, 1, 6])
      array([False,  True,  True])
      >>> rows.position([1, 2, 6])
      array([0, 1, 2])
      >>> (~rows).ids()
      array([0, 3, 4, 5, 7])
    """

    __slots__ = ("_shifts", "_starts", "_stops", "count", "size")

    count: int
    size: int
    _shifts: np.ndarray
    _starts: np.ndarray
    _stops: np.ndarray

    def __init__(self, starts: Any, stops: Any, size: int) -> None:
        """Takes runs that are sorted, disjoint and not empty; use the named constructors."""
        starts = np.asarray(starts, np.int64)
        stops = np.asarray(stops, np.int64)
        lengths = stops - starts
        # id - shift is the id's position in the set.
        shifts = starts - (np.cumsum(lengths) - lengths)
        for array in (starts, stops, shifts):
            array.setflags(write=False)
        for field, value in (
            ("_starts", starts),
            ("_stops", stops),
            ("_shifts", shifts),
            ("count", int(lengths.sum())),
            ("size", size),
        ):
            object.__setattr__(self, field, value)

    def __setattr__(self, field: str, value: Any) -> None:
        raise AttributeError(f"Rows are immutable: `{field}` cannot be set; make new Rows instead")

    @classmethod
    def range(cls, start: int, stop: int, size: int) -> Rows:
        """Returns the rows `start` to `stop - 1` of a table of `size` rows.

        Args:
          start: int, the first row, 0 <= start <= stop.
          stop: int, one past the last row, stop <= size.
          size: int, the number of rows of the table.

        Returns:
          `Rows`.

        Raises:
          TypeError: if an argument is not an int.
          ValueError: if not 0 <= start <= stop <= size.

        Example:
          >>> Rows.range(3, 5, size=5)
          Rows.range(3, 5, size=5)
        """
        start, stop, size = (
            _as_int(argument, value)
            for argument, value in (("start", start), ("stop", stop), ("size", size))
        )
        if not 0 <= start <= stop <= size:
            raise ValueError(
                f"expected 0 <= `start` <= `stop` <= `size`, got start={start}, stop={stop}, "
                f"size={size}"
            )
        return cls([start], [stop], size) if start < stop else cls([], [], size)

    @classmethod
    def of(cls, ids: Any, size: int) -> Rows:
        """Returns the rows named by `ids`, in any order; an id given twice counts once.

        Args:
          ids: ints, array-like of any shape, each in [0, size).
          size: int, the number of rows of the table.

        Returns:
          `Rows`.

        Raises:
          TypeError: if `ids` are not integers or `size` is not an int.
          ValueError: if an id is not in [0, size).

        Example:
          >>> Rows.of([4, 0, 4], size=5).ids()
          array([0, 4])
        """
        size = _as_int("size", size)
        if size < 0:
            raise ValueError(f"`size` must not be negative, got {size}")
        ids = np.unique(_as_ids(ids))
        if ids.size and (ids[0] < 0 or ids[-1] >= size):
            offending = ids[0] if ids[0] < 0 else ids[-1]
            raise ValueError(f"`ids` must be in [0, {size}), the table's rows; got {offending}")
        breaks = np.flatnonzero(np.diff(ids) != 1)
        starts = ids[np.concatenate([[0], breaks + 1])] if ids.size else ids
        stops = ids[np.concatenate([breaks, [-1]])] + 1 if ids.size else ids
        return cls(starts, stops, size)

    @classmethod
    def where(cls, mask: Any) -> Rows:
        """Returns the rows at which `mask` is true.

        Args:
          mask: bool array of shape [size], one flag for each row of the table.

        Returns:
          `Rows`.

        Raises:
          ValueError: if `mask` is not a vector of bools.

        Example:
          >>> Rows.where([False, True, True])
          Rows.range(1, 3, size=3)
        """
        mask = np.asarray(mask)
        if mask.dtype != np.bool_ or mask.ndim != 1:
            raise ValueError(
                f"`mask` must be a bool vector, one flag a row; got dtype {mask.dtype}, shape "
                f"{mask.shape}. For row ids, use Rows.of"
            )
        edges = np.diff(np.concatenate([[False], mask, [False]]).astype(np.int8))
        return cls(np.flatnonzero(edges == 1), np.flatnonzero(edges == -1), mask.size)

    @classmethod
    def of_runs(cls, runs: Sequence[Sequence[int]], size: int) -> Rows:
        """Returns the rows of `runs`, which `Rows.runs` gives.

        Args:
          runs: list of (start, stop) pairs of ints, in ascending order: each run holds at least one
            row and starts after the one before it has stopped.
          size: int, the number of rows of the table.

        Returns:
          `Rows`.

        Raises:
          TypeError: if `runs` are not pairs of ints or `size` is not an int.
          ValueError: if a run is empty, out of order, or not in [0, size).

        Example:
          >>> Rows.of_runs([(1, 3), (6, 7)], size=8)
          Rows.of([1, 2, 6], size=8)
        """
        size = _as_int("size", size)
        ends = np.asarray(runs)
        if ends.size == 0:
            ends = np.zeros([0, 2], np.int64)
        if ends.dtype.kind != "i" or ends.ndim != 2 or ends.shape[1] != 2:
            raise TypeError(f"`runs` must be (start, stop) pairs of ints, got {runs!r:.200}")
        bounds = np.concatenate([[-1], ends.ravel(), [size + 1]])
        if size < 0 or (np.diff(bounds) <= 0).any():
            raise ValueError(
                f"`runs` must be in [0, {size}), the table's rows, in ascending order, none empty "
                f"and none touching the next; got {runs!r:.200}"
            )
        return cls(ends[:, 0], ends[:, 1], size)

    def __invert__(self) -> Rows:
        """Returns the rows of the table that are not in this set."""
        starts = np.concatenate([[0], self._stops])
        stops = np.concatenate([self._starts, [self.size]])
        occupied = starts < stops
        return Rows(starts[occupied], stops[occupied], self.size)

    def of_partitions(self, sizes: Sequence[int], strategy: str | None) -> list[Rows]:
        """Returns the rows that each partition of the table has of these, by its own count.

        Args:
          sizes: list of ints, the number of rows of each partition.
          strategy: "mod" (id i is row i // p of partition i % p) or "div" (the partitions follow
            one another), as TensorFlow's lookups take it.

        Returns:
          list of `Rows`, one a partition.

        Example:
          >>> Rows.range(3, 5, size=5).of_partitions([3, 2], "mod")
          [Rows.range(2, 3, size=3), Rows.range(1, 2, size=2)]
        """
        part, row = Partitions(tuple(sizes), strategy).locate(self.ids())
        return [Rows.of(row[part == number], size) for number, size in enumerate(sizes)]

    def ids(self) -> np.ndarray:
        """Returns the row ids in ascending order, an int64 array of shape [count]."""
        lengths = self._stops - self._starts
        return np.arange(self.count) + np.repeat(self._shifts, lengths)

    def runs(self) -> list[list[int]]:
        """Returns the runs of ids that follow one another, a list of `[start, stop]` lists.

        Example:
          >>> Rows.of([1, 2, 6], size=8).runs()
          [[1, 3], [6, 7]]
        """
        return np.stack([self._starts, self._stops], axis=1).tolist()

    def chunks(self, max_rows: int) -> Iterator[slice | np.ndarray]:
        """Yields the rows in ascending order, piece by piece, as indices of NumPy arrays.

        No array of more than `max_rows` ids is ever made, and none for a range.

        Args:
          max_rows: int > 0, how many rows a piece has; the last one may have fewer.

        Yields:
          slice, where the ids of the piece follow one another; else an int64 array of ids.

        Example:
          >>> list(Rows.of([1, 2, 3, 6], size=8).chunks(2))
          [slice(1, 3, None), array([3, 6])]
        """
        positions = self._starts - self._shifts
        for start in range(0, self.count, max_rows):
            stop = min(start + max_rows, self.count)
            # The runs that hold the positions start to stop - 1.
            first = np.searchsorted(positions, start, side="right") - 1
            end = np.searchsorted(positions, stop, side="left")
            shifts = self._shifts[first:end]
            if len(shifts) == 1:
                yield slice(int(start + shifts[0]), int(stop + shifts[0]))
                continue
            lengths = np.diff(np.concatenate([[start], positions[first + 1 : end], [stop]]))
            yield np.arange(start, stop) + np.repeat(shifts, lengths)

    def contains(self, ids: Any) -> Any:
        """Tells which ids are in the set.

        A range costs two comparisons; any other set O(ids * log runs).

        Args:
          ids: integers of any shape: array-like, or an int32 or int64 `tf.Tensor`. In the graph
            they must be in [0, size), as a lookup has already made sure.

        Returns:
          bools of the shape of `ids`: an array, or a `tf.Tensor` when `ids` is one.
        """
        if not _is_tensor(ids):
            ids = _as_ids(ids)
            if not self.count:
                return np.zeros(ids.shape, bool)
            return (ids >= self._starts[0]) & (ids < self._of_run(self._stops, ids))
        import tensorflow.compat.v1 as tf

        if not self.count:
            return tf.zeros_like(ids, tf.bool)
        if len(self._starts) > 1 or 0 < self._starts[0] < self._stops[-1] < self.size:
            after_start = ids >= _constant(tf, self._starts[0], ids)
            return tf.logical_and(after_start, ids < self._of_run_in_graph(tf, self._stops, ids))
        if self._starts[0] > 0:
            return ids >= _constant(tf, self._starts[0], ids)
        return ids < _constant(tf, self._stops[0], ids)

    def position(self, ids: Any) -> Any:
        """Returns the position of each id among the rows of the set, in ascending order.

        A range costs one subtraction; any other set O(ids * log runs).

        Args:
          ids: integers of any shape, each in the set: array-like, or an int32 or int64
            `tf.Tensor`. In the graph, positions of ids that are not in the set have no meaning.

        Returns:
          integers in [0, count) of the shape of `ids`, and of its dtype in the graph.

        Raises:
          ValueError: if an id is not in the set (NumPy only).
        """
        if _is_tensor(ids):
            import tensorflow.compat.v1 as tf

            return ids - self._of_run_in_graph(tf, self._shifts, ids) if self.count else ids
        ids = _as_ids(ids)
        members = self.contains(ids)
        if not members.all():
            raise ValueError(f"`ids` must be in {self}; {ids[~members].flat[0]} is not")
        return ids - self._of_run(self._shifts, ids) if self.count else ids

    def ids_tensor(self) -> tf.Tensor:
        """Returns the row ids in ascending order as an int64 `tf.Tensor` of shape [count].

        A range adds two numbers to the graph, any other set its ids.
        """
        import tensorflow.compat.v1 as tf

        if len(self._starts) == 1:
            return tf.range(*(tf.constant(end[0], tf.int64) for end in (self._starts, self._stops)))
        return tf.constant(self.ids(), tf.int64)

    def _of_run(self, values, ids):
        """Returns, for each of the array `ids`, the entry of `values` of the run it falls in."""
        run = np.searchsorted(self._starts, ids, side="right") - 1
        return values[np.maximum(run, 0)]

    def _of_run_in_graph(self, tf, values, ids):
        if len(values) == 1:
            return _constant(tf, values[0], ids)
        from tf1_embed.raw_ops import UpperBound

        # Under tf.searchsorted too, which 1.13 fails for ids of shape [0, n].
        run = UpperBound(
            sorted_inputs=_constant(tf, self._starts[np.newaxis], ids),
            values=tf.reshape(ids, [1, -1]),
            out_type=tf.int32,
        )
        value = tf.gather(_constant(tf, values, ids), tf.maximum(run - 1, 0))
        return tf.reshape(value, tf.shape(ids))

    def __len__(self) -> int:
        return self.count

    def __eq__(self, other: object) -> bool:
        return (
            isinstance(other, Rows)
            and self.size == other.size
            and np.array_equal(self._starts, other._starts)
            and np.array_equal(self._stops, other._stops)
        )

    def __hash__(self) -> int:
        return hash((self.size, self._starts.tobytes(), self._stops.tobytes()))

    def __repr__(self) -> str:
        if not self.count:
            return f"Rows.range(0, 0, size={self.size})"
        if len(self._starts) == 1:
            return f"Rows.range({self._starts[0]}, {self._stops[0]}, size={self.size})"
        if self.count > 8:
            first, last = self._starts[0], self._stops[-1] - 1
            return f"<{self.count} rows of {self.size}, from {first} to {last}>"
        return f"Rows.of({self.ids().tolist()}, size={self.size})"


def as_rows(argument: str, value: RowsLike, size: int) -> Rows:
    """Returns `Rows` of a table of known size, whatever way they are given.

    Args:
      argument: string, what to call `value` in an error, such as the argument's name.
      value: `Rows`; ids, array-like of shape [n]; a `range` or a `slice` of ids; or a bool vector
        of shape [size], one flag for each row. The bounds of a slice may count from the end, as
        Python's do, but not reach beyond the table.
      size: int, the number of rows of the table.

    Returns:
      `Rows` of that size.

    Raises:
      TypeError: if `value` is none of these.
      ValueError: if `value` names a row that the table does not have, or is of a table of another
        size.

    Example:
      >>> as_rows("rows", slice(-2, None), size=5)
      Rows.range(3, 5, size=5)
      >>> as_rows("rows", [False, True, False], size=3)
      Rows.range(1, 2, size=3)
    """
    if isinstance(value, Rows):
        if value.size != size:
            raise ValueError(
                f"`{argument}` must be rows of a table of {size} rows, got rows of a table of "
                f"{value.size}"
            )
        return value
    if isinstance(value, slice):
        bounds = [bound for bound in (value.start, value.stop) if bound is not None]
        if any(not -size <= _as_int(argument, bound) <= size for bound in bounds):
            raise ValueError(f"`{argument}` must be rows of a table of {size} rows, got {value}")
        value = range(*value.indices(size))
    if isinstance(value, range) and value.step == 1 and 0 <= value.start < value.stop <= size:
        # Without its ids, of which there may be as many as the table has rows.
        return Rows.range(value.start, value.stop, size)
    ids = None if _is_tensor(value) or isinstance(value, (str, bytes)) else np.asarray(value)
    if ids is None or ids.ndim != 1:
        raise TypeError(
            f"`{argument}` must be Rows, a list of ids, a range, a slice, or a bool for each of "
            f"the table's {size} rows; got {value!r:.200}"
        )
    if ids.dtype == np.bool_:
        if len(ids) != size:
            raise ValueError(
                f"`{argument}` must have a bool for each of the table's {size} rows, got {len(ids)}"
            )
        return Rows.where(ids)
    if ids.size and not np.issubdtype(ids.dtype, np.integer):
        raise TypeError(f"`{argument}` must be integers, the ids of rows; got {ids.dtype}")
    if ids.size and not 0 <= ids.min() <= ids.max() < size:
        offending = ids.min() if ids.min() < 0 else ids.max()
        raise ValueError(
            f"`{argument}` must be ids in [0, {size}), the rows of the table; got {offending}"
        )
    return Rows.of(ids, size)


def rows_in_chunk(dtype: Any, row_shape: Sequence[int]) -> int:
    """Returns how many rows of a table are read at one time, an int.

    Args:
      dtype: `np.dtype`, or what makes one.
      row_shape: sequence of ints, the shape of a row.
    """
    # An id takes 8 bytes, whatever its row takes.
    row_bytes = int(np.prod(row_shape, dtype=np.int64)) * np.dtype(dtype).itemsize
    return max(1, CHUNK_BYTES // max(row_bytes, 8))


def ids_of(index: slice | np.ndarray) -> np.ndarray:
    """Returns the ids of an index that `Rows.chunks` yields, an int64 array."""
    return np.arange(index.start, index.stop) if isinstance(index, slice) else index


def ids_at(rows: Rows, positions: np.ndarray) -> np.ndarray:
    """Returns the ids that have these positions among the rows, the inverse of `Rows.position`.

    Args:
      rows: `Rows`.
      positions: int64 array, each in [0, rows.count).

    Returns:
      int64 array of the same shape.

    Example:
      >>> ids_at(Rows.of([1, 2, 6], size=8), np.array([0, 2]))
      array([1, 6])
    """
    run = np.searchsorted(rows._starts - rows._shifts, positions, side="right") - 1
    return positions + rows._shifts[run]


def _as_int(argument, value):
    try:
        if isinstance(value, (bool, np.bool_)):
            raise TypeError
        # TensorFlow 1 has `tf.Dimension` in shapes, which is an int by this.
        return operator.index(value)
    except TypeError:
        raise TypeError(f"`{argument}` must be an int, got {value!r}") from None


def _as_ids(ids):
    ids = np.asarray(ids)
    if ids.size == 0:
        return ids.astype(np.int64)
    if not np.issubdtype(ids.dtype, np.integer):
        raise TypeError(f"`ids` must be integers, got {ids.dtype}. For a bool mask, use Rows.where")
    return ids.astype(np.int64)


def _is_tensor(ids):
    # Without importing TensorFlow, which NumPy users of this module need not have.
    return hasattr(ids, "graph") or type(ids).__module__.startswith("tensorflow")


def _constant(tf, value, like):
    return tf.constant(value, like.dtype.base_dtype)

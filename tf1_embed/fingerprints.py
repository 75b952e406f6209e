"""A digest of chosen rows of a table, the same wherever the rows are kept.

A table is grown, split, merged, partitioned, saved and restored; its old rows are the same ones as
long as this digest is the same.
"""

from __future__ import annotations

import hashlib
from typing import Any, Callable, Iterable, Iterator, Sequence

import numpy as np

from tf1_embed.bfloat16 import as_numbers, name_of
from tf1_embed.rows import Rows, ids_of, rows_in_chunk


def digest_of(
    values: Any,
    rows: Rows | None = None,
    axis: int = 0,
    update: Callable[[int], object] | None = None,
) -> str:
    """Returns the fingerprint of rows of what is indexed by ids, chunk by chunk.

    Args:
      values: array of shape [num_rows, ...], or what has `dtype` and `shape` and is indexed as one.
      rows: `Rows` of it, of any size that it had or has; default: all.
      axis: int, along which the ids count. What is hashed is what `np.take(values, ids, axis)` has.
      update: function that is given the number of bytes of each chunk.

    Returns:
      string of 64 hexadecimal digits.

    Raises:
      TypeError, ValueError: as `check_rows`.
    """
    shape = tuple(values.shape)
    check_rows("values", shape, values.dtype, rows, axis)
    if rows is None:
        rows = Rows.range(0, shape[axis], size=shape[axis])
    digest = Digest(values.dtype, shape[:axis] + (rows.count,) + shape[axis + 1 :])
    for _, chunk in chunks_of(values, rows, axis):
        digest.update(chunk)
        if update is not None:
            update(chunk.nbytes)
    return digest.hexdigest()


def chunks_of(values: Any, rows: Rows, axis: int = 0) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yields the values of chosen ids in chunks that lie one after another in memory.

    Args:
      values: as for `digest_of`.
      rows: `Rows`, the ids.
      axis: int, along which they count.

    Yields:
      the ids of a chunk along the axis, and an array of their values. On axis 0 a chunk has some of
      the ids; on another axis it has some of the rows, and all of the ids.
    """
    step = rows_in_chunk(values.dtype, values.shape[1:])
    if axis == 0:
        for index in rows.chunks(step):
            yield ids_of(index), values[index]
        return
    ids, num_rows = rows.ids(), values.shape[0]
    for start in range(0, num_rows, step):
        yield ids, np.take(values[start : min(start + step, num_rows)], ids, axis)


def beside(
    values: Any, chunks: Iterable[tuple[np.ndarray, np.ndarray]], axis: int = 0
) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """Yields ids, their values, and those of each chunk that `chunks_of` yields of other values."""
    start = 0
    for ids, chunk in chunks:
        if axis == 0:
            yield ids, values[ids], chunk
        else:
            stop = start + len(chunk)
            yield ids, np.take(values[start:stop], ids, axis), chunk
            start = stop


class Digest:
    """A fingerprint in the making, fed with rows in the order of their ids."""

    def __init__(self, dtype: Any, shape: Sequence[int]) -> None:
        """Takes the dtype of the rows and the shape of them all, [count, ...]."""
        dtype = np.dtype(dtype)
        self._swap = dtype.newbyteorder("<") if dtype.str.startswith(">") else None
        line = f"tf1_embed rows v1 {name_of(dtype)} {'x'.join(str(each) for each in shape)}\n"
        self._sha256 = hashlib.sha256(line.encode("ascii"))

    def update(self, rows: np.ndarray) -> None:
        """Adds the rows that come next."""
        rows = rows if self._swap is None else rows.astype(self._swap)
        self._sha256.update(as_bytes(rows).data)

    def hexdigest(self) -> str:
        """Returns the fingerprint as a string of 64 hexadecimal digits."""
        return self._sha256.hexdigest()


def check_rows(
    argument: str, shape: Sequence[int], dtype: np.dtype, rows: Rows | None, axis: int = 0
) -> None:
    """Raises a TypeError or ValueError if there are no such rows to take a fingerprint of."""
    if dtype is None or dtype.hasobject or dtype.kind in "US":
        raise TypeError(
            f"`{argument}` must be numbers, got {'strings' if dtype is None else dtype}"
        )
    if not shape:
        raise ValueError(f"`{argument}` must have rows, got a scalar")
    if not 0 <= axis < len(shape):
        raise ValueError(f"`axis` of `{argument}` of shape {list(shape)} cannot be {axis}")
    if rows is None:
        return
    if not isinstance(rows, Rows):
        raise TypeError(
            f"`rows` must be Rows, such as Rows.of(ids, size=num_rows); got {type(rows).__name__}"
        )
    # The table may have had fewer rows than now, or have more.
    if rows.count and rows.size > shape[axis] and rows.runs()[-1][1] > shape[axis]:
        what = "rows" if axis == 0 else f"entries on axis {axis}"
        raise ValueError(
            f"`rows` go up to {rows.runs()[-1][1] - 1}, `{argument}` has only {shape[axis]} {what}"
        )


def as_bytes(rows: np.ndarray) -> np.ndarray:
    """Returns the bytes of an array as it lies in memory, uint8 of shape [num_bytes]."""
    # Not its buffer: bfloat16 has none.
    return np.ascontiguousarray(rows).reshape(-1).view(np.uint8)


def changed_rows(old: np.ndarray, new: np.ndarray, axis: int = 0) -> np.ndarray:
    """Returns the positions at which rows differ in any bit.

    Args:
      old: array of shape [m, ...].
      new: array of the same shape and dtype.
      axis: int, along which positions count.

    Returns:
      int array, ascending.

    Example:
      >>> changed_rows(np.array([[0.0], [np.nan], [1.0]]), np.array([[-0.0], [np.nan], [1.0]]))
      array([0])
    """
    shape, (old, new) = old.shape, (as_bytes(old), as_bytes(new))
    # By eight bytes at a time, which nearly always settles it.
    if np.array_equal(_words(old), _words(new)):
        return np.zeros(0, np.int64)
    differ = (old != new).reshape(*shape[: axis + 1], -1)
    return np.flatnonzero(differ.any(axis=(*range(axis), axis + 1)))


class ChangedRows:
    """Which rows differ between two reads of them, and how far, told chunk by chunk.

    Attributes:
      count: int, how many rows differ in any bit.
      first_ids: list of ints, the smallest ids of those.
      largest_difference: float, as `largest_difference` of them all; None if one is not known.
    """

    count: int
    first_ids: list[int]
    largest_difference: float | None

    def __init__(self, max_listed: int, axis: int = 0):
        """Takes how many ids are listed at most, and the axis along which ids count."""
        self.count, self.first_ids, self.largest_difference = 0, [], 0.0
        self._max_listed, self._axis, self._seen = max_listed, axis, np.zeros(0, np.int64)

    def add(self, ids: np.ndarray, old: np.ndarray, new: np.ndarray) -> None:
        """Compares a chunk of rows, whose ids along the axis are given."""
        places = changed_rows(old, new, self._axis)
        if not places.size:
            return
        changed = ids[places]
        if self._axis:
            # Each chunk has all ids, and some of what belongs to each.
            changed = np.setdiff1d(changed, self._seen)
            self._seen = np.union1d(changed, self._seen)
        self.count += changed.size
        # Under another order of ids the first ones may come late.
        self.first_ids = sorted(self.first_ids + changed.tolist())[: self._max_listed]
        far = largest_difference(*(np.take(each, places, self._axis) for each in (old, new)))
        before = self.largest_difference
        self.largest_difference = None if before is None or far is None else max(before, far)


def how_far(difference: float | None) -> str:
    """Returns what a largest difference says of rows that changed, as words."""
    if difference is None:
        return "in their bits"
    return f"by at most {difference:g}" if difference else "only in bits that compare as equal"


def largest_difference(old: np.ndarray, new: np.ndarray) -> float | None:
    """Returns the largest absolute difference of two numbers at the same place.

    Args:
      old: array of numbers.
      new: array of the same shape and dtype.

    Returns:
      float; 0 if they compare as equal (zeros of both signs, NaNs of any payload), infinity where
      one of the two is not finite; None for bits whose numbers NumPy does not know.

    Example:
      >>> largest_difference(np.array([1 + 2j]), np.array([1 + 5j]))
      3.0
      >>> largest_difference(np.array([2**60]), np.array([2**60 + 1]))
      1.0
    """
    old, new = _known_numbers(old), _known_numbers(new)
    if old is None:
        return None
    if old.dtype.kind in "biu":
        # In float64 those beyond 2**53 would be equal. Unsigned differences wrap to the right one.
        low, high = np.minimum(old, new), np.maximum(old, new)
        differences = high.astype(np.uint64) - low.astype(np.uint64)
        return float(differences.max()) if differences.size else 0.0
    wide = np.complex128 if old.dtype.kind == "c" else np.float64
    # The casts of signalling NaNs would warn.
    with np.errstate(all="ignore"):
        old, new = old.astype(wide), new.astype(wide)
        differ = (old != new) & ~(np.isnan(old) & np.isnan(new))
        differences = np.abs(new - old)[differ]
    differences[np.isnan(differences)] = np.inf
    return float(differences.max()) if differences.size else 0.0


def _known_numbers(values):
    """Returns values of a dtype that NumPy computes with, None if it has none for them."""
    values = as_numbers(values)
    if values.dtype.kind != "V":
        return values
    (name,) = values.dtype.names
    # TensorFlow's quantized integers are integers; its floats of 8 and 4 bits are bits here.
    return values[name] if name.startswith(("qint", "quint")) else None


def _words(data):
    return data.view(np.uint64) if data.size % 8 == 0 else data

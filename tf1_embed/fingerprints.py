"""A digest of chosen rows of a table, the same wherever the rows are kept.

A table is grown, split, merged, partitioned, saved and restored; its old rows are the same ones as
long as this digest is the same.
"""

from __future__ import annotations

import hashlib
from typing import Any, Sequence

import numpy as np

from tf1_embed.bfloat16 import as_numbers, name_of
from tf1_embed.rows import Rows, rows_in_chunk


def digest_of(values: Any, rows: Rows | None = None) -> str:
    """Returns the fingerprint of rows of what is indexed by ids, chunk by chunk.

    Args:
      values: array of shape [num_rows, ...], or what has `dtype` and `shape` and is indexed as one.
      rows: `Rows` of it, of any size that it had or has; default: all.

    Returns:
      string of 64 hexadecimal digits.

    Raises:
      TypeError, ValueError: as `check_rows`.
    """
    dtype, shape = values.dtype, tuple(values.shape)
    check_rows("values", shape, dtype, rows)
    if rows is None:
        rows = Rows.range(0, shape[0], size=shape[0])
    digest = Digest(dtype, (rows.count,) + shape[1:])
    for index in rows.chunks(rows_in_chunk(dtype, shape[1:])):
        digest.update(values[index])
    return digest.hexdigest()


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


def check_rows(argument: str, shape: Sequence[int], dtype: np.dtype, rows: Rows | None) -> None:
    """Raises a TypeError or ValueError if there are no such rows to take a fingerprint of."""
    if dtype.hasobject or dtype.kind in "US":
        raise TypeError(f"`{argument}` must be numbers, got {dtype}")
    if not shape:
        raise ValueError(f"`{argument}` must have rows, got a scalar")
    if rows is None:
        return
    if not isinstance(rows, Rows):
        raise TypeError(
            f"`rows` must be Rows, such as Rows.of(ids, size=num_rows); got {type(rows).__name__}"
        )
    # The table may have had fewer rows than now, or have more.
    if rows.count and rows.size > shape[0] and rows.runs()[-1][1] > shape[0]:
        raise ValueError(
            f"`rows` go up to {rows.runs()[-1][1] - 1}, `{argument}` has only {shape[0]} rows"
        )


def as_bytes(rows: np.ndarray) -> np.ndarray:
    """Returns the bytes of an array as it lies in memory, uint8 of shape [num_bytes]."""
    # Not its buffer: bfloat16 has none.
    return np.ascontiguousarray(rows).reshape(-1).view(np.uint8)


def changed_rows(old: np.ndarray, new: np.ndarray) -> np.ndarray:
    """Returns the positions at which rows differ in any bit.

    Args:
      old: array of shape [m, ...].
      new: array of the same shape and dtype.

    Returns:
      int array, ascending.

    Example:
      >>> changed_rows(np.array([[0.0], [np.nan], [1.0]]), np.array([[-0.0], [np.nan], [1.0]]))
      array([0])
    """
    num_rows = len(old)
    old, new = as_bytes(old), as_bytes(new)
    # By eight bytes at a time, which nearly always settles it.
    if np.array_equal(_words(old), _words(new)):
        return np.zeros(0, np.int64)
    return np.flatnonzero((old != new).reshape(num_rows, -1).any(axis=1))


def largest_difference(old: np.ndarray, new: np.ndarray) -> float:
    """Returns the largest absolute difference of two numbers at the same place.

    Args:
      old: array of floats.
      new: array of the same shape and dtype.

    Returns:
      float; 0 if they compare as equal (zeros of both signs, NaNs of any payload), infinity where
      one of the two is not finite.
    """
    # The casts of signalling NaNs would warn.
    with np.errstate(all="ignore"):
        old = as_numbers(old).astype(np.float64)
        new = as_numbers(new).astype(np.float64)
        differ = (old != new) & ~(np.isnan(old) & np.isnan(new))
        differences = np.abs(new - old)[differ]
    differences[np.isnan(differences)] = np.inf
    return float(differences.max()) if differences.size else 0.0


def _words(data):
    return data.view(np.uint64) if data.size % 8 == 0 else data

"""Rows for people to look at: read in pieces, and sampled where there are too many."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from tf1_embed.bfloat16 import as_numbers
from tf1_embed.rows import Rows, ids_at, ids_of, rows_in_chunk

if TYPE_CHECKING:
    from typing import Iterator

    from tf1_embed.types import Names, Table


def check_rows(argument: str, values: Table, new_rows: Rows, names: Names | None = None) -> None:
    """Checks that a table can be shown, and has the rows that are told apart.

    Args:
      argument: string, the argument that the error names.
      values: array of shape [num_rows, ...], or what is sliced by rows as one.
      new_rows: `Rows` of it.
      names: sequence of what has a name, one a row, or None.

    Raises:
      TypeError: if `new_rows` is no `Rows`, or the numbers are complex.
      ValueError: if `new_rows` or `names` are of another number of rows; if a row has no numbers.
    """
    if not isinstance(new_rows, Rows):
        raise TypeError(
            f"`new_rows` must be tf1_embed.Rows, such as Rows.range(start, stop, size), got "
            f"{type(new_rows).__name__}"
        )
    if new_rows.size != values.shape[0]:
        raise ValueError(
            f"`new_rows` must be of the {values.shape[0]} rows of `{argument}`, got rows of "
            f"{new_rows.size}"
        )
    if names is not None and len(names) != new_rows.size:
        raise ValueError(f"`names` must be {new_rows.size}, one a row, got {len(names)}")
    if np.iscomplexobj(values):
        raise TypeError(
            f"`{argument}` must be of real numbers, got {values.dtype}; give the real and the "
            f"imaginary part as two numbers"
        )
    if not row_width(values):
        raise ValueError(
            f"`{argument}` must have numbers in its rows, got shape {list(values.shape)}"
        )


def row_width(values: Table) -> int:
    """Returns how many numbers a row of a table has, an int."""
    return int(np.prod(values.shape[1:], dtype=np.int64))


def read_rows(values: Table, index: slice | np.ndarray) -> np.ndarray:
    """Returns rows of a table as float64 of shape [m, numbers in a row], whatever their shape."""
    rows = as_numbers(np.asarray(values[index]))
    # The cast of a signalling NaN would warn.
    with np.errstate(invalid="ignore"):
        return rows.reshape(len(rows), -1).astype(np.float64)


def read_in_chunks(values: Table, ids: np.ndarray) -> Iterator[tuple[int, int, np.ndarray]]:
    """Yields (start, stop, rows) for the rows of the given ids, in bounded memory."""
    step = rows_in_chunk(np.float64, values.shape[1:])
    for start in range(0, len(ids), step):
        chunk = ids[start : start + step]
        yield start, start + len(chunk), read_rows(values, chunk)


def sample_ids(rows: Rows, at_most: int) -> np.ndarray:
    """Returns the ids of rows, or of as many as are allowed, spread evenly.

    The same rows give the same sample. One id is drawn from each of `at_most` stretches of equal
    length, not every n-th: a table may have a period of its own.

    Args:
      rows: `Rows`.
      at_most: int.

    Returns:
      int64 array, ascending.

    Example:
      >>> sample_ids(Rows.of([1, 2, 6], size=8), at_most=5)
      array([1, 2, 6])
      >>> len(sample_ids(Rows.range(0, 10 ** 9, size=10 ** 9), at_most=5))
      5
    """
    if rows.count <= at_most:
        return rows.ids()
    edges = np.arange(at_most + 1) * rows.count // at_most
    lengths = np.diff(edges)
    drawn = np.random.RandomState(0).random_sample(at_most)
    positions = edges[:-1] + (drawn * lengths).astype(np.int64)
    return ids_at(rows, positions)


def finite_sample(values: Table, rows: Rows, at_most: int) -> tuple[np.ndarray, np.ndarray]:
    """Reads a sample of those rows that have neither an infinity nor a NaN.

    Returns:
      their ids, and the rows, float64 of shape [m, numbers in a row].
    """
    ids, sample = _finite(values, sample_ids(rows, at_most))
    if len(ids) < at_most < rows.count:
        # Others take the places of those that are left out.
        chunks = map(ids_of, rows.chunks(rows_in_chunk(np.float64, values.shape[1:])))
        finite_ids = np.concatenate([_finite(values, chunk)[0] for chunk in chunks])
        ids, sample = _finite(values, sample_ids(Rows.of(finite_ids, rows.size), at_most))
    return ids, sample


def _finite(values, ids):
    sample = np.empty([len(ids), row_width(values)])
    for start, stop, chunk in read_in_chunks(values, ids):
        sample[start:stop] = chunk
    is_finite = np.isfinite(sample).all(axis=1)
    return (ids, sample) if is_finite.all() else (ids[is_finite], sample[is_finite])


def counted(count: int, of: int, what: str) -> str:
    """Returns "3 old rows" of "old row", or "3 of 8 old rows" if those are not all."""
    plural = what if of == 1 else f"{what}s"
    return f"{count:,} {plural}" if count == of else f"{count:,} of {of:,} {plural}"

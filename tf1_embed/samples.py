"""Rows for people to look at: read in pieces, and sampled where there are too many."""

import numpy as np

from tf1_embed.chunks import rows_in_chunk
from tf1_embed.rows import Rows


def check_rows(argument, values, new_rows):
    """Checks that a table has the rows that are told apart.

    Args:
      argument: string, the argument that the error names.
      values: array of shape [num_rows, ...], or what is sliced by rows as one.
      new_rows: `Rows` of it.

    Raises:
      TypeError: if `new_rows` is no `Rows`.
      ValueError: if they are of another number of rows.
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


def read_rows(values, index):
    """Returns rows of a table as float64 of shape [m, numbers in a row], whatever their shape."""
    rows = np.asarray(values[index])
    # The cast of a signalling NaN would warn.
    with np.errstate(invalid="ignore"):
        return rows.reshape(len(rows), -1).astype(np.float64)


def read_in_chunks(values, ids):
    """Yields (start, stop, rows) for the rows of the given ids, in bounded memory."""
    step = rows_in_chunk(np.float64, values.shape[1:])
    for start in range(0, len(ids), step):
        chunk = ids[start : start + step]
        yield start, start + len(chunk), read_rows(values, chunk)


def sample_ids(rows, at_most):
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


def ids_at(rows, positions):
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
    starts, stops = np.array(rows.runs(), np.int64).T
    firsts = np.cumsum(stops - starts) - (stops - starts)
    run = np.searchsorted(firsts, positions, side="right") - 1
    return starts[run] + positions - firsts[run]


def finite_sample(values, rows, at_most):
    """Reads a sample of rows, without those that have an infinity or a NaN.

    Returns:
      the ids that are left, and their rows, float64 of shape [m, numbers in a row].
    """
    ids = sample_ids(rows, at_most)
    sample = np.empty([len(ids), int(np.prod(values.shape[1:], dtype=np.int64))])
    for start, stop, chunk in read_in_chunks(values, ids):
        sample[start:stop] = chunk
    is_finite = np.isfinite(sample).all(axis=1)
    return ids[is_finite], sample[is_finite]


def counted(count, of, what):
    """Returns "3 old rows", or "3 of 8 old rows" if those are not all."""
    return f"{count:,} {what}" if count == of else f"{count:,} of {of:,} {what}"

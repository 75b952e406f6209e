"""Facts, which are queries and the rows that answer them: their checks, and their partitions."""

from __future__ import annotations

from typing import Any, Iterator

import numpy as np

# Scores that are held at one time, of queries against rows.
CHUNK_SCORES = 1 << 22


def check_facts(
    dim: int, queries: Any, ids: Any, targets: Any, offsets: Any
) -> tuple[np.ndarray, np.ndarray, np.ndarray | None, np.ndarray]:
    """Returns facts as arrays: queries, ids, targets or None, and offsets.

    Raises:
      ValueError: if they do not fit together, or are not finite; the error names the argument.
    """
    queries, ids = np.asarray(queries), np.asarray(ids)
    if queries.dtype.kind != "f":
        queries = queries.astype(np.float64)
    if queries.ndim != 2 or queries.shape[1] != dim:
        raise ValueError(
            f"`queries` must be floats of shape [batch, {dim}], as wide as the rows; got shape "
            f"{list(queries.shape)}"
        )
    if ids.shape != (len(queries),) or (ids.size and ids.dtype.kind not in "iu"):
        raise ValueError(
            f"`ids` must be ints of shape [{len(queries)}], one for each query; got {ids.dtype} of "
            f"shape {list(ids.shape)}"
        )
    named = {"queries": queries}
    if targets is not None:
        named["targets"] = targets = np.asarray(targets, np.float64)
    named["offsets"] = offsets = (
        np.zeros(len(queries)) if offsets is None else np.asarray(offsets, np.float64)
    )
    for name, values in named.items():
        if name != "queries" and values.shape != (len(queries),):
            raise ValueError(
                f"`{name}` must be floats of shape [{len(queries)}], one for each query; got shape "
                f"{list(values.shape)}"
            )
        if not np.isfinite(values).all():
            raise ValueError(f"`{name}` hold NaN or infinity")
    return queries, ids.astype(np.int64), targets, offsets


def log_partitions(queries: np.ndarray, rows: Any) -> np.ndarray:
    """Returns the logarithm of the sum over all rows of exp(query · row), chunk by chunk.

    Args:
      queries: floats `[num_queries, dim]`.
      rows: floats `[num_rows, dim]`, an array or a memory map.

    Returns:
      float64 `[num_queries]`.
    """
    # In the rows' own precision: as the model's softmax is.
    queries = np.asarray(queries).astype(rows.dtype, copy=False)
    total = np.full(len(queries), -np.inf)
    step = max(1, CHUNK_SCORES // max(1, len(queries)))
    for start in range(0, rows.shape[0], step):
        scores = queries @ rows[start : start + step].T
        largest = scores.max(axis=1, keepdims=True)
        part = np.log(np.exp(scores - largest).sum(axis=1)) + largest[:, 0]
        total = np.logaddexp(total, part)
    return total


def parts(count: int, width: int) -> Iterator[slice]:
    """Yields slices of `count` rows of `width` numbers, each a chunk to be held in memory."""
    step = max(1, CHUNK_SCORES // width)
    for start in range(0, count, step):
        yield slice(start, min(start + step, count))

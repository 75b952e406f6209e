"""Gathers the rows of a file into chunks of bounded size."""

import numpy as np


def in_chunks(rows, num_rows, dim, chunk_bytes):
    """Yields (tokens, vectors): a list of m strings, a float32 array of shape [m, dim].

    Args:
      rows: iterable of (token, vector), a string and `dim` floats. It has `num_rows` of them, or
        raises an error.
      num_rows: int.
      dim: int.
      chunk_bytes: int, the bytes of the vectors of a chunk, which has one row at least.

    Example:
      >>> for tokens, vectors in in_chunks(zip("abc", [[0], [1], [2]]), 3, 1, chunk_bytes=8):
      ...     print(tokens, vectors.tolist())
      ['a', 'b'] [[0.0], [1.0]]
      ['c'] [[2.0]]
    """
    chunk_rows = max(1, chunk_bytes // (4 * dim))
    tokens = []
    for row, (token, vector) in enumerate(rows):
        if not tokens:
            vectors = np.empty([min(chunk_rows, num_rows - row), dim], np.float32)
        vectors[len(tokens)] = vector
        tokens.append(token)
        if len(tokens) == len(vectors):
            yield tokens, vectors
            tokens = []

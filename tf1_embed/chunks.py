"""Tables in pieces: how many rows are read at one time, so that memory stays bounded."""

import numpy as np

CHUNK_BYTES = 4 << 20


def rows_in_chunk(dtype, row_shape):
    """Returns how many rows of a table are read at one time, an int.

    Args:
      dtype: `np.dtype`, or what makes one.
      row_shape: sequence of ints, the shape of a row.
    """
    # An id takes 8 bytes, whatever its row takes.
    row_bytes = int(np.prod(row_shape, dtype=np.int64)) * np.dtype(dtype).itemsize
    return max(1, CHUNK_BYTES // max(row_bytes, 8))


def ids_of(index):
    """Returns the ids of an index that `Rows.chunks` yields, an int64 array."""
    return np.arange(index.start, index.stop) if isinstance(index, slice) else index

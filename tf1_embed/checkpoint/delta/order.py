"""The order of old rows in a grown table, in few bytes: what follows its old neighbour costs none.

A vocabulary that is sorted anew keeps most tokens behind one another. So what is kept of each old
id is how far it is from the one after the id before it, which is 0 for most, and the bytes of these
numbers, the lowest of all first, are compressed.
"""

from __future__ import annotations

import zlib

import numpy as np

# What a byte unpacks to at most; source: https://zlib.net/zlib_tech.html, "1032:1".
_MOST_PER_BYTE = 1032


def encode_order(order: np.ndarray, num_old_rows: int) -> np.ndarray:
    """Returns the bytes that stand for an order.

    Args:
      order: int64 array of shape [m], old ids, each at most once.
      num_old_rows: int, how many old ids there are.

    Returns:
      uint8 array.

    Example:
      >>> order = np.roll(np.arange(100000), 1000)
      >>> encode_order(order, 100000).size < 1000
      True
      >>> np.array_equal(decode_order(encode_order(order, 100000), 100000, 100000), order)
      True
    """
    steps = np.diff(order, prepend=-1) - 1
    # Modulo the number of ids, so that none is negative.
    planes = (steps % num_old_rows).astype("<i8").view(np.uint8).reshape(-1, 8).T
    return np.frombuffer(zlib.compress(planes.tobytes()), np.uint8)


def decode_order(content: np.ndarray, count: int, num_old_rows: int) -> np.ndarray:
    """Returns the order that bytes stand for.

    Args:
      content: uint8 array, of which nothing is believed.
      count: int, how many ids it must have.
      num_old_rows: int, how many old ids there are.

    Returns:
      int64 array of shape [count].

    Raises:
      ValueError: if the bytes are no such order.
    """
    unpacked = zlib.decompressobj()
    if 8 * count > _MOST_PER_BYTE * content.size:
        raise ValueError(f"it must be of {count} rows")
    try:
        # No more than what is asked for, whatever the bytes unpack to.
        planes = unpacked.decompress(content.tobytes(), 8 * count + 1)
    except zlib.error as error:
        raise ValueError(str(error)) from error
    if len(planes) != 8 * count or not unpacked.eof:
        raise ValueError(f"it must be of {count} rows")
    steps = np.ascontiguousarray(np.frombuffer(planes, np.uint8).reshape(8, count).T)
    steps = steps.view("<i8").reshape(-1).astype(np.int64)
    if count and not 0 <= steps.min() <= steps.max() < num_old_rows:
        raise ValueError(f"it must be of ids below {num_old_rows}")
    order = (np.cumsum(steps + 1) - 1) % num_old_rows
    if np.unique(order).size < count:
        raise ValueError("it must have each id once")
    return order

"""Reads `.npy` files, NumPy's own format, chunk by chunk."""

from __future__ import annotations

import os
import re
import struct
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from tf1_embed.types import PathLike

MAGIC = b"\x93NUMPY"
# Not read by np.load, which evaluates the header as Python and lets NumPy's own errors out.
# Python 2 wrote the L of its long ints.
_HEADER = re.compile(
    rb"\{'descr': '([<>|](?:f[248]|[iu][1248]|b1|c8|c16))', 'fortran_order': False, "
    rb"'shape': \(((?:[0-9]{1,18}L?,? ?)*)\),? ?\} *\n?\Z"
)
# NumPy pads its headers to a multiple of 64.
_MAX_HEADER_BYTES = 1 << 12


def open_npy(path: PathLike) -> np.memmap:
    """Opens a `.npy` file of numbers, of any rank; reads its header alone.

    Args:
      path: string.

    Returns:
      `np.memmap`, read-only, for `read_rows` or, if it is small, to be used as it is.

    Raises:
      FileNotFoundError: if there is no such file.
      ValueError: if it is no `.npy` file of numbers, row by row, or has more or fewer bytes than
        its header says.

    Example:
      >>> import tempfile
      >>> path = os.path.join(tempfile.mkdtemp(), "rows.npy")
      >>> np.save(path, np.zeros([3, 2]))
      >>> open_npy(path).shape
      (3, 2)
    """
    path = os.fspath(path)
    with open(path, "rb") as file:
        prefix = file.read(12)
        if not prefix.startswith(MAGIC) or len(prefix) < 12:
            what = "an archive, which" if prefix.startswith(b"PK") else "one that"
            raise ValueError(f"{path}: expected a .npy file, got {what} starts with {prefix!r}")
        # Two bytes of version; the length takes two bytes in version 1, four in later ones.
        size, offset = (2, 10) if prefix[6] == 1 else (4, 12)
        (length,) = struct.unpack("<H" if size == 2 else "<I", prefix[8 : 8 + size])
        file.seek(offset)
        text = file.read(min(length, _MAX_HEADER_BYTES))
    if len(text) < length:
        raise ValueError(
            f"{path}: expected a header of {length} bytes, of {_MAX_HEADER_BYTES} at most, got "
            f"{len(text)}; the file is damaged or truncated"
        )
    header = _HEADER.match(text)
    if header is None:
        raise ValueError(
            f"{path}: expected a .npy file of numbers, stored row by row, got {text[:120]!r}. Save "
            f"it again with np.save(path, np.ascontiguousarray(array))"
        )
    dtype = np.dtype(header.group(1).decode())
    shape = tuple(map(int, re.findall(rb"[0-9]+", header.group(2))))
    num_bytes = dtype.itemsize
    for dim in shape:
        # In Python's ints, which do not overflow.
        num_bytes *= dim
    expected, got = offset + length + num_bytes, os.path.getsize(path)
    if got != expected:
        raise ValueError(
            f"{path}: expected {expected} bytes for its shape {list(shape)}, got {got}"
        )
    return np.memmap(path, dtype, "r", offset + length, shape)


def read_rows(values: np.memmap, start: int, stop: int) -> np.ndarray:
    """Reads rows of an open `.npy` file. Pages that are mapped would be memory of this process.

    Args:
      values: what `open_npy` returned.
      start: int, the first row.
      stop: int, one past the last row.

    Returns:
      array of shape [stop - start, ...], in the processor's byte order.

    Raises:
      ValueError: if the file has become shorter.
    """
    shape = (stop - start,) + values.shape[1:]
    count = int(np.prod(shape, dtype=np.int64))
    with open(str(values.filename), "rb") as file:
        file.seek(values.offset + start * count // max(1, stop - start) * values.itemsize)
        flat = np.fromfile(file, values.dtype, count)
    if flat.size != count:
        raise ValueError(f"{values.filename} was cut short while it was read")
    return flat.reshape(shape).astype(values.dtype.newbyteorder("="), copy=False)

"""Tables as `.npy` files, NumPy's own format: a header and the values, without tokens."""

import os
import re
import struct

import numpy as np

from tf1_embed.bfloat16 import name_of

MAGIC = b"\x93NUMPY"
# Not read by np.load, which evaluates the header as Python and lets NumPy's own errors out.
_HEADER = re.compile(
    rb"\{'descr': '([<>]f[248])', 'fortran_order': False, "
    rb"'shape': \(([0-9]{1,18}), ([0-9]{1,18})\), \} *\n\Z"
)
# NumPy pads its headers to a multiple of 64.
_MAX_HEADER_BYTES = 1 << 12


class NpyVectors:
    """The rows of a `.npy` file.

    Attributes:
      num_rows: int.
      dim: int.
      dtype: `np.dtype`, float16, float32 or float64.
    """

    def __init__(self, path, chunk_bytes):
        """Reads the header."""
        self._path = path
        self._stored, self.num_rows, self.dim, self._offset = _read_header(path)
        self.dtype = self._stored.newbyteorder("=")
        self._chunk_rows = max(1, chunk_bytes // (self.dim * self.dtype.itemsize))

    def chunks(self):
        """Yields (None, rows): an array of shape [m, dim] and of `dtype`.

        Raises:
          ValueError: if the file has become shorter.
        """
        with open(self._path, "rb") as file:
            file.seek(self._offset)
            for start in range(0, self.num_rows, self._chunk_rows):
                shape = min(self._chunk_rows, self.num_rows - start), self.dim
                rows = np.fromfile(file, self._stored, shape[0] * shape[1])
                if rows.size != shape[0] * shape[1]:
                    raise ValueError(f"{self._path} was cut short while it was read")
                yield None, rows.reshape(shape).astype(self.dtype, copy=False)


def write_npy(file, num_rows, dim, chunks):
    """Writes rows; see `write_word_vectors`."""
    for number, (_, rows) in enumerate(chunks):
        if rows.dtype.kind != "f":
            raise TypeError(f"`.npy` files do not know {name_of(rows.dtype)}; write another format")
        if number == 0:
            # int(): NumPy 2 would write "np.int64(3)".
            shape = int(num_rows), int(dim)
            header = {"descr": rows.dtype.str, "fortran_order": False, "shape": shape}
            np.lib.format.write_array_header_1_0(file, header)
        file.write(rows.tobytes())


def _read_header(path):
    """Returns (dtype as stored, num_rows, dim, offset of the values)."""
    with open(path, "rb") as file:
        prefix = file.read(12)
        if not prefix.startswith(MAGIC) or len(prefix) < 12:
            raise ValueError(f"{path}: expected a .npy file, got one that starts with {prefix!r}")
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
            f"{path}: expected a .npy file of floats (float16, float32, float64) of shape "
            f"[num_rows, dim], row by row, got {text[:120]!r}. Save it again with np.save(path, "
            f"np.ascontiguousarray(array))"
        )
    dtype = np.dtype(header.group(1).decode())
    num_rows, dim = map(int, header.groups()[1:])
    expected = offset + length + num_rows * dim * dtype.itemsize
    if num_rows < 1 or dim < 1 or os.path.getsize(path) != expected:
        raise ValueError(
            f"{path}: expected {expected} bytes for its shape [{num_rows}, {dim}], none of which "
            f"may be 0, got {os.path.getsize(path)}"
        )
    return dtype, num_rows, dim, offset + length

"""Tables as `.npy` files, NumPy's own format: a header and the values, without tokens."""

from __future__ import annotations

from typing import TYPE_CHECKING, BinaryIO, Iterable, Iterator

import numpy as np

from tf1_embed.bfloat16 import name_of
from tf1_embed.npy import open_npy, read_rows
from tf1_embed.word_vectors.source import is_compressed

if TYPE_CHECKING:
    from typing import Any

    from tf1_embed.types import PathLike


class NpyVectors:
    """The rows of a `.npy` file.

    Attributes:
      num_rows: int.
      dim: int.
      dtype: `np.dtype`, float16, float32 or float64.
      num_left_out: int, 0, since rows without tokens do not repeat each other.
    """

    num_rows: int
    dim: int
    dtype: np.dtype
    num_left_out: int = 0

    def __init__(self, path: PathLike, chunk_bytes: int, how: Any = None) -> None:
        """Reads the header; `how` is for tokens, of which there are none."""
        if is_compressed(path):
            raise ValueError(
                f"{path}: a .npy file compressed by gzip is not read; unpack it (gunzip)"
            )
        self._values = open_npy(path)
        shape = self._values.shape
        if self._values.dtype.kind != "f" or len(shape) != 2 or 0 in shape:
            raise ValueError(
                f"{path}: expected a .npy file of floats (float16, float32, float64) of shape "
                f"[num_rows, dim], none of which may be 0, got {self._values.dtype} of shape "
                f"{list(shape)}"
            )
        self.num_rows, self.dim = shape
        self.dtype = self._values.dtype.newbyteorder("=")
        self._chunk_rows = max(1, chunk_bytes // (self.dim * self.dtype.itemsize))

    def chunks(self) -> Iterator[tuple[None, np.ndarray]]:
        """Yields (None, rows): an array of shape [m, dim] and of `dtype`.

        Raises:
          ValueError: if the file has become shorter.
        """
        for start in range(0, self.num_rows, self._chunk_rows):
            stop = min(start + self._chunk_rows, self.num_rows)
            yield None, read_rows(self._values, start, stop)


def write_npy(
    file: BinaryIO, num_rows: int, dim: int, chunks: Iterable[tuple[object, np.ndarray]]
) -> None:
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

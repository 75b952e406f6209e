"""The first line of word2vec's formats: the number of rows and the dim."""

from __future__ import annotations

import re
from typing import Callable

from tf1_embed.word_vectors.source import size_of

# Beyond any table of embeddings; a text line of so many numbers is still read in one go.
MAX_DIM = 1 << 17

# Some programs fill it up with spaces.
HEADER = re.compile(rb"([0-9]{1,18}) ([0-9]{1,18}) *\r?\Z")


def parse_header(path: str, line: bytes, row_bytes: Callable[[int], int]) -> tuple[int, int]:
    """Returns (num_rows, dim) of a header, once the file is known to have room for them.

    Args:
      path: string.
      line: bytes, without LF.
      row_bytes: function from the dim to the bytes of the smallest possible row.

    Raises:
      ValueError: if it is no header, or promises more than the file can hold.
    """
    header = HEADER.match(line)
    num_rows, dim = map(int, header.groups()) if header else (0, 0)
    if num_rows < 1 or not 1 <= dim <= MAX_DIM:
        raise ValueError(
            f"{path}, line 1: expected a header of word2vec: the number of rows, a space, the dim "
            f"(1 to {MAX_DIM}); got {line[:60]!r}"
        )
    # The only numbers in such a file that decide how much is allocated.
    needed, size = len(line) + 1 + num_rows * row_bytes(dim), size_of(path)
    if size is not None and size < needed:
        raise ValueError(
            f"{path}, line 1: expected {num_rows} rows of dim {dim}, which need {needed} bytes or "
            f"more, got a file of {size} bytes; the header is wrong, or the file truncated"
        )
    return num_rows, dim

"""The rows of a file: which of them count, and their chunks of bounded size."""

from __future__ import annotations

from typing import Iterable, Iterator, NamedTuple

import numpy as np

from tf1_embed.vocabulary.tokens import Remedies, Tokens

_REMEDIES = Remedies(
    "Say which encoding it is with `encoding` (--encoding), or what becomes of such bytes with "
    "`errors` (--errors replace)",
    "Every token must differ; or say which row counts with `duplicates` (--duplicates first)",
)
DUPLICATES = ("first", "last", "error")


class HowTokens(NamedTuple):
    """How the tokens of a file of vectors are read.

    Attributes:
      encoding: that of the tokens.
      errors: what becomes of other bytes, as for `bytes.decode`.
      duplicates: which row of a token counts, one of `DUPLICATES`.
    """

    encoding: str = "utf-8"
    errors: str = "strict"
    duplicates: str = "error"

    def tokens(self, path: str, unit: str) -> Tokens:
        """Returns what gathers the tokens of a file."""
        return Tokens(path, unit, self.encoding, self.errors, _REMEDIES)

    def left_out(self, path: str, unit: str, rows: Iterable[tuple]) -> frozenset[int]:
        """Returns the numbers of the rows that do not count, from 0.

        Args:
          path: the file.
          unit: what its tokens are counted in.
          rows: (number, token, ...) of each row, an int and bytes.
        """
        if self.duplicates == "error":
            return frozenset()
        tokens = self.tokens(path, unit)
        row_of: dict[str, int] = {}
        left_out: set[int] = set()
        for row, (number, token, *_) in enumerate(rows):
            text = tokens.decode(token, number)
            if text in row_of:
                left_out.add(row_of[text] if self.duplicates == "last" else row)
            if text not in row_of or self.duplicates == "last":
                row_of[text] = row
        return frozenset(left_out)


AS_USUAL = HowTokens()


def in_chunks(
    rows: Iterable[tuple[str, np.ndarray]], num_rows: int, dim: int, chunk_bytes: int
) -> Iterator[tuple[list[str], np.ndarray]]:
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
    tokens: list[str] = []
    for row, (token, vector) in enumerate(rows):
        if not tokens:
            vectors = np.empty([min(chunk_rows, num_rows - row), dim], np.float32)
        vectors[len(tokens)] = vector
        tokens.append(token)
        if len(tokens) == len(vectors):
            yield tokens, vectors
            tokens = []

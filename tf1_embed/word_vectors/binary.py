"""Word vectors in word2vec's binary format.

    number of rows, space, dim, LF
    token, space, dim floats (float32, little-endian), LF
    token, space, ...

Some programs write no LF after the floats.
"""

from __future__ import annotations

from typing import Any, BinaryIO, Container, Iterable, Iterator

import numpy as np

from tf1_embed.vocabulary.tokens import MAX_TOKEN_BYTES
from tf1_embed.word_vectors.chunks import AS_USUAL, HowTokens, in_chunks
from tf1_embed.word_vectors.header import parse_header
from tf1_embed.word_vectors.source import open_source

_FLOAT = np.dtype("<f4")
# Two numbers, and room for the spaces that some fill it up with.
_MAX_HEADER_BYTES = 100


class BinaryVectors:
    """The word vectors of a binary file of word2vec.

    Attributes:
      num_rows: int.
      dim: int.
      dtype: `np.dtype`, float32.
      num_left_out: int, the number of rows whose tokens the file has again.
    """

    num_rows: int
    dim: int
    num_left_out: int
    dtype: np.dtype = np.dtype(np.float32)

    def __init__(self, path: str, chunk_bytes: int, how: HowTokens = AS_USUAL):
        """Reads the header, and the tokens if some of them do not count."""
        self._path, self._how = path, how
        self._chunk_bytes = chunk_bytes
        with open_source(path) as file:
            line = file.readline(_MAX_HEADER_BYTES)
        # A letter, a space and the floats.
        self._num_stored, self.dim = parse_header(path, line.rstrip(b"\n"), lambda dim: 2 + 4 * dim)
        self._left_out = how.left_out(path, "row", self._stored_rows())
        self.num_left_out = len(self._left_out)
        self.num_rows = self._num_stored - self.num_left_out

    def chunks(self) -> Iterator[tuple[list[str], np.ndarray]]:
        """Yields (tokens, vectors): a list of m strings, a float32 array of shape [m, dim].

        Raises:
          ValueError: at the first row that is wrong.
        """
        return in_chunks(self.rows(), self.num_rows, self.dim, self._chunk_bytes)

    def rows(self, wanted: Container[str] | None = None) -> Iterator[tuple[str, np.ndarray]]:
        """Yields (token, vector), a string and float32 [dim], of all rows or of wanted tokens.

        Raises:
          ValueError: at the first row that is wrong.
        """
        tokens = self._how.tokens(self._path, "row")
        for row, token, floats in self._stored_rows():
            if row in self._left_out:
                continue
            if wanted is None or tokens.decode(token, row) in wanted:
                yield tokens.add(token, row), np.frombuffer(floats, _FLOAT)

    def _stored_rows(self):
        """Yields (row, token, floats): int from 0, bytes, bytes."""
        with open_source(self._path) as file:
            file.readline(_MAX_HEADER_BYTES)
            for row in range(self._num_stored):
                token = self._read_token(file, row)
                floats = file.read(self.dim * _FLOAT.itemsize)
                if len(floats) < self.dim * _FLOAT.itemsize:
                    raise ValueError(
                        f"{self._path}, row {row}: expected {self.dim} floats, got {len(floats)} "
                        f"bytes; the header is wrong, or the file truncated"
                    )
                yield row, token, floats
            if file.read(2) not in (b"", b"\n"):
                raise ValueError(
                    f"{self._path}: expected {self._num_stored} rows of dim {self.dim}, got more; "
                    f"the header is wrong, or a word has a space, which ends it in the format "
                    f"word2vec-bin"
                )

    def _read_token(self, file, row):
        """Reads a token and the space after it; returns the token, bytes."""
        token, byte = bytearray(), file.read(1)
        if byte == b"\n":
            byte = file.read(1)
        while byte not in (b" ", b"\n", b"") and len(token) <= MAX_TOKEN_BYTES:
            token += byte
            byte = file.read(1)
        if byte != b" ":
            raise ValueError(
                f"{self._path}, row {row}: expected a token and a space, got {bytes(token[:60])!r} "
                f"and no space; the header is wrong, the file damaged or truncated, or a word has "
                f"a space, which ends it in the format word2vec-bin"
            )
        return bytes(token)


def write_binary(
    file: BinaryIO, num_rows: int, dim: int, chunks: Iterable[tuple[Any, np.ndarray]]
) -> None:
    """Writes word vectors; see `write_word_vectors`."""
    file.write(b"%d %d\n" % (num_rows, dim))
    for tokens, vectors in chunks:
        for token, vector in zip(tokens, vectors.astype(_FLOAT, copy=False)):
            file.write(b"%s %s\n" % (token, vector.tobytes()))

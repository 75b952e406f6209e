"""Word vectors in word2vec's binary format.

    number of rows, space, dim, LF
    token, space, dim floats (float32, little-endian), LF
    token, space, ...

Some programs write no LF after the floats.
"""

import numpy as np

from tf1_embed.vocabulary.tokens import MAX_TOKEN_BYTES, Tokens
from tf1_embed.word_vectors.chunks import in_chunks
from tf1_embed.word_vectors.header import parse_header

_FLOAT = np.dtype("<f4")
# Two numbers, and room for the spaces that some fill it up with.
_MAX_HEADER_BYTES = 100


class BinaryVectors:
    """The word vectors of a binary file of word2vec.

    Attributes:
      num_rows: int.
      dim: int.
      dtype: `np.dtype`, float32.
    """

    dtype = np.dtype(np.float32)

    def __init__(self, path, chunk_bytes):
        """Reads the header."""
        self._path = path
        self._chunk_bytes = chunk_bytes
        with open(path, "rb") as file:
            line = file.readline(_MAX_HEADER_BYTES)
        # A letter, a space and the floats.
        self.num_rows, self.dim = parse_header(path, line.rstrip(b"\n"), lambda dim: 2 + 4 * dim)

    def chunks(self):
        """Yields (tokens, vectors): a list of m strings, a float32 array of shape [m, dim].

        Raises:
          ValueError: at the first row that is wrong.
        """
        return in_chunks(self._rows(), self.num_rows, self.dim, self._chunk_bytes)

    def _rows(self):
        tokens = Tokens(self._path, "row")
        with open(self._path, "rb") as file:
            file.readline(_MAX_HEADER_BYTES)
            for row in range(self.num_rows):
                token = tokens.add(self._read_token(file, row), row)
                floats = file.read(self.dim * _FLOAT.itemsize)
                if len(floats) < self.dim * _FLOAT.itemsize:
                    raise ValueError(
                        f"{self._path}, row {row}: expected {self.dim} floats, got {len(floats)} "
                        f"bytes; the header is wrong, or the file truncated"
                    )
                yield token, np.frombuffer(floats, _FLOAT)
            if file.read(2) not in (b"", b"\n"):
                raise ValueError(
                    f"{self._path}: expected {self.num_rows} rows of dim {self.dim}, got more; the "
                    f"header is wrong"
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
                f"and no space; the header is wrong, or the file damaged or truncated"
            )
        return bytes(token)


def write_binary(file, num_rows, dim, chunks):
    """Writes word vectors; see `write_word_vectors`."""
    file.write(b"%d %d\n" % (num_rows, dim))
    for tokens, vectors in chunks:
        for token, vector in zip(tokens, vectors.astype(_FLOAT, copy=False)):
            file.write(b"%s %s\n" % (token, vector.tobytes()))

"""Word vectors as text, of word2vec and of GloVe, which has no header.

    2 3                 the number of rows and the dim
    the 0.25 -1 0.5
    of 0.125 0 2e-3

Tokens with spaces are read and written, since GloVe's own files have some; other programs end a
token at its first space. A tab may stand for each space, if the first row has one.
"""

from __future__ import annotations

from typing import Any, BinaryIO, Container, Iterable, Iterator

import numpy as np

from tf1_embed.vocabulary.tokens import MAX_TOKEN_BYTES, read_lines
from tf1_embed.word_vectors.chunks import AS_USUAL, HowTokens, in_chunks
from tf1_embed.word_vectors.header import MAX_DIM, parse_header
from tf1_embed.word_vectors.source import open_source

# A double in full has 24 characters, and a space before it.
_MAX_LINE_BYTES = MAX_TOKEN_BYTES + 25 * MAX_DIM

_COUNT_BYTES = 1 << 20


class TextVectors:
    """The word vectors of a text file.

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

    def __init__(
        self,
        path: str,
        chunk_bytes: int,
        how: HowTokens = AS_USUAL,
        has_header: bool = False,
    ):
        """Reads the header, or counts the lines; the tokens as well if some do not count."""
        self._path, self._how = path, how
        self._chunk_bytes = chunk_bytes
        self._has_header = has_header
        lines = read_lines(path, _MAX_LINE_BYTES, open_source)
        _, line = next(lines, (1, b""))
        if has_header:
            # A letter, then `dim` times a space and a digit; the last row needs no line end.
            self._num_stored, self.dim = parse_header(path, line, lambda dim: 1 + 2 * dim)
            _, line = next(lines, (2, b""))
        lines.close()
        self._has_tabs = b"\t" in line
        if not has_header:
            self._num_stored = _count_lines(path)
            self.dim = self._with_spaces(line).count(b" ")
        if not 1 <= self.dim <= MAX_DIM:
            raise ValueError(
                f"{path}, line 1: expected a token and 1 to {MAX_DIM} numbers, each after one "
                f"space, got {line[:60]!r}"
            )
        self._left_out = how.left_out(path, "line", self._stored_rows())
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

        Numbers of other rows are not looked at.

        Raises:
          ValueError: at the first row that is wrong.
        """
        tokens = self._how.tokens(self._path, "line")
        for row, (number, token, fields) in enumerate(self._stored_rows()):
            if row in self._left_out:
                continue
            if wanted is None or tokens.decode(token, number) in wanted:
                vector = self._parse(number, fields)
                yield tokens.add(token, number), vector

    def _stored_rows(self):
        """Yields (number, token, fields): the line's number, bytes, and a list of bytes."""
        lines = read_lines(self._path, _MAX_LINE_BYTES, open_source)
        if self._has_header:
            next(lines)
        count = 0
        for number, line in lines:
            if count == self._num_stored:
                raise ValueError(
                    f"{self._path}, line {number}: expected {self._num_stored} rows, got more; the "
                    f"header is wrong"
                )
            # From the right, for tokens with spaces.
            token, *fields = self._with_spaces(line).rsplit(b" ", self.dim)
            yield number, token, fields
            count += 1
        if count < self._num_stored:
            raise ValueError(
                f"{self._path}: expected {self._num_stored} rows, got {count}; the header is "
                f"wrong, or the file truncated"
            )

    def _with_spaces(self, line):
        # word2vec ends its lines in a space.
        return (line.replace(b"\t", b" ") if self._has_tabs else line).rstrip(b" ")

    def _parse(self, number, fields):
        try:
            vector = _floats(fields)
            if len(vector) == self.dim:
                return vector
            got = f"{len(vector)} of them"
        except ValueError:
            got = next(repr(field[:60]) for field in fields if not _is_float(field))
        raise ValueError(
            f"{self._path}, line {number}: expected a token and {self.dim} float32 numbers, each "
            f"after one space, got {got}"
        )


def write_text(
    file: BinaryIO,
    num_rows: int,
    dim: int,
    chunks: Iterable[tuple[Any, np.ndarray]],
    has_header: bool,
) -> None:
    """Writes word vectors; see `write_word_vectors`."""
    if has_header:
        file.write(b"%d %d\n" % (num_rows, dim))
    # Nine digits, not the shortest that tell a float from its neighbours: most programs read a
    # double and round it, and 7.038531e-26 would come back as a neighbour.
    line = b"%s" + b" %.9g" * dim + b"\n"
    for tokens, vectors in chunks:
        for token, vector in zip(tokens, vectors):
            file.write(line % (token, *vector.tolist()))


def _floats(fields):
    """Returns a float32 vector; raises a ValueError for what is no number, or too large for one."""
    # float() is as fast as np.fromstring, which stops at a bad number and says nothing.
    numbers = list(map(float, fields))
    with np.errstate(over="ignore"):
        vector = np.array(numbers, np.float32)
    if np.isinf(vector).any() and not np.array_equal(np.isinf(vector), np.isinf(numbers)):
        raise ValueError
    return vector


def _is_float(field):
    try:
        return bool(len(_floats([field])))
    except ValueError:
        return False


def _count_lines(path):
    count, last = 0, b"\n"
    with open_source(path) as file:
        while True:
            block = file.read(_COUNT_BYTES)
            if not block:
                return count if last == b"\n" else count + 1
            count += block.count(b"\n")
            last = block[-1:]

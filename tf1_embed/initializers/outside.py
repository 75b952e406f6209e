"""New rows from vectors that were made elsewhere, found by their tokens."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any, NamedTuple, Sequence

import numpy as np

from tf1_embed.initializers.known import Knowledge, KnownRows
from tf1_embed.npy import MAGIC, open_npy
from tf1_embed.vocabulary import read_vocabulary
from tf1_embed.word_vectors import HowTokens, open_word_vectors

if TYPE_CHECKING:
    from tf1_embed.types import PathLike


def from_vectors(
    vectors: np.ndarray | PathLike,
    tokens: Sequence[str],
    vocabulary: Sequence[str] | PathLike | None = None,
    fallback: Any = None,
    format: str | None = None,
    encoding: str = "utf-8",
    errors: str = "strict",
    duplicates: str = "error",
) -> KnownRows:
    """Makes new rows of the vectors that their tokens have in a file, or in an array.

    They are taken as they are: of the table's dim, and in its space, such as those of another run
    that began with these old rows. For vectors of any other space there is `from_donor`.

    The file is read once, when the rows are made, line by line; of its vectors only those of the
    new rows are held, in float32.

    Args:
      vectors: string, the path of a file: word2vec's text (also fastText's `.vec`) or binary,
        GloVe, these also compressed by gzip, or `.npy`; or floats of shape [num_vectors, dim].
      tokens: list of strings, those of the new rows, in their order.
      vocabulary: for an array or `.npy`: list of its tokens, or the path of a file with one a line.
      fallback: one of `tf1_embed.initializers`, for new rows whose tokens have no vector; default:
        an error, if there are such.
      format: "word2vec", "word2vec-bin", "glove" or "npy"; default: what the file itself shows.
      encoding: string, that of the tokens in the file.
      errors: string, what becomes of bytes that are not of the encoding, as for `bytes.decode`.
      duplicates: "first" or "last", which row counts of a token that the file has more than once;
        or "error", if it is a token of new rows.

    Returns:
      `KnownRows`. It raises a ValueError, when the rows are made, if the vectors have another dim
      than the table, or the tokens are not as many as the new rows; if the file is damaged, or a
      vector holds NaN or infinity; if tokens lack vectors and there is no fallback.

    Raises:
      FileNotFoundError: if there is no such file.
      ValueError: if the file is of no known format; if `vocabulary` is missing, of another length
        than the vectors, or given for a file that has tokens; if a token is there twice.

    Example:
      >>> import numpy as np
      >>> from tf1_embed import initializers
      >>> found = initializers.from_vectors(
      ...     np.float32([[1, 2], [3, 4]]),
      ...     tokens=["b", "c"],
      ...     vocabulary=["a", "b"],
      ...     fallback=initializers.zeros(),
      ... )
      >>> found.coverage()
      Coverage(num_known=1, lacking=('c',), fallback='constant(0.0)')
    """
    check_once("tokens", tokens)
    tokens = list(tokens)
    outside = Outside(vectors, vocabulary, format, HowTokens(encoding, errors, duplicates))

    def check(shape, old_rows):
        if shape[1:] != [outside.dim]:
            what = f"rows of shape {shape[1:]}" if shape[1:] else "single numbers"
            raise ValueError(
                f"from_vectors: {outside.name} has vectors of dim {outside.dim}, but "
                f"{old_rows.name!r} has {what}. Give another file, or another initializer for "
                f"this variable (--initializer NAME=INIT); from vectors of another space, "
                f"from_donor (donor:FILE) makes rows of any shape"
            )

    def know():
        is_known, found = outside.find(tokens)

        def fill(rows, total):
            rows[is_known] = found

        return Knowledge(is_known, lambda shape, old_rows: (None, fill), tokens)

    description = f"from_vectors({outside.name}"
    return KnownRows(know, description, fallback, needs_old_rows=False, check=check)


class Outside:
    """Vectors that have tokens, in a file or in an array.

    Attributes:
      name: string, what they are called.
      dim: int.
    """

    name: str
    dim: int

    def __init__(
        self,
        vectors: np.ndarray | PathLike,
        vocabulary: Sequence[str] | PathLike | None,
        format: str | None,
        how: HowTokens,
    ) -> None:
        """Takes the arguments of `from_vectors`; reads the file's header and the vocabulary."""
        self._values: Any = None
        self._reader: Any = None
        if not isinstance(vectors, (str, os.PathLike)):
            self.name, self._values = "the array", np.asanyarray(vectors)
        elif format == "npy" or (format is None and _is_npy(vectors)):
            self.name, self._values = os.fspath(vectors), open_npy(vectors)
        else:
            self.name = os.fspath(vectors)
            self._reader = open_word_vectors(vectors, format, how=how)
            self.dim = self._reader.dim
            if vocabulary is not None:
                raise ValueError(
                    f"`vocabulary` (--vectors-vocab) is for a .npy file or an array, but "
                    f"{self.name} has tokens itself"
                )
            return
        if self._values.ndim != 2 or self._values.dtype.kind != "f":
            raise ValueError(
                f"`vectors` must be floats of shape [num_vectors, dim], but {self.name} has "
                f"{self._values.dtype} of shape {list(self._values.shape)}"
            )
        if vocabulary is None:
            raise ValueError(
                f"{self.name} has no tokens: give `vocabulary` (--vectors-vocab), one for each row"
            )
        if isinstance(vocabulary, (str, os.PathLike)):
            vocabulary = read_vocabulary(vocabulary)
        num_rows, self.dim = self._values.shape
        if len(vocabulary) != num_rows:
            raise ValueError(
                f"`vocabulary` (--vectors-vocab) must have a token for each of the {num_rows} "
                f"vectors of {self.name}, got {len(vocabulary)}"
            )
        check_once("vocabulary", vocabulary)
        self._row_of = {token: row for row, token in enumerate(vocabulary)}

    def find(self, tokens: Sequence[str]) -> Found:
        """Returns the vectors of tokens, `Found`; reads the whole of a file that has tokens.

        Raises:
          ValueError: if the file is damaged, or such a vector holds NaN or infinity.
        """
        if self._reader is None:
            places = [self._row_of.get(token, -1) for token in tokens]
            is_known = np.array(places, np.int64) >= 0
            rows = np.array(self._values[[place for place in places if place >= 0]])
        else:
            wanted = dict.fromkeys(tokens)
            found = {token: vector.copy() for token, vector in self._reader.rows(wanted)}
            is_known = np.array([token in found for token in tokens], bool)
            rows = np.array([found[token] for token in tokens if token in found], np.float32)
            rows = rows.reshape([-1, self.dim])
        if not np.isfinite(rows).all():
            row = np.flatnonzero(is_known)[~np.isfinite(rows).all(axis=1)][0]
            raise ValueError(f"{self.name}: the vector of {tokens[row]!r} holds NaN or infinity")
        return Found(is_known, rows.astype(rows.dtype.newbyteorder("="), copy=False))


class Found(NamedTuple):
    """The vectors of tokens.

    Attributes:
      is_known: bool array, whether each token has one.
      rows: float array of shape [number of these, dim], in the order of the tokens.
    """

    is_known: np.ndarray
    rows: np.ndarray


def check_once(argument: str, tokens: Sequence[str]) -> None:
    """Raises a ValueError if a token is there twice, or `tokens` is a string."""
    if isinstance(tokens, str):
        raise ValueError(f"`{argument}` must be a list of tokens, got the string {tokens!r}")
    seen: set[str] = set()
    for token in tokens:
        if token in seen:
            raise ValueError(f"`{argument}` must have each token once, got {token!r} again")
        seen.add(token)


def _is_npy(path):
    with open(path, "rb") as file:
        return os.fspath(path).endswith(".npy") or file.read(len(MAGIC)) == MAGIC

"""Opens files of word vectors of any format, and guesses the format where it shows."""

from __future__ import annotations

import codecs
import functools
import os
import re
from typing import TYPE_CHECKING, Any, Callable

from tf1_embed.npy import MAGIC
from tf1_embed.rows import CHUNK_BYTES
from tf1_embed.word_vectors.binary import BinaryVectors
from tf1_embed.word_vectors.chunks import AS_USUAL, DUPLICATES, HowTokens
from tf1_embed.word_vectors.header import HEADER
from tf1_embed.word_vectors.npy import NpyVectors
from tf1_embed.word_vectors.source import open_source
from tf1_embed.word_vectors.text import TextVectors

if TYPE_CHECKING:
    from tf1_embed.types import PathLike

_READERS: dict[str, Callable[..., Any]] = {
    "word2vec": functools.partial(TextVectors, has_header=True),
    "word2vec-bin": BinaryVectors,
    "glove": functools.partial(TextVectors, has_header=False),
    "npy": NpyVectors,
}
FORMATS = tuple(_READERS)

# Enough for the first two lines of any usual file.
_GUESS_BYTES = 1 << 20


def open_word_vectors(
    path: PathLike,
    format: str | None = None,
    chunk_bytes: int = CHUNK_BYTES,
    how: HowTokens = AS_USUAL,
) -> TextVectors | BinaryVectors | NpyVectors:
    r"""Opens a file of word vectors, to be read in chunks; reads its header.

    A GloVe file has none: its lines are counted, and its first token must be without spaces. Later
    tokens in text may have some, since a line's last `dim` fields are its numbers. Text and binary
    files may be compressed by gzip.

    Args:
      path: string.
      format: "word2vec", "word2vec-bin", "glove" or "npy"; default: what the file itself shows.
      chunk_bytes: int, the bytes of vectors in a chunk, which has one row at least.
      how: `HowTokens`, their encoding, and which row counts of a token that is there twice.

    Returns:
      an object with `num_rows`, `dim` and `num_left_out`, ints; `dtype`, float32, or for "npy" also
      float16 or float64; and `chunks()`, which yields (tokens, vectors): a list of m strings (None
      for "npy") and an array of shape [m, dim]. The binary formats keep every bit.

    Raises:
      FileNotFoundError: if there is no such file.
      ValueError: if the format is unknown, or the file does not show it, or it shows a matrix
        without tokens; if the encoding is unknown; if the header is wrong or
        promises more than the file can hold. `chunks()` raises it, with the line or row: for rows
        too few, too many, or of another dim; for what is no number, or too large for float32; for
        a token that is empty, not UTF-8, longer than 1 MiB, or an earlier one again.

    Example:
      >>> import os, tempfile
      >>> path = os.path.join(tempfile.mkdtemp(), "vectors.txt")
      >>> with open(path, "w") as file:
      ...     length = file.write("the 0.25 -1\nof 0.5 2e-3\n")
      >>> vectors = open_word_vectors(path)
      >>> vectors.num_rows, vectors.dim
      (2, 2)
      >>> for tokens, chunk in vectors.chunks():
      ...     print(tokens, chunk.shape, chunk.dtype)
      ['the', 'of'] (2, 2) float32
    """
    path = os.fspath(path)
    format = _guess_format(path) if format is None else format
    if format not in FORMATS:
        raise ValueError(f"`format` must be one of {', '.join(FORMATS)}; got {format!r}")
    if how.duplicates not in DUPLICATES:
        raise ValueError(
            f"`duplicates` must be one of {', '.join(DUPLICATES)}; got {how.duplicates!r}"
        )
    try:
        codecs.lookup(how.encoding)
    except LookupError:
        raise ValueError(
            f"`encoding` must be one that Python knows, such as utf-8 or latin-1; got "
            f"{how.encoding!r}"
        ) from None
    return _READERS[format](path, chunk_bytes, how)


def _guess_format(path):
    with open_source(path) as file:
        start = file.read(_GUESS_BYTES)
    if start.startswith(MAGIC) or path.endswith(".npy"):
        return "npy"
    first, _, following = start.partition(b"\n")
    header = HEADER.match(first)
    if header:
        # In text, numbers fill at least 2 * dim bytes after the first token; in the binary format
        # floats do, whose bytes are hardly ever all printable. The first token may have a space, or
        # letters of any language; but no text has control characters, and most floats do.
        numbers = following.partition(b" ")[2][: 2 * int(header.group(2))]
        is_binary = _CONTROL.search(following) or re.search(rb"[^ -~\t\r\n]", numbers)
        return "word2vec-bin" if is_binary else "word2vec"
    if _are_numbers(first.split()[1:]):
        lines = start.split(b"\n")[:_MATRIX_LINES]
        if all(_are_numbers(line.split()[:1]) for line in lines if line.strip()):
            raise ValueError(
                f"{path}: expected word vectors, got lines that begin with a number: a matrix "
                f"without tokens, it seems. Save it with np.save(path, array) as .npy; or, if the "
                f"first number of each line is its token, say so with format='glove' "
                f"(--format glove)"
            )
        return "glove"
    raise ValueError(
        f"{path}: expected word vectors, got a file that starts with {start[:60]!r}. If it has one "
        f"of the formats {', '.join(FORMATS)}, name it with `format` (--format)"
    )


_CONTROL = re.compile(rb"[\x00-\x08\x0e-\x1f]")
# So many tokens in a row that are numbers are none.
_MATRIX_LINES = 20


def _are_numbers(fields):
    try:
        return len([float(field) for field in fields]) > 0
    except ValueError:
        return False

"""Opens files of word vectors of any format, and guesses the format where it shows."""

import functools
import os
import re

from tf1_embed.npy import MAGIC
from tf1_embed.rows import CHUNK_BYTES
from tf1_embed.word_vectors.binary import BinaryVectors
from tf1_embed.word_vectors.header import HEADER
from tf1_embed.word_vectors.npy import NpyVectors
from tf1_embed.word_vectors.text import TextVectors

_READERS = {
    "word2vec": functools.partial(TextVectors, has_header=True),
    "word2vec-bin": BinaryVectors,
    "glove": functools.partial(TextVectors, has_header=False),
    "npy": NpyVectors,
}
FORMATS = tuple(_READERS)

# Enough for the first two lines of any usual file.
_GUESS_BYTES = 1 << 20


def open_word_vectors(path, format=None, chunk_bytes=CHUNK_BYTES):
    r"""Opens a file of word vectors, to be read in chunks; reads its header.

    A GloVe file has none: its lines are counted, and its first token must be without spaces. Later
    tokens in text may have some, since a line's last `dim` fields are its numbers.

    Args:
      path: string.
      format: "word2vec", "word2vec-bin", "glove" or "npy"; default: what the file itself shows.
      chunk_bytes: int, the bytes of vectors in a chunk, which has one row at least.

    Returns:
      an object with `num_rows` and `dim`, ints; `dtype`, float32, or for "npy" also float16 or
      float64; and `chunks()`, which yields (tokens, vectors): a list of m strings (None for "npy")
      and an array of shape [m, dim]. The binary formats keep every bit.

    Raises:
      FileNotFoundError: if there is no such file.
      ValueError: if the format is unknown, or the file does not show it; if the header is wrong or
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
    return _READERS[format](path, chunk_bytes)


def _guess_format(path):
    with open(path, "rb") as file:
        start = file.read(_GUESS_BYTES)
    if start.startswith(MAGIC) or path.endswith(".npy"):
        return "npy"
    first, _, following = start.partition(b"\n")
    header = HEADER.match(first)
    if header:
        # In text, numbers fill at least 2 * dim bytes after the first token; in the binary format
        # floats do, whose bytes are hardly ever all printable.
        numbers = following.partition(b" ")[2][: 2 * int(header.group(2))]
        return "word2vec-bin" if re.search(rb"[^ -~\r\n]", numbers) else "word2vec"
    if _are_numbers(first.split()[1:]):
        return "glove"
    raise ValueError(
        f"{path}: expected word vectors, got a file that starts with {start[:60]!r}. If it has one "
        f"of the formats {', '.join(FORMATS)}, name it with `format` (--format)"
    )


def _are_numbers(fields):
    try:
        return len([float(field) for field in fields]) > 0
    except ValueError:
        return False

"""Writes files of word vectors of any format, whole or not at all."""

from __future__ import annotations

import codecs
import functools
import reprlib
from typing import TYPE_CHECKING, Any, Callable, Iterable

import numpy as np

from tf1_embed.bfloat16 import as_numbers
from tf1_embed.new_files import new_file
from tf1_embed.vocabulary.tokens import Tokens
from tf1_embed.word_vectors.binary import write_binary
from tf1_embed.word_vectors.header import MAX_DIM
from tf1_embed.word_vectors.npy import write_npy
from tf1_embed.word_vectors.text import write_text

if TYPE_CHECKING:
    from tf1_embed.types import PathLike

_WRITERS: dict[str, Callable[..., None]] = {
    "word2vec": functools.partial(write_text, has_header=True),
    "word2vec-bin": write_binary,
    "glove": functools.partial(write_text, has_header=False),
    "npy": write_npy,
}


def write_word_vectors(
    path: PathLike,
    format: str,
    num_rows: int,
    dim: int,
    chunks: Iterable[tuple[Any, np.ndarray]],
    force: bool = False,
) -> None:
    r"""Writes a file of word vectors, whole or not at all.

    In text, numbers have nine significant digits, from which every float32 comes back bit for bit,
    -0 and infinities too, but not a NaN's sign and payload. The binary formats keep every bit.

    Args:
      path: string, on a local disk.
      format: "word2vec", "word2vec-bin", "glove" or "npy".
      num_rows: int, the number of rows of all chunks together, at least 1.
      dim: int, at least 1.
      chunks: iterable of (tokens, vectors): m strings, and an array of shape [m, dim], float32 or
        float16, which becomes float32. "npy" takes no notice of tokens, which may be None, and
        keeps the dtype: float16, float32 or float64.
      force: bool, whether a file at `path` is replaced.

    Raises:
      FileExistsError: if there is a file at `path`, without `force`.
      TypeError: if the vectors' dtype cannot be written without loss.
      ValueError: if the format is unknown; if the chunks are not `num_rows` rows of `dim` numbers,
        each with its token; if a token is empty, there already, longer than 1 MiB, or not UTF-8; if
        the format would not give it back: no token has a line break; none of "word2vec-bin", nor
        the first of "glove", has a space; the first one in text has no tab.

    Example:
      >>> import os, tempfile
      >>> path = os.path.join(tempfile.mkdtemp(), "vectors.txt")
      >>> rows = np.array([[0.25, -1], [0.1, 2e-3]], np.float32)
      >>> write_word_vectors(path, "word2vec", 2, 2, [(["the", "of"], rows)])
      >>> print(open(path).read())
      2 2
      the 0.25 -1
      of 0.100000001 0.00200000009
    """
    if format not in _WRITERS:
        raise ValueError(f"`format` must be one of {', '.join(_WRITERS)}; got {format!r}")
    if num_rows < 1 or not 1 <= dim <= MAX_DIM:
        raise ValueError(
            f"`num_rows` must be at least 1 and `dim` 1 to {MAX_DIM}, got {num_rows} and {dim}"
        )
    chunks = _check_shapes(chunks, num_rows, dim)
    chunks = _check_dtypes(chunks) if format == "npy" else _encode(chunks, format)
    with new_file(path, force) as file:
        _WRITERS[format](file, num_rows, dim, chunks)


def _check_shapes(chunks, num_rows, dim):
    written = 0
    for tokens, vectors in chunks:
        if vectors.ndim != 2 or vectors.shape[1] != dim:
            raise ValueError(
                f"`chunks` must have vectors of shape [m, {dim}], got {list(vectors.shape)}"
            )
        written += len(vectors)
        if written > num_rows:
            break
        yield tokens, vectors
    if written != num_rows:
        more = " or more" if written > num_rows else ""
        raise ValueError(f"`chunks` must have {num_rows} rows in all, got {written}{more}")


def _check_dtypes(chunks):
    first = None
    for tokens, vectors in chunks:
        first = vectors.dtype if first is None else first
        if vectors.dtype != first or first not in (np.float16, np.float32, np.float64):
            raise TypeError(
                f"`chunks` must be all float16, all float32 or all float64, got {vectors.dtype}; "
                f"cast them before"
            )
        yield tokens, vectors


def _encode(chunks, format):
    """Yields the chunks with tokens as bytes and vectors in float32."""
    seen = Tokens("`chunks`", "row")
    for tokens, vectors in chunks:
        if tokens is None or len(tokens) != len(vectors):
            got = "none" if tokens is None else len(tokens)
            raise ValueError(
                f"`chunks` must have a token for each of {len(vectors)} rows, got {got}"
            )
        vectors = as_numbers(vectors)
        if not np.can_cast(vectors.dtype, np.float32):
            raise TypeError(
                f"`chunks` must be float32 or float16, got {vectors.dtype}, which would lose bits; "
                f"write the format npy, or cast them before"
            )
        encoded = [_encode_token(token, seen, format) for token in tokens]
        yield encoded, vectors.astype(np.float32, copy=False)


def _encode_token(token, seen, format):
    # surrogatepass makes bytes that are not UTF-8, which Tokens refuses.
    encoded = token.encode("utf-8", "surrogatepass")
    is_first = not seen
    # What a reader of the format takes for the token's end, or for something else.
    if b"\n" in encoded:
        problem, remedy = "a line break", "write the format npy"
    elif b" " in encoded and format == "word2vec-bin":
        problem, remedy = "a space", "write the format word2vec or npy"
    elif b" " in encoded and format == "glove" and is_first:
        problem, remedy = "a space in the first token", "write the format word2vec or npy"
    elif b"\t" in encoded and format != "word2vec-bin" and is_first:
        problem, remedy = "a tab in the first token", "write the format word2vec-bin or npy"
    elif is_first and encoded.startswith(codecs.BOM_UTF8):
        problem, remedy = "a byte order mark before the first token", "leave it out"
    else:
        seen.add(encoded, len(seen))
        return encoded
    raise ValueError(
        f"`chunks`, row {len(seen)}: the format {format} cannot keep {problem}, got "
        f"{reprlib.repr(token)}; {remedy}"
    )

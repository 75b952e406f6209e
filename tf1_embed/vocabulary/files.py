"""Vocabulary files: one token a line; the line is the id, as in TensorFlow's lookup tables."""

from __future__ import annotations

import re
import reprlib
from typing import TYPE_CHECKING

from tf1_embed.new_files import new_file
from tf1_embed.vocabulary.tokens import Tokens, read_lines

if TYPE_CHECKING:
    from typing import Iterable, Sequence

    from tf1_embed.types import PathLike


# A line's end that is no part of a token: SentencePiece's score, or how often a token was seen.
_SCORE = re.compile(rb"[^\t]\t[-+]?[0-9]+(\.[0-9]+)?([eE][-+]?[0-9]+)?\Z")


def read_vocabulary(path: PathLike, first_column: bool = False) -> list[str]:
    r"""Reads the tokens of a vocabulary file, one a line, in UTF-8.

    Lines are those of TensorFlow's lookup tables: they end in LF or CRLF, the last one may have no
    end, and spaces belong to the token, also at its beginning and end.

    Args:
      path: string.
      first_column: bool, whether a token ends at the first tab of its line, as in SentencePiece's
        `.vocab` files, TOKEN<TAB>SCORE.

    Returns:
      list of strings; the token of id i is at i.

    Raises:
      FileNotFoundError: if there is no such file.
      ValueError: if the file is empty; if a line is empty (also the last: one line end closes the
        file), not UTF-8, longer than 1 MiB, or an earlier one again; or if the file starts with a
        byte order mark, which TensorFlow would take for a part of the first token; if every line
        is TOKEN<TAB>NUMBER and `first_column` does not say that the number is no part of it.

    Example:
      >>> import os, tempfile
      >>> path = os.path.join(tempfile.mkdtemp(), "words.txt")
      >>> with open(path, "wb") as file:
      ...     length = file.write(b"the\nNew York\n")
      >>> read_vocabulary(path)
      ['the', 'New York']
    """
    tokens = Tokens(path, "line")
    has_scores = not first_column
    for number, line in read_lines(path):
        has_scores = has_scores and _SCORE.search(line) is not None
        tokens.add(line.partition(b"\t")[0] if first_column else line, number)
    if not tokens:
        raise ValueError(f"{path}: expected one token a line, got an empty file")
    if has_scores:
        raise ValueError(
            f"{path}: expected one token a line, got lines that look like TOKEN<TAB>SCORE, such as "
            f"{next(iter(tokens))!r}. Read their first column with first_column=True "
            f"(--first-column)"
        )
    return list(tokens)


def write_vocabulary(path: PathLike, tokens: Sequence[str], force: bool = False) -> None:
    """Writes a vocabulary file, whole or not at all.

    Args:
      path: string, on a local disk.
      tokens: list of strings.
      force: bool, whether a file at `path` is replaced.

    Raises:
      FileExistsError: if there is a file at `path`, without `force`.
      ValueError: if a token has a line break.
    """
    content = encode_vocabulary(tokens)
    with new_file(path, force) as file:
        file.write(content)


def encode_vocabulary(tokens: Iterable[str]) -> bytes:
    """Returns the bytes of a vocabulary file; raises a ValueError if a token has a line break."""
    for token in tokens:
        if "\n" in token or token.endswith("\r"):
            raise ValueError(f"a token must be one line, got {reprlib.repr(token)}")
    return b"".join(token.encode("utf-8") + b"\n" for token in tokens)

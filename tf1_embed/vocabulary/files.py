"""Vocabulary files: one token a line; the line is the id, as in TensorFlow's lookup tables."""

from __future__ import annotations

import reprlib
from typing import TYPE_CHECKING

from tf1_embed.new_files import new_file
from tf1_embed.vocabulary.tokens import Tokens, read_lines

if TYPE_CHECKING:
    from typing import Sequence

    from tf1_embed.types import PathLike


def read_vocabulary(path: PathLike) -> list[str]:
    r"""Reads the tokens of a vocabulary file, one a line, in UTF-8.

    Lines are those of TensorFlow's lookup tables: they end in LF or CRLF, the last one may have no
    end, and spaces belong to the token, also at its beginning and end.

    Args:
      path: PathLikeing.

    Returns:
      list of strings; the token of id i is at i.

    Raises:
      FileNotFoundError: if there is no such file.
      ValueError: if the file is empty; if a line is empty (also the last: one line end closes the
        file), not UTF-8, longer than 1 MiB, or an earlier one again; or if the file starts with a
        byte order mark, which TensorFlow would take for a part of the first token.

    Example:
      >>> import os, tempfile
      >>> path = os.path.join(tempfile.mkdtemp(), "words.txt")
      >>> with open(path, "wb") as file:
      ...     length = file.write(b"the\nNew York\n")
      >>> read_vocabulary(path)
      ['the', 'New York']
    """
    tokens = Tokens(path, "line")
    for number, line in read_lines(path):
        tokens.add(line, number)
    if not tokens:
        raise ValueError(f"{path}: expected one token a line, got an empty file")
    return list(tokens)


def write_vocabulary(path: PathLike, tokens: Sequence[str], force: bool = False) -> None:
    """Writes a vocabulary file, whole or not at all.

    Args:
      path: PathLikeing, on a local disk.
      tokens: list of strings.
      force: bool, whether a file at `path` is replaced.

    Raises:
      FileExistsError: if there is a file at `path`, without `force`.
      FileNotFoundError: if there is no folder for it.
      ValueError: if a token has a line break.
    """
    for token in tokens:
        if "\n" in token or token.endswith("\r"):
            raise ValueError(f"a token must be one line, got {reprlib.repr(token)}")
    with new_file(path, force) as file:
        for token in tokens:
            file.write(token.encode("utf-8") + b"\n")
